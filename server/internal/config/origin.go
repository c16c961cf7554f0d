package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/gobwas/glob"
)

var (
	// What an Origin header is: a scheme and a host, or "null".
	plainOrigin = regexp.MustCompile(`^([a-z][-a-z0-9+.]*://[^/]*|null)$`)
	// How a pattern may begin before its first wildcard: a part of a scheme, or all of it.
	originPrefix = regexp.MustCompile(`^([a-z][-a-z0-9+]*|https?:/?/?|[a-z][-a-z0-9+.]*://[^/]*)?$`)
	ipv6Host     = regexp.MustCompile(`//\[([0-9a-fA-F.]*:[0-9a-fA-F:.]*)\]`)
	defaultPort  = regexp.MustCompile(`^(https://[^/]*:443|http://[^/]*:80)$`)
)

// validateOrigin adds a problem when a pattern can match no Origin header: its
// pages would be refused, and the pattern looks as if they were not.
func (l *loader) validateOrigin(key, pattern string) {
	literal := withoutClasses(pattern)
	prefix, _, wild := cutWildcard(literal)
	_, err := glob.Compile(pattern)
	never := ""
	switch {
	case pattern == "":
		never = "an element is empty"
	case err != nil:
		never = fmt.Sprintf("%q is not a valid pattern", pattern)
	case ipv6Host.MatchString(pattern):
		never = fmt.Sprintf("%q can never match: brackets are a class of characters, write \"%s\"", pattern, ipv6Host.ReplaceAllString(pattern, `//\\[$1\\]`))
	case strings.ContainsAny(literal, `"'`):
		never = fmt.Sprintf("%q can never match: an origin holds no quotes", pattern)
	case strings.ContainsAny(literal, " \t\r\n;") || strings.Contains(withoutBraces(literal), ","):
		never = fmt.Sprintf("%q can never match: these are several origins in one element, make each an element", pattern)
	case literal != strings.ToLower(literal):
		never = fmt.Sprintf("%q can never match: origins are compared in lower case, write %q", pattern, strings.ToLower(pattern))
	case strings.Count(withoutBraces(literal), "/") > 2:
		never = fmt.Sprintf("%q can never match: an origin has no path", pattern)
		if trimmed := strings.TrimSuffix(pattern, "/"); trimmed != pattern && strings.Count(withoutBraces(trimmed), "/") == 2 {
			never += fmt.Sprintf(", write %q", trimmed)
		}
	case wild && !originPrefix.MatchString(prefix), !wild && !plainOrigin.MatchString(literal):
		never = fmt.Sprintf("%q can never match: an origin has a scheme", pattern)
		if !strings.ContainsAny(pattern, "/*?[{") {
			never += fmt.Sprintf(", such as %q", "https://"+pattern)
		}
	}
	switch {
	case never != "":
		l.problem(key, never)
	case defaultPort.MatchString(literal):
		l.warn(Warning{Kind: NoEffect, Key: key, Message: fmt.Sprintf("%q matches no browser: they leave out the port of the scheme", pattern)})
	}
}

// withoutClasses replaces the classes of a pattern, such as [a-zA-Z], by the
// wildcard ?.
func withoutClasses(pattern string) string {
	var b strings.Builder
	for pattern != "" {
		open := strings.IndexByte(pattern, '[')
		end := strings.IndexByte(pattern, ']')
		if open < 0 || end < open {
			break
		}
		b.WriteString(pattern[:open] + "?")
		pattern = pattern[end+1:]
	}
	return b.String() + pattern
}

// withoutBraces drops the alternatives of a pattern, such as {a,b}.
func withoutBraces(pattern string) string {
	depth := 0
	return strings.Map(func(r rune) rune {
		switch r {
		case '{':
			depth++
			return -1
		case '}':
			depth = max(depth-1, 0)
			return -1
		}
		if depth > 0 {
			return -1
		}
		return r
	}, pattern)
}

// cutWildcard divides a pattern at its first wildcard.
func cutWildcard(pattern string) (before, after string, found bool) {
	if i := strings.IndexAny(pattern, `*?{\`); i >= 0 {
		return pattern[:i], pattern[i:], true
	}
	return pattern, "", false
}
