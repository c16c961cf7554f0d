package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents returns the texts of README.md and docs by name.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "e2e/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v; want one file at least", pattern, found, err)
		}
		for _, file := range found {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(root, file) // both are absolute
			texts[name] = string(text)
		}
	}
	return texts
}

// TestLinks: what a document links to is there, headings included.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)
	code := regexp.MustCompile("(?ms)^```.*?^```$")
	texts := documents(t)
	for name, text := range texts {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			target, anchor := m[1], strings.TrimPrefix(m[2], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := name
			if target != "" {
				file = filepath.Join(filepath.Dir(name), target)
			}
			if !exists(filepath.Join(root, file)) {
				t.Errorf("%s: links to %s, which is not there", name, m[1])
			}
			if other, ok := texts[file]; ok && anchor != "" && !hasHeading(other, anchor) {
				t.Errorf("%s: links to #%s, a heading that %s does not have", name, anchor, file)
			}
		}
	}
}

func hasHeading(text, anchor string) bool {
	drop := regexp.MustCompile("[^a-z0-9 _-]")
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") &&
			strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}

// defaults returns the keys of the reference with their defaults.
func defaults(t *testing.T) map[string]string {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]* \\| `?([^`|]*?)`? \\|")
	out := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(documents(t)["docs/config.md"], -1) {
		out[m[1]] = strings.TrimSpace(m[2])
	}
	if len(out) < 1000 || out["http_server.port"] != "8000" {
		t.Fatalf("%d keys are read from docs/config.md; want at least 1000 and \"8000\"", len(out))
	}
	return out
}

// TestKeysExist: a key of the configuration that a document names is one.
func TestKeysExist(t *testing.T) {
	keys := defaults(t)
	section := map[string]bool{}
	for key := range keys {
		for at, r := range key {
			if r == '.' {
				section[key[:at]] = true
			}
		}
	}
	named := regexp.MustCompile("`((?:client|channel|http_api|http_server|websocket|engine|log|node|prometheus|health|debug|rpc)\\.[a-z0-9_.\\[\\]]+)[^`]*`")
	ofCode := []string{"docs/performance.md", "docs/architecture.md", "docs/locks.md"} // they name packages and files
	for name, text := range documents(t) {
		if slices.Contains(ofCode, name) || strings.HasPrefix(name, "docs/adr/") {
			continue
		}
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			key := strings.TrimSuffix(m[1], ".")
			if _, ok := keys[key]; !ok && !section[key] && !strings.HasSuffix(key, ".mjs") && !strings.HasSuffix(key, "_") {
				t.Errorf("%s: names the key %s, which does not exist", name, key)
			}
		}
	}
}

// TestLimitsHaveTheirDefaults: docs/limits.md says the same as the reference.
func TestLimitsHaveTheirDefaults(t *testing.T) {
	keys := defaults(t)
	row := regexp.MustCompile("(?m)^\\| [^|]+ \\| `([a-z_.]+)` \\| ([^|]+) \\|")
	rows := row.FindAllStringSubmatch(documents(t)["docs/limits.md"], -1)
	if len(rows) < 15 {
		t.Fatalf("only %d rows; want at least 15", len(rows))
	}
	for _, m := range rows {
		want, ok := keys[m[1]]
		if !ok {
			t.Errorf("%s is not a key", m[1])
		}
		if computed := want == ""; !computed && m[2] != want || computed && !strings.Contains(m[2], " ") && m[2] != "none" {
			t.Errorf("%s: docs/limits.md has the default %q; want %q", m[1], m[2], want)
		}
	}
}
