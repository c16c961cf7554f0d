package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	module = "centrifugo"
	root   = "../.."
)

// source is one Go file of the repository.
type source struct {
	name    string // relative to the root, with slashes
	pkg     string // its directory
	file    *ast.File
	set     *token.FileSet
	lines   int
	test    bool
	exempt  bool // generated, or a table: the limits do not apply
	imports []string
}

// generated code and programs that generate it are not part of a package.
var generated = regexp.MustCompile(`(?m)^(// Code generated .* DO NOT EDIT\.|//go:build ignore)$`)

// load returns every Go file, parsed once for all tests.
func load(t *testing.T) []source {
	t.Helper()
	sources, err := loadOnce()
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 10 {
		t.Fatalf("only %d files: is the root of the repository still %s?; want at least 10", len(sources), root)
	}
	return sources
}

// loadOnce parses every Go file. It opens the files itself, rather than asking the
// go command, so that the test cache notices when one changes.
var loadOnce = sync.OnceValues(func() ([]source, error) {
	var sources []source
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		s, err := parse(name)
		sources = append(sources, s)
		return err
	})
	return sources, err
})

func parse(name string) (source, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return source{}, err
	}
	s := source{
		name: name, pkg: path.Dir(name), set: token.NewFileSet(), lines: strings.Count(string(text), "\n"),
		test: strings.HasSuffix(name, "_test.go"), exempt: generated.Match(text),
	}
	s.file, err = parser.ParseFile(s.set, name, text, parser.ParseComments)
	if err != nil {
		return s, err
	}
	for _, spec := range s.file.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return s, err
		}
		s.imports = append(s.imports, imp)
	}
	return s, nil
}

// local turns an import of this module into a directory; ok is false for others.
func local(imp string) (dir string, ok bool) {
	return strings.CutPrefix(imp, module+"/")
}

// within reports whether p is prefix or below it.
func within(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }

func anyWithin(p string, prefixes ...string) bool {
	for _, prefix := range prefixes {
		if within(p, prefix) {
			return true
		}
	}
	return false
}

// standard reports whether an import is of the standard library.
func standard(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".") && first != module
}
