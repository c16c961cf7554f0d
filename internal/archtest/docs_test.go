package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// section returns the text of a document below the heading with the number, as far as
// the next heading of the same or a higher level.
func section(t *testing.T, document, number string) string {
	t.Helper()
	_, text, ok := strings.Cut("\n"+read(t, document), "\n"+strings.Repeat("#", strings.Count(number, ".")+2)+" "+number+" ")
	if !ok {
		t.Fatalf("%s has no section %s", document, number)
	}
	end := regexp.MustCompile(fmt.Sprintf(`(?m)^#{1,%d} `, strings.Count(number, ".")+2))
	if at := end.FindStringIndex(text); at != nil {
		text = text[:at[0]]
	}
	return text
}

// rows returns the cells of the rows of all tables of a text, without headings.
func rows(text string) (out [][]string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|--") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		out = append(out, cells)
	}
	return out
}

// A code is a composite literal such as Disconnect{3001, "shutdown"}.
type code struct {
	number    int
	text      string
	temporary bool
}

// codes finds the package-level variables of a type of package centrifuge.
func codes(t *testing.T, typ string) map[int]code {
	t.Helper()
	found := make(map[int]code)
	for _, s := range load(t) {
		if s.pkg != "centrifuge" || s.test {
			continue
		}
		for _, decl := range s.file.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok || d.Tok != token.VAR {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if lit, ok := n.(*ast.CompositeLit); ok && isIdent(lit.Type, typ) {
					c := codeOf(lit)
					found[c.number] = c
				}
				return true
			})
		}
	}
	if len(found) < 5 {
		t.Fatalf("found %d values of %s; want at least 5", len(found), typ)
	}
	return found
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func codeOf(lit *ast.CompositeLit) (c code) {
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			e = kv.Value
		}
		switch e := e.(type) {
		case *ast.BasicLit:
			if e.Kind == token.INT {
				c.number, _ = strconv.Atoi(e.Value) // 0 is found out as a missing row
			} else {
				c.text, _ = strconv.Unquote(e.Value)
			}
		case *ast.Ident:
			c.temporary = e.Name == "true"
		}
	}
	return c
}

// TestCodes: docs/protocol.md lists the codes of package centrifuge, and no others.
func TestCodes(t *testing.T) {
	for _, tt := range []struct{ section, typ string }{{"7.1", "Error"}, {"7.2", "Disconnect"}, {"7.3", "Unsubscribe"}} {
		want := codes(t, tt.typ)
		for _, row := range rows(section(t, "docs/protocol.md", tt.section)) {
			number, err := strconv.Atoi(row[0])
			if err != nil {
				continue // the heading
			}
			c, ok := want[number]
			delete(want, number)
			third := row[2]
			switch {
			case !ok:
				t.Errorf("section %s lists %d, which package centrifuge does not have", tt.section, number)
			case row[1] != c.text:
				t.Errorf("section %s: text of %d = %q; want %q", tt.section, number, row[1], c.text)
			case tt.typ == "Error" && (third == "yes") != c.temporary:
				t.Errorf("section %s: temporary of %d = %q; want %v", tt.section, number, third, c.temporary)
			case tt.typ == "Disconnect" && number != 3000 && (third == "yes") != (number < 3500):
				t.Errorf("section %s: reconnect of %d = %q", tt.section, number, third)
			}
		}
		for number, c := range want {
			t.Errorf("section %s does not list %d %q", tt.section, number, c.text)
		}
	}
}

// TestSchemaIsDocumented: docs/protocol.md names every field of the schema, with its
// number where a table has one.
func TestSchemaIsDocumented(t *testing.T) {
	text := section(t, "docs/protocol.md", "4") + section(t, "docs/protocol.md", "8.2") + section(t, "docs/protocol.md", "10")
	message := regexp.MustCompile(`(?ms)^message (\w+) \{\n(.*?)^\}`)
	field := regexp.MustCompile(`(?m)^  .*?(\w+) = (\d+);`)
	numbers := make(map[string]map[string]bool) // by field name, of all messages
	for _, m := range message.FindAllStringSubmatch(read(t, "protocol/client.proto"), -1) {
		for _, f := range field.FindAllStringSubmatch(m[2], -1) {
			if numbers[f[1]] == nil {
				numbers[f[1]] = make(map[string]bool)
			}
			numbers[f[1]][f[2]] = true
		}
	}
	if !numbers["connect"]["4"] || !numbers["connect"]["5"] || !numbers["connect"]["10"] {
		t.Fatalf("numbers of connect = %v: the schema is not read", numbers["connect"])
	}
	documented := regexp.MustCompile("(?m)(?:^\\| (\\d+) \\||(\\d+)) `(\\w+)`")
	for _, m := range documented.FindAllStringSubmatch(text, -1) {
		if all, ok := numbers[m[3]]; ok && !all[m[1]+m[2]] {
			t.Errorf("docs/protocol.md: field %s has the number %s; want one of %v", m[3], m[1]+m[2], all)
		}
	}
	for name := range numbers {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("docs/protocol.md, section 4, does not name the field %s; want %q in it", name, "`"+name+"`")
		}
	}
}

