package centrifuge_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/api.txt")

// publicPackages are those whose exported names are a promise, by directory.
var publicPackages = []string{".", "../protocol", "transport/websocket", "transport/grpcstream", "centrifugetest", "prommetrics"}

// TestAPI compares the exported names of the public packages, with their signatures,
// with testdata/api.txt. The flag -update writes that file.
func TestAPI(t *testing.T) {
	var got bytes.Buffer
	for _, dir := range publicPackages {
		describe(t, &got, dir)
	}
	const golden = "testdata/api.txt"
	if *update {
		must(t, os.WriteFile(golden, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	have, had := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	for _, line := range have {
		if !slices.Contains(had, line) {
			t.Errorf("new or changed: %s; want it in the list", line)
		}
	}
	for _, line := range had {
		if !slices.Contains(have, line) {
			t.Errorf("removed or changed: %s; want it declared", line)
		}
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("the public API differs from " + golden + "; if that is meant, run this test with -update")
	}
}

// describe appends the exported declarations of the package in dir. No declaration may
// mention a package that its users cannot import.
func describe(t *testing.T, out *bytes.Buffer, dir string) {
	t.Helper()
	set := token.NewFileSet()
	var files []*ast.File
	hidden := make(map[string]bool) // local names of internal packages
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if !isSource(e) {
			continue
		}
		file, err := parser.ParseFile(set, filepath.Join(dir, e.Name()), nil, parser.ParseComments)
		must(t, err)
		files = append(files, file)
		for _, imported := range file.Imports {
			path := strings.Trim(imported.Path.Value, `"`)
			if strings.Contains("/"+path+"/", "/internal/") {
				name := path[strings.LastIndex(path, "/")+1:]
				if imported.Name != nil {
					name = imported.Name.Name
				}
				hidden[name] = true
			}
		}
	}
	pkg, err := doc.NewFromFiles(set, files, "centrifugo/"+filepath.ToSlash(filepath.Join("centrifuge", dir)))
	must(t, err)
	lines := declarations(set, pkg)
	for _, line := range lines {
		signature, _, _ := strings.Cut(line, " = ") // a value may come from anywhere
		for name := range hidden {
			if regexp.MustCompile(`\b` + name + `\.`).MatchString(signature) {
				t.Errorf("package %s: an exported declaration mentions an internal package: %s; want none", pkg.Name, line)
			}
		}
		out.WriteString(pkg.Name + ": " + line + "\n")
	}
}

func isSource(e fs.DirEntry) bool {
	return strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go") && !strings.HasSuffix(e.Name(), "_other.go")
}

// declarations returns the exported declarations, one a line, sorted.
func declarations(set *token.FileSet, pkg *doc.Package) []string {
	var lines []string
	values := func(groups []*doc.Value) {
		for _, group := range groups {
			for _, spec := range group.Decl.Specs {
				v := spec.(*ast.ValueSpec)
				for i, name := range v.Names {
					if !name.IsExported() {
						continue
					}
					line := group.Decl.Tok.String() + " " + name.Name
					if v.Type != nil {
						line += " " + source(set, v.Type)
					}
					if i < len(v.Values) {
						line += " = " + source(set, v.Values[i])
					}
					lines = append(lines, line)
				}
			}
		}
	}
	functions := func(funcs []*doc.Func) {
		for _, f := range funcs {
			decl := *f.Decl
			decl.Doc, decl.Body = nil, nil
			lines = append(lines, source(set, &decl))
		}
	}
	values(pkg.Consts)
	values(pkg.Vars)
	functions(pkg.Funcs)
	for _, typ := range pkg.Types {
		values(typ.Consts)
		values(typ.Vars)
		functions(typ.Funcs)
		functions(typ.Methods)
		for _, spec := range typ.Decl.Specs {
			lines = append(lines, typeLines(set, spec.(*ast.TypeSpec))...)
		}
	}
	slices.Sort(lines)
	return lines
}

// typeLines describes a type: a line for itself, and one for each exported field or
// method of an interface.
func typeLines(set *token.FileSet, spec *ast.TypeSpec) []string {
	head := "type " + spec.Name.Name
	var fields *ast.FieldList
	switch typ := spec.Type.(type) {
	case *ast.StructType:
		head, fields = head+" struct", typ.Fields
	case *ast.InterfaceType:
		head, fields = head+" interface", typ.Methods
	default:
		return []string{head + " " + source(set, spec.Type)}
	}
	lines := []string{head}
	for _, field := range fields.List {
		for _, name := range field.Names {
			if name.IsExported() {
				lines = append(lines, head+", "+name.Name+" "+source(set, field.Type))
			}
		}
		if typ := source(set, field.Type); len(field.Names) == 0 && ast.IsExported(strings.TrimLeft(typ[strings.LastIndex(typ, ".")+1:], "*")) {
			lines = append(lines, head+", embeds "+typ)
		}
	}
	return lines
}

// source prints a node on one line.
func source(set *token.FileSet, node any) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, set, node); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
