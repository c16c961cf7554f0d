package auth

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// urlTemplate is a URL in which `{{name}}` stands for what the group with that name in
// issuer_regex or audience_regex has matched (server.md 3.3).
type urlTemplate struct {
	text      string
	variables []templateVariable
}

// templateVariable is a variable of a template. The claims that give it its value are not
// verified when the URL is built, so the value must be one that the configuration names.
type templateVariable struct {
	name   string
	values []string // nil with insecure_skip_jwks_endpoint_safety_check
}

var (
	variablePattern = regexp.MustCompile(`\{\{([a-zA-Z0-9_]+)\}\}`)
	// unreserved matches what can change neither the host nor the structure of a URL
	// (RFC 3986, 2.3).
	unreserved = regexp.MustCompile(`^[-a-zA-Z0-9._~]+$`)
)

// newURLTemplate compiles a template. The error says which rule of server.md 3.3 the
// template or a group that it uses breaks. Patterns are issuer_regex and audience_regex;
// nil for none.
func newURLTemplate(text string, patterns []*regexp.Regexp, skipSafetyCheck bool) (*urlTemplate, error) {
	t := &urlTemplate{text: text}
	rest := text
	for _, match := range variablePattern.FindAllStringSubmatch(text, -1) {
		name := match[1]
		rest = strings.ReplaceAll(rest, match[0], "x")
		if slices.ContainsFunc(t.variables, func(v templateVariable) bool { return v.name == name }) {
			continue
		}
		v := templateVariable{name: name}
		defined := slices.DeleteFunc(slices.Clone(patterns), func(r *regexp.Regexp) bool {
			return r == nil || r.SubexpIndex(name) < 0
		})
		if len(defined) != 1 {
			return nil, fmt.Errorf("{{%s}} must be a group of either issuer_regex or audience_regex", name)
		}
		if !skipSafetyCheck {
			var err error
			if v.values, err = literals(defined[0].String(), name); err != nil {
				return nil, fmt.Errorf("{{%s}}: %w", name, err)
			}
		}
		t.variables = append(t.variables, v)
	}
	if strings.Contains(rest, "{{") || strings.Contains(rest, "}}") {
		return nil, errors.New("variables are written {{name}}, of letters, digits and underscores")
	}
	u, err := url.Parse(rest)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("must be an http or https URL")
	}
	return t, nil
}

// literals returns the alternatives of a group of a regular expression, which must be
// literal texts: `(?P<tenant>one|two)`. It reads the source of the expression, because
// its syntax tree does not tell `a|b` from `[ab]`.
func literals(pattern, name string) ([]string, error) {
	var rest string
	for _, open := range []string{"(?P<" + name + ">", "(?<" + name + ">"} {
		if _, after, ok := strings.Cut(pattern, open); ok {
			rest = after
		}
	}
	errNotLiteral := errors.New("the group must list literal texts, such as (?P<" + name + ">one|two), " +
		"because tokens are not verified yet when the URL is built; insecure_skip_jwks_endpoint_safety_check turns this check off")
	var values []string
	var value strings.Builder
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\\' && i+1 < len(rest) && strings.IndexByte(`\.+*?()|[]{}^$-/:@_~`, rest[i+1]) >= 0:
			i++
			value.WriteByte(rest[i])
		case c == '|' || c == ')':
			if value.Len() == 0 {
				return nil, errNotLiteral
			}
			values = append(values, value.String())
			value.Reset()
			if c == ')' {
				return values, nil
			}
		case strings.IndexByte(`\.+*?([]{}^$`, c) >= 0:
			return nil, errNotLiteral
		default:
			value.WriteByte(c)
		}
	}
	return nil, errNotLiteral
}

// resolve returns the URL for the groups that the claims of a token have matched.
func (t *urlTemplate) resolve(groups map[string]string) (string, error) {
	if len(t.variables) == 0 {
		return t.text, nil
	}
	pairs := make([]string, 0, 2*len(t.variables))
	for _, v := range t.variables {
		value := groups[v.name]
		if v.values != nil && !slices.Contains(v.values, value) || v.values == nil && !unreserved.MatchString(value) {
			return "", fmt.Errorf("value of {{%s}} is not allowed in the URL of the key set", v.name)
		}
		pairs = append(pairs, "{{"+v.name+"}}", value)
	}
	resolved := strings.NewReplacer(pairs...).Replace(t.text)
	u, err := url.Parse(resolved)
	if err != nil {
		return "", errors.New("URL of the key set is malformed")
	}
	if p := strings.TrimSuffix(u.Path, "/"); p != "" && p != path.Clean(u.Path) {
		return "", errors.New("path in the URL of the key set is not clean")
	}
	return resolved, nil
}

// collectGroups adds what the named groups of a pattern have matched in text. It reports
// whether the pattern matches.
func collectGroups(pattern *regexp.Regexp, text string, groups map[string]string) bool {
	match := pattern.FindStringSubmatch(text)
	for i, name := range pattern.SubexpNames() {
		if match != nil && name != "" {
			groups[name] = match[i]
		}
	}
	return match != nil
}
