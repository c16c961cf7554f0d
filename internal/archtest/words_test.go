package archtest

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// word is an expression that the repository does not use, in whatever form the
// pattern matches. CONTRIBUTING.md (Style) says why and shows examples.
type word struct {
	pattern string // without word boundaries, which TestWords adds
	instead string
}

var words = []word{
	{`houses?`, "project, repository, server"},
	{`housetest`, "archtest"},
	{`rooms?`, "package, capacity, scratch buffer"},
	{`doors?`, "endpoint, connection"},
	{`lent|lends?|lending`, "valid until the call returns"},
	{`owe|owes|owed|owing`, "pending, must send"},
	{`mends?|mended|mending`, "fix, recover from"},
	{`bury|buries|buried|burying`, "expire, remove"},
	{`farewells?`, "shutdown notice, leave message"},
	{`obeys?|obeyed|obeying`, "apply"},
	{`newcomers?`, "new client, new node"},
	{`heirs?`, "successor"},
	{`patience|impatient|impatience`, "timeout, delay"},
	{`twins?`, "the other one, a copy"},
	{`wish|wishes|wished`, "request"},
	{`for ever`, "until it is closed, without a limit"},
	{`somebody|nobody`, "a client, no subscriber"},
	{`see off|sees off|seeing off|saw off`, "close, refuse"},
	{`anew`, "again, from the beginning"},
	{`carry out|carries out|carried out|carrying out|carryOut`, "process, handle, execute, apply"},
}

// allowances are uses of a word that are right where they are. One that matches
// nothing fails the test.
var allowances = []allowance{
	{"", `"room`, "the name of a channel"},
	{"examples/chat/", "room", "a chat has rooms"},
	{"docs/migrate.md", "room", "Socket.IO has rooms"},
	{"internal/pgtest/", "nobody", "the name of an account of the system"},
}

type allowance struct {
	prefix string // of the file; empty: any
	text   string // a part of the line, with the word in it
	reason string
}

func (a allowance) covers(f finding) bool {
	return strings.HasPrefix(f.name, a.prefix) && strings.Contains(f.text, a.text)
}

// ownText names the files that must name the words.
var ownText = []string{"internal/archtest/words_test.go", "CONTRIBUTING.md"}

type finding struct {
	name string // of the file
	line int
	text string
	word word
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %q is not used here, rather: %s", f.name, f.line, strings.TrimSpace(f.text), f.word.instead)
}

func TestWords(t *testing.T) {
	used := make([]bool, len(allowances))
	for _, name := range texts(t) {
		if slices.Contains(ownText, name) {
			continue
		}
		for _, f := range findWords(name, read(t, name)) {
			if i := slices.IndexFunc(allowances, func(a allowance) bool { return a.covers(f) }); i >= 0 {
				used[i] = true
				continue
			}
			t.Error(f)
		}
	}
	for i, a := range allowances {
		if !used[i] {
			t.Errorf("the allowance for %q (%s) matches nothing: remove it", a.text, a.reason)
		}
	}
}

// texts returns the names of all files that are written by hand.
func texts(t *testing.T) []string {
	t.Helper()
	kinds := []string{".go", ".md", ".js", ".mjs", ".html", ".proto", ".yml", ".yaml", ".sh"}
	var names []string
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"node_modules", ".git", "testdata", "bin"}, d.Name()):
			return fs.SkipDir
		case !d.IsDir() && (d.Name() == "Makefile" || slices.Contains(kinds, path.Ext(name))):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(names, "README.md") || !slices.Contains(names, "protocol/client.proto") {
		t.Fatalf("README.md or protocol/client.proto is not among the %d texts", len(names))
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var wordPatterns = func() []*regexp.Regexp {
	var patterns []*regexp.Regexp
	for _, w := range words {
		patterns = append(patterns, wordPattern(w.pattern))
	}
	return patterns
}()

// anyWord matches where one of wordPatterns does: most texts are searched only once.
var anyWord = func() *regexp.Regexp {
	var all []string
	for _, w := range words {
		all = append(all, w.pattern)
	}
	return wordPattern(strings.Join(all, "|"))
}()

func wordPattern(pattern string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b(?:` + strings.ReplaceAll(pattern, " ", `\s+`) + `)\b`)
}

// lineBreak joins a comment or sentence that is broken between two words.
var lineBreak = regexp.MustCompile(`\n[ \t]*(?://|#|\*)?[ \t]*`)

// findWords returns the uses of words in a text, including expressions of several
// words that a line break divides.
func findWords(name, text string) []finding {
	// Blanks instead of a break keep the offsets of what follows.
	flat := lineBreak.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat(" ", len(s)) })
	if !anyWord.MatchString(flat) {
		return nil
	}
	var found []finding
	for i, pattern := range wordPatterns {
		for _, at := range pattern.FindAllStringIndex(flat, -1) {
			begin := strings.LastIndex(text[:at[0]], "\n") + 1
			line, _, _ := strings.Cut(text[begin:], "\n")
			found = append(found, finding{name, strings.Count(text[:at[0]], "\n") + 1, line, words[i]})
		}
	}
	return found
}

func TestFindWords(t *testing.T) {
	for _, tt := range []struct {
		text string
		line int // of the finding; 0: there is none
	}{
		{"// a\n// the House rules\n", 2},
		{"warehouse, their, headroom, mender, lenticular, roommate", 0},
		{"func carryOut() {}", 1},
		{"// it is kept for\n\t// ever", 1},
		{"carries\nout", 1},
		{"// carry it out", 0},
		{"Nobody.", 1},
		{`fmt.Errorf("nobody is here")`, 1},
	} {
		line := 0
		if found := findWords("a.go", tt.text); len(found) > 0 {
			line = found[0].line
		}
		if line != tt.line {
			t.Errorf("findWords(%q) = line %d; want %d", tt.text, line, tt.line)
		}
	}
}