// TestMetrics: docs/server.md lists the metrics that the code has, with their labels.
func TestMetrics(t *testing.T) {
	want := make(map[string][]string) // labels by name
	for _, s := range load(t) {
		if s.test || s.pkg != "centrifuge/prommetrics" && s.pkg != "server/internal/app" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			// desc("name", "help", "label", …), or NewCounterVec(Opts{Name: …}, []string{"label", …})
			if isIdent(call.Fun, "desc") {
				texts := stringsIn(call.Args)
				want[texts[0]] = texts[2:]
			} else if name := metricName(call.Args); name != "" {
				want[name] = stringsIn(call.Args[1:])
			}
			return true
		})
	}
	if len(want) < 30 {
		t.Fatalf("found %d metrics; want 30 at least", len(want))
	}
	for _, row := range rows(section(t, "docs/server.md", "9")) {
		name := strings.Trim(row[0], "`")
		if !strings.HasPrefix(row[0], "`") {
			continue
		}
		labels, ok := want[name]
		delete(want, name)
		if shown := strings.ReplaceAll(row[2], "`", ""); !ok {
			t.Errorf("section 9 lists the metric %s, which the code does not have", name)
		} else if shown != strings.Join(labels, ", ") {
			t.Errorf("section 9: labels of %s = %q; want %q", name, shown, labels)
		}
	}
	for name := range want {
		t.Errorf("section 9 does not list the metric %s", name)
	}
}

func stringsIn(exprs []ast.Expr) (texts []string) {
	for _, e := range exprs {
		ast.Inspect(e, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, _ := strconv.Unquote(lit.Value)
				texts = append(texts, text)
			}
			_, function := n.(*ast.FuncLit)
			return !function
		})
	}
	return texts
}

// metricName returns the name in options such as prometheus.CounterOpts{Name: "centrifugo_x"}.
func metricName(args []ast.Expr) string {
	if len(args) == 0 {
		return ""
	}
	lit, ok := args[0].(*ast.CompositeLit)
	if !ok {
		return ""
	}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok && isIdent(kv.Key, "Name") {
			if texts := stringsIn([]ast.Expr{kv.Value}); len(texts) == 1 {
				name, _ := strings.CutPrefix(texts[0], "centrifugo_")
				return name
			}
		}
	}
	return ""
}

// citation is a reference to a section, such as "protocol.md 5.4", in a comment, or in
// a document as the text of a link.
var citation = regexp.MustCompile(`\b(protocol|server)\.md (\d+(?:\.\d+)*)`)

// foreign matches citations of documents that are not part of the repository.
var foreign = regexp.MustCompile(`client-protocol|server-interface|\b[Tt]rap \d`)

// TestCitations: the sections that texts cite exist, and no text cites a document that
// a reader does not have.
func TestCitations(t *testing.T) {
	cited := 0
	for _, name := range texts(t) {
		if strings.HasPrefix(name, "internal/archtest/") {
			continue
		}
		flat := lineBreak.ReplaceAllString(read(t, name), " ")
		if m := foreign.FindString(flat); m != "" {
			t.Errorf("%s cites %q; want a section of docs/protocol.md or docs/server.md", name, m)
		}
		for _, m := range citation.FindAllStringSubmatch(flat, -1) {
			cited++
			heading := "\n" + strings.Repeat("#", strings.Count(m[2], ".")+2) + " " + m[2] + " "
			if !strings.Contains("\n"+read(t, "docs/"+m[1]+".md"), heading) {
				t.Errorf("%s cites %s, which does not exist; want %q in it", name, m[0], heading)
			}
		}
	}
	if cited == 0 {
		t.Error("no text cites a section: the test does not see the citations; want more than 0")
	}
}

// TestPackageTable: the package table of docs/architecture.md lists every directory with
// Go code, and no others. An entry covers the directories below it; examples and programs
// are described elsewhere.
func TestPackageTable(t *testing.T) {
	_, text, ok := strings.Cut(read(t, "docs/architecture.md"), "\n## Packages\n")
	if !ok {
		t.Fatal("docs/architecture.md has no section Packages")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	listed := make(map[string]bool) // whether a directory uses the entry
	name := regexp.MustCompile("`([a-z/*]+)`")
	for line := range strings.Lines(text) {
		row := strings.Split(line, "|")
		if len(row) < 4 {
			continue
		}
		parent := "" // later names of a cell have the directory of the first
		for _, m := range name.FindAllStringSubmatch(row[1], -1) {
			entry := strings.TrimSuffix(m[1], "/*")
			if parent == "" {
				parent = path.Dir(entry)
			} else {
				entry = path.Join(parent, entry)
			}
			listed[entry] = false
		}
	}
	seen := make(map[string]bool)
	for _, s := range load(t) {
		if seen[s.pkg] || anyWithin(s.pkg, "examples", "cmd") {
			continue
		}
		seen[s.pkg] = true
		best := "" // the longest entry that covers the package
		for entry := range listed {
			if within(s.pkg, entry) && len(entry) > len(best) {
				best = entry
			}
		}
		// A package of internal is in the table by its own name: the entry of its parent is not enough.
		if rest, inner := strings.CutPrefix(s.pkg, best+"/"); best == "" || inner && strings.HasPrefix(rest, "internal/") {
			t.Errorf("the package table of docs/architecture.md does not list %s", s.pkg)
			continue
		}
		listed[best] = true
	}
	for entry, used := range listed {
		if !used {
			t.Errorf("docs/architecture.md lists the package %s, which has no Go file", entry)
		}
	}
}

// TestDecisions: each record of a decision has a number of its own, which its heading repeats.
func TestDecisions(t *testing.T) {
	seen := make(map[string]string)
	for _, name := range texts(t) {
		file, ok := strings.CutPrefix(name, "docs/adr/")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(file, "-")
		if other := seen[number]; other != "" {
			t.Errorf("%s and %s have the same number; want nothing", other, file)
		}
		seen[number] = file
		if want := "# " + strings.TrimLeft(number, "0") + ". "; !strings.HasPrefix(read(t, name), want) {
			t.Errorf("%s begins with %.20q; want %q", name, read(t, name), want)
		}
	}
	if len(seen) < 15 {
		t.Errorf("%d records were found; want at least 15", len(seen))
	}
}
