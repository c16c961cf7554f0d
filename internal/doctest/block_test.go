package doctest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// block is one fenced block of a document.
type block struct {
	file  string
	line  int // of its first line of text
	lang  string
	attrs map[string]string // an attribute without a value has the empty one
	text  string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.file, b.line) }

func (b block) has(attr string) bool {
	_, ok := b.attrs[attr]
	return ok
}

// skipReasons are the only ones for which a block may not run.
var skipReasons = map[string]string{
	"registry":   "fetches packages from a registry",
	"deployment": "needs a deployment of the reader's",
	"host":       "changes the machine: needs root and an installation",
	"docker":     "needs a container runtime",
}

var languages = []string{"", "text", "sh", "json", "yaml", "toml", "go", "js", "php", "python", "nginx", "haproxy", "caddyfile", "ini", "dockerfile"}

var attributes = []string{"server", "background", "until", "output", "file", "claims", "needs", "skip", "transcript"}

// blocks returns the fenced blocks of a Markdown text.
func blocks(file, text string) ([]block, error) {
	var out []block
	var current *block
	for i, line := range strings.Split(text, "\n") {
		info, fence := strings.CutPrefix(strings.TrimLeft(line, " "), "```")
		switch {
		case fence && current == nil:
			b, err := parseInfo(info)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
			}
			b.file, b.line = file, i+2
			current = &b
		case fence:
			out = append(out, *current)
			current = nil
		case current != nil:
			current.text += line + "\n"
		}
	}
	if current != nil {
		return nil, fmt.Errorf("%s: the block has no end", current)
	}
	return out, nil
}

func parseInfo(info string) (block, error) {
	b := block{attrs: map[string]string{}}
	for i, word := range strings.Fields(info) {
		if i == 0 {
			b.lang = word
			continue
		}
		name, value, _ := strings.Cut(word, "=")
		b.attrs[name] = value
		if !slices.Contains(attributes, name) {
			return b, fmt.Errorf("unknown attribute %q; there are: %v", name, attributes)
		}
	}
	if !slices.Contains(languages, b.lang) {
		return b, fmt.Errorf("unknown language %q; there are: %v", b.lang, languages)
	}
	if reason, ok := b.attrs["skip"]; ok && skipReasons[reason] == "" {
		return b, fmt.Errorf("unknown reason to skip %q", reason)
	}
	return b, nil
}

func TestBlocks(t *testing.T) {
	got, err := blocks("a.md", "x\n```sh server until=ok\na\n\nb\n```\n```\nc\n```\n")
	if err != nil || len(got) != 2 || got[0].text != "a\n\nb\n" || got[0].line != 3 || got[0].attrs["until"] != "ok" || !got[0].has("server") || got[1].lang != "" {
		t.Errorf("got %+v, %v; want two blocks, the first in line 3 with its attributes", got, err)
	}
	for _, bad := range []string{"```sh\n", "```cobol\n```\n", "```sh fast\n```\n", "```sh skip=lazy\n```\n", "```sh skip\n```\n"} {
		if _, err := blocks("a.md", bad); err == nil {
			t.Errorf("%q is accepted; want an error", bad)
		}
	}
}
