package archtest

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	maxFileLines     = 700
	maxFunctionLines = 100
)

func TestSizes(t *testing.T) {
	for _, s := range load(t) {
		if s.exempt {
			continue
		}
		if s.lines > maxFileLines {
			t.Errorf("%s has %d lines; want at most %d", s.name, s.lines, maxFileLines)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil || isTable(f, s.test) {
				continue
			}
			if n := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1; n > maxFunctionLines {
				t.Errorf("%s: %s has %d lines; want at most %d", s.name, f.Name.Name, n, maxFunctionLines)
			}
		}
	}
}

// isTable reports whether most of a test is one composite literal.
func isTable(f *ast.FuncDecl, test bool) bool {
	if !test {
		return false
	}
	total := f.End() - f.Pos()
	table := false
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok && (lit.End()-lit.Pos())*2 > total {
			table = true
		}
		return !table
	})
	return table
}

func TestPackagesHaveComments(t *testing.T) {
	comments := make(map[string]int)
	for _, s := range load(t) {
		if s.test || s.exempt {
			continue
		}
		comments[s.pkg] += 0
		if s.file.Doc != nil {
			comments[s.pkg]++
		}
	}
	for pkg, n := range comments {
		if n != 1 {
			t.Errorf("%s has %d package comments, it should have one; want 1", pkg, n)
		}
	}
}

// attics are names that say nothing of what is inside.
var attics = regexp.MustCompile(`^(util|utils|common|helper|helpers|misc|types2|base|manager2)(_.*)?(\.go)?$`)

func TestNames(t *testing.T) {
	for _, s := range load(t) {
		for _, part := range strings.Split(s.name, "/") {
			if attics.MatchString(part) {
				t.Errorf("%s: %q names no subject", s.name, part)
			}
		}
	}
}

// TestNoSleepInTests: a test waits for the event itself, or runs in a synctest bubble.
func TestNoSleepInTests(t *testing.T) {
	sleep := regexp.MustCompile(`\btime\.Sleep\(`)
	for _, s := range load(t) {
		if !s.test || strings.HasPrefix(s.name, "internal/archtest/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(s.name)))
		if err != nil {
			t.Fatal(err)
		}
		if sleep.Match(text) && !strings.Contains(string(text), "testing/synctest") {
			t.Errorf("%s sleeps", s.name)
		}
	}
}

// TestWallClock: the core counts time on the monotonic clock. What comes from the
// wall clock, and goes back to it, passes through one file.
func TestWallClock(t *testing.T) {
	edges := map[string]bool{"centrifuge/timeline.go": true, "centrifuge/internal/eventloop/threaded.go": true}
	for _, s := range load(t) {
		if !within(s.pkg, "centrifuge") || s.test || edges[s.name] {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if e, ok := n.(*ast.SelectorExpr); ok {
				switch e.Sel.Name {
				case "Unix", "UnixMilli", "UnixMicro", "UnixNano":
					t.Errorf("%s: %s outside of the timeline", s.set.Position(e.Pos()), e.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestNolintHasReason: whoever silences the linter says why.
func TestNolintHasReason(t *testing.T) {
	for _, s := range load(t) {
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				if strings.HasPrefix(c.Text, "//nolint") && !strings.Contains(c.Text, " // ") {
					t.Errorf("%s: %s: no reason", s.set.Position(c.Pos()), c.Text)
				}
			}
		}
	}
}
