package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestLogFields checks that every field of a log line is in the list of docs/logs.md, and that
// the list has no others: a field has one name everywhere.
func TestLogFields(t *testing.T) {
	listed := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(read(t, "docs/logs.md"), -1) {
		if listed[m[1]] {
			t.Errorf("docs/logs.md has %q twice", m[1])
		}
		listed[m[1]] = true
	}
	if len(listed) < 50 {
		t.Fatalf("docs/logs.md lists %d fields; want 50 at least: has its form changed?", len(listed))
	}
	used := map[string]bool{"time": true, "level": true, "message": true} // of every line
	for _, s := range load(t) {
		if s.test || s.exempt || !anyWithin(s.pkg, "centrifuge", "server", "internal") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			var fields []string
			switch n := n.(type) {
			case *ast.CallExpr:
				fields = logFields(n)
			case *ast.CompositeLit: // fields := []any{"name", value}
				fields = fieldList(n)
			}
			for _, field := range fields {
				used[field] = true
				if !listed[field] {
					t.Errorf("%s: field %q is not in docs/logs.md", s.set.Position(n.Pos()), field)
				}
			}
			return true
		})
	}
	for field := range listed {
		if !used[field] {
			t.Errorf("docs/logs.md has %q, which no line has", field)
		}
	}
}

// logFields returns the names of fields that a call logs, makes or collects.
func logFields(call *ast.CallExpr) (fields []string) {
	arguments := call.Args
	switch f := call.Fun.(type) {
	case *ast.Ident: // fields = append(fields, "name", value)
		if f.Name != "append" || !regexp.MustCompile(`^(attrs|fields)$`).MatchString(nameOf(arguments[0])) {
			return nil
		}
		arguments = arguments[1:]
	case *ast.SelectorExpr:
		switch {
		case nameOf(f.X) == "slog":
			switch f.Sel.Name {
			case "String", "Int", "Int64", "Uint64", "Any", "Duration", "Bool", "Time":
				return literals(arguments[:1])
			}
			return nil
		case f.Sel.Name == "With" && strings.Contains(strings.ToLower(nameOf(f.X)), "log"):
		case regexp.MustCompile(`^(Debug|Info|Warn|Error|Failed)$`).MatchString(f.Sel.Name) &&
			(strings.Contains(strings.ToLower(nameOf(f.X)), "log") || nameOf(f.X) == "p" || nameOf(f.X) == "processor"):
			arguments = arguments[min(1, len(arguments)):] // the message
		case regexp.MustCompile(`^(Log|log)$`).MatchString(f.Sel.Name):
			for len(arguments) > 0 && len(literals(arguments[:1])) == 0 {
				arguments = arguments[1:] // the context and the level
			}
			arguments = arguments[min(1, len(arguments)):] // the message
		default:
			return nil
		}
	default:
		return nil
	}
	for i := 0; i < len(arguments); i += 2 {
		fields = append(fields, literals(arguments[i:i+1])...)
	}
	return fields
}

// fieldList returns the names of fields of a list of names and values.
func fieldList(list *ast.CompositeLit) (fields []string) {
	of, ok := list.Type.(*ast.ArrayType)
	if !ok || nameOf(of.Elt) != "any" || len(list.Elts)%2 != 0 {
		return nil
	}
	for i := 0; i < len(list.Elts); i += 2 {
		fields = append(fields, literals(list.Elts[i:i+1])...)
	}
	return fields
}

// nameOf returns the last part of an expression such as a.b.log.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// literals returns the texts that are written in the source.
func literals(expressions []ast.Expr) (texts []string) {
	for _, e := range expressions {
		if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if text, err := strconv.Unquote(l.Value); err == nil {
				texts = append(texts, text)
			}
		}
	}
	return texts
}
