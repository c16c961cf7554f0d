package openapi

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"regexp"
	"strings"
)

// comments holds the comments of struct types by "Type" and of their fields by
// "Type.Field".
type comments map[string]string

// citation matches a reference that readers of the document cannot follow.
var citation = regexp.MustCompile(` \([^)]*(docs/|\.md)[^)]*\)`)

// readComments reads the Go files of the packages in a directory.
func readComments(source fs.FS) (comments, error) {
	var names []string
	for _, pkg := range packages {
		found, err := fs.Glob(source, pkg+"/*.go")
		if err != nil {
			return nil, fmt.Errorf("listing the sources: %w", err)
		}
		names = append(names, found...)
	}
	c := comments{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := fs.ReadFile(source, name)
		if err != nil {
			return nil, fmt.Errorf("reading the sources: %w", err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parsing the sources: %w", err)
		}
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.GenDecl); ok {
				c.add(d)
			}
		}
	}
	return c, nil
}

func (c comments) add(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		structure, ok := t.Type.(*ast.StructType)
		if !ok {
			continue
		}
		doc := t.Doc
		if doc == nil {
			doc = d.Doc
		}
		c[t.Name.Name] = sentence(doc)
		for _, f := range structure.Fields.List {
			for _, name := range f.Names {
				c[t.Name.Name+"."+name.Name] = sentence(f.Doc)
			}
		}
	}
}

// sentence returns a comment as one line.
func sentence(doc *ast.CommentGroup) string {
	return citation.ReplaceAllString(strings.Join(strings.Fields(doc.Text()), " "), "")
}
