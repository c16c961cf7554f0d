package doctest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"centrifugo/internal/pgtest"
	_ "centrifugo/server" // so that the test cache notices changes of the server
)

var (
	root   string // of the repository
	binary string // the server, built once
)

// goFlags makes the build cache serve copies of the repository too.
const goFlags = "-trimpath"

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	err := func() (err error) {
		root, err = filepath.Abs(filepath.Join("..", ".."))
		return err
	}()
	dir, err2 := os.MkdirTemp("", "doctest")
	if err := errors.Join(err, err2); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "centrifugo")
	build := exec.Command("go", "build", goFlags, "-o", binary, "./cmd/centrifugo")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the server: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

func runtimeRoot() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// TestDocuments runs README.md and every document of docs.
func TestDocuments(t *testing.T) {
	var files []string
	for _, pattern := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v; want one file at least", pattern, found, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		name, _ := filepath.Rel(root, file) // both are absolute
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found, err := blocks(name, string(text))
		if err != nil {
			t.Error(err)
		}
		if len(found) == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := newSession(t)
			switch name {
			case "README.md":
				s.copyRepository()
			case "docs/library.md", "docs/grpc.md", "docs/proxy.md", "docs/scale.md", "docs/tokens.md":
				s.linkRepository()
			case "docs/consumers.md":
				s.linkRepository()
				s.postgres = strconv.Itoa(pgtest.Start(t).Port)
			}
			for _, b := range found {
				if err := s.run(b); err != nil {
					t.Fatalf("%s: %v", b, err)
				}
			}
		})
	}
}

// linkRepository gives the reader a clone named centrifugo, beside which modules
// of the reader's are made.
func (s *session) linkRepository() {
	s.t.Helper()
	if err := os.Symlink(root, filepath.Join(s.dir, "centrifugo")); err != nil {
		s.t.Fatal(err)
	}
}

// copyRepository gives the reader a clone to build in.
func (s *session) copyRepository() {
	s.t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || slices.Contains([]string{"bench", "bin", "e2e"}, name) {
			continue // what a program is not built from
		}
		from, to := filepath.Join(root, name), filepath.Join(s.dir, name)
		info, err := os.Stat(from)
		if err != nil {
			s.t.Fatal(err)
		}
		if info.IsDir() {
			err = os.CopyFS(to, os.DirFS(from))
		} else {
			var text []byte
			if text, err = os.ReadFile(from); err == nil {
				err = os.WriteFile(to, text, 0o600)
			}
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestMistakesAreFound: a document with a mistake fails.
func TestMistakesAreFound(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"command that fails", "```sh\nfalse\n```\n"},
		{"command that fails before one that does not", "```sh\nfalse\ntrue\n```\n"},
		{"command that is not there", "```sh\ncentrifuga version\n```\n"},
		{"output", "```sh\necho '{\"a\":1}'\n```\n```json output\n{\"a\":2}\n```\n"},
		{"text", "```sh\necho a\n```\n```text output\nb\n```\n"},
		{"unknown key", "```json\n{\"chanel\":{}}\n```\n"},
		{"not JSON", "```json\n{\"client\": …}\n```\n"},
		{"invalid YAML configuration", "```yaml\nclient: {ping_interval: 1s}\n```\n"},
		{"unknown key in TOML", "```toml\n[clients]\na = 1\n```\n"},
		{"Go that does not compile", "```go\npackage main\n\nfunc main() { undefined() }\n```\n"},
		{"Go that is no program", "```go\nx := 1\n```\n"},
		{"claims", "```json claims=connection\n{\"sub\": 42}\n```\n"},
		{"claims of another kind", "```json claims=connection\n{\"sub\": \"42\", \"channel\": \"x\"}\n```\n"},
		{"server that does not start", "```sh server\ncentrifugo -c none.yaml --nope\n```\n"},
		{"background that prints nothing", "```sh background until=x\ntrue\n```\n"},
		{"output of nothing", "```text output=background\nx\n```\n"},
		{"variable that is not set", "```sh\ntest \"$A\" = 1\n```\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, err := blocks("a.md", tt.text)
			if err != nil {
				t.Fatal(err)
			}
			s := newSession(t)
			for _, b := range found {
				err = errors.Join(err, s.run(b))
			}
			if err == nil {
				t.Error("the mistake is not found; want an error")
			}
		})
	}
}

// TestSessionLasts: variables, files and the server last from block to block.
func TestSessionLasts(t *testing.T) {
	const text = "```sh\nA='x y'\n```\n```sh\ntest \"$A\" = 'x y'\necho 1 > f\n```\n```sh\ncat f\n```\n```text output\n1\n```\n" +
		"```sh server\ncentrifugo --health.enabled\n```\n```sh\ncurl -sS http://localhost:8000/health\n```\n```json output\n{}\n```\n" +
		"```sh background until=begun\necho begun; echo done; sleep 100\n```\n```text output=background\ndone\n```\n"
	found, err := blocks("a.md", text)
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(t)
	for _, b := range found {
		if err := s.run(b); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
}

// TestMissingPrograms: without the program in the background, what it would print is
// skipped, also after blocks that run; DOCTEST_REQUIRE makes it an error.
func TestMissingPrograms(t *testing.T) {
	const text = "```sh background\nnode x.mjs\n```\n```sh\necho a\n```\n```text output=background\nb\n```\n" +
		"```sh\nnode x.mjs\n```\n```text output\nc\n```\n```sh\necho a\n```\n```text output\na\n```\n```sh needs=node\nfalse\n```\n"
	found, err := blocks("a.md", text)
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(t)
	_ = os.Remove(filepath.Join(s.dir, "node_modules")) // it may not be there
	for _, b := range found {
		if err := s.run(b); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
	t.Setenv("DOCTEST_REQUIRE", "python3 node")
	if err := s.run(found[0]); err == nil {
		t.Error("a program that is required is not missed; want an error")
	}
}

// TestPackagesOfNode: what a document tells the reader to install is what the tests have.
func TestPackagesOfNode(t *testing.T) {
	pinned, err := os.ReadFile(filepath.Join(root, "e2e", "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "docs/tutorial.md"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for line := range strings.Lines(string(text)) {
			packages, ok := strings.CutPrefix(line, "npm install ")
			if !ok {
				continue
			}
			found = true
			for _, p := range strings.Fields(packages) {
				if !strings.Contains(string(pinned), `"`+p+`":`) {
					t.Errorf("%s: npm install %s, which e2e/package.json does not have; want %q in it", name, p, `"`+p+`":`)
				}
			}
		}
		if !found {
			t.Errorf("%s: no npm install; want one", name)
		}
	}
}
