package doctest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
)

var (
	uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// varying are the members whose values differ from run to run; their types do not.
	varying = map[string]bool{"epoch": true, "name": true, "version": true, "uptime": true, "uid": true, "client": true, "time": true, "exp": true, "iat": true, "connected_at": true, "expire_at": true}
)

// sameOutput compares what a document shows with what was printed.
func sameOutput(lang, want, got string) error {
	if lang != "json" {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", ".*")
		if !regexp.MustCompile(`(?m)^` + pattern + `$`).MatchString(strings.TrimSpace(got)) {
			return fmt.Errorf("printed:\n%s\ndocumented:\n%s", got, want)
		}
		return nil
	}
	w, err := values(want)
	if err != nil {
		return fmt.Errorf("documented: %w", err)
	}
	g, err := values(got)
	if err != nil {
		return fmt.Errorf("printed: %w:\n%s", err, got)
	}
	if err := sameValue("", w, g); err != nil {
		return fmt.Errorf("%w\nprinted:\n%s\ndocumented:\n%s", err, got, want)
	}
	return nil
}

// values decodes JSON values that follow each other. Identifiers become one name,
// so that those that are keys can be compared.
func values(text string) (out []any, err error) {
	dec := json.NewDecoder(strings.NewReader(uuid.ReplaceAllString(text, "UUID")))
	for {
		var v any
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("decoding JSON: %w", err)
		}
		out = append(out, v)
	}
}

func sameValue(path string, want, got any) error {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: is %v, not an object", path, got)
		}
		for key := range g {
			if _, ok := w[key]; !ok {
				return fmt.Errorf("%s.%s: is not documented", path, key)
			}
		}
		for key, value := range w {
			have, ok := g[key]
			if !ok {
				return fmt.Errorf("%s.%s: is missing", path, key)
			}
			if varying[key] && fmt.Sprintf("%T", value) == fmt.Sprintf("%T", have) {
				continue
			}
			if err := sameValue(path+"."+key, value, have); err != nil {
				return err
			}
		}
		return nil
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Errorf("%s: is %v, want %d items", path, got, len(w))
		}
		for i := range w {
			if err := sameValue(fmt.Sprintf("%s[%d]", path, i), w[i], g[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if want != got && want != "…" {
		return fmt.Errorf("%s: is %v, documented as %v", path, got, want)
	}
	return nil
}

func TestSameOutput(t *testing.T) {
	for _, tt := range []struct {
		lang, want, got string
		same            bool
	}{
		{"json", `{"result":{"offset":1,"epoch":"AbCd"}}`, `{ "result": {"epoch":"x", "offset":1}}`, true},
		{"json", `{"result":{"offset":1,"epoch":"AbCd"}}`, `{"result":{"offset":2,"epoch":"AbCd"}}`, false},
		{"json", `{"result":{"offset":1,"epoch":"AbCd"}}`, `{"result":{"offset":1}}`, false},
		{"json", `{"result":{}}`, `{"result":{"offset":1}}`, false},
		{"json", `{"epoch":"AbCd"}`, `{"epoch":1}`, false},
		{"json", `[1,2]`, `[1]`, false},
		{"json", `{"a":"…"}`, `{"a":{"b":1}}`, true},
		{"json", `{"a":1}`, `no JSON`, false},
		{"json", `{"3f2504e0-4f89-11d3-9a0c-0305e82c3301":1}`, `{"6ba7b810-9dad-11d1-80b4-00c04fd430c8":1}`, true},
		{"json", "{}\n{}", "{}", false},
		{"text", "a … c", "a b c\n", true},
		{"text", "a.c", "abc", false},
		{"text", "b", "a\nb\nc", true},
		{"text", "ab", "cab", false},
	} {
		if err := sameOutput(tt.lang, tt.want, tt.got); (err == nil) != tt.same {
			t.Errorf("%q and %q: %v; want the same %v", tt.want, tt.got, err, tt.same)
		}
	}
}
