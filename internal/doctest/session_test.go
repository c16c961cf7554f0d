package doctest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"centrifugo/internal/testprocess"
)

// session runs the blocks of one document.
type session struct {
	t       *testing.T
	dir     string // working directory
	private string // what belongs to the session and not to the reader
	port    string // in place of 8000
	other   string // in place of 3000, for a backend
	second  string // in place of 3001, for a second one
	grpc    string // in place of 10000
	// in place of 5432; 5432 where no database runs
	postgres string
	environ  []string
	server   *process
	beside   []*process        // those in the background; the last one is read
	printed  string            // by the last block that ran in the foreground
	skipped  bool              // whether the last block that could print was
	without  bool              // whether the last block for the background was skipped
	names    map[string]string // what stands for the names of transcripts
}

func newSession(t *testing.T) *session {
	t.Helper()
	s := &session{t: t, names: map[string]string{}, dir: t.TempDir(), private: t.TempDir(), port: strconv.Itoa(testprocess.FreePort(t)), other: strconv.Itoa(testprocess.FreePort(t)), second: strconv.Itoa(testprocess.FreePort(t)), grpc: strconv.Itoa(testprocess.FreePort(t)), postgres: "5432"}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "CENTRIFUGO_") && !strings.HasPrefix(variable, "PATH=") {
			s.environ = append(s.environ, variable)
		}
	}
	s.environ = append(s.environ, "CENTRIFUGO_HTTP_SERVER_PORT="+s.port, "CENTRIFUGO_GRPC_API_PORT="+s.grpc, "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"),
		"GOFLAGS="+strings.TrimSpace(goFlags+" "+os.Getenv("GOFLAGS")), "PWD="+s.dir)
	if err := os.WriteFile(s.state(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if modules := filepath.Join(root, "e2e", "node_modules"); exists(modules) {
		if err := os.Symlink(modules, filepath.Join(s.dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		s.server.stop()
		for _, p := range s.beside {
			p.stop()
		}
	})
	return s
}

// state is a script with the variables that earlier blocks have set.
func (s *session) state() string { return filepath.Join(s.private, "variables") }

// run executes a block and says what is wrong with it.
func (s *session) run(b block) error {
	text := strings.NewReplacer("localhost:8000", "localhost:"+s.port, "0.1:8000", "0.1:"+s.port, "…:8000", "…:"+s.port,
		"localhost:10000", "localhost:"+s.grpc, "0.1:5432", "0.1:"+s.postgres, "localhost:3000", "localhost:"+s.other, "listen(3000", "listen("+s.other, "backend.py 3000", "backend.py "+s.other, "localhost:3001", "localhost:"+s.second, "backend.py 3001", "backend.py "+s.second, "listen 443", "listen 127.0.0.1:"+s.other).Replace(b.text)
	if reason, ok := b.attrs["skip"]; ok {
		s.t.Logf("SKIPPED %s: %s", b, skipReasons[reason])
		s.skipped = true
		return nil
	}
	if b.has("output") {
		return s.compare(b, text)
	}
	if program, ok := b.attrs["needs"]; ok {
		delete(b.attrs, "needs")
		return s.with(program, b, func() error { return s.run(b) })
	}
	if name, ok := b.attrs["file"]; ok {
		if err := os.WriteFile(filepath.Join(s.dir, filepath.FromSlash(name)), []byte(text), 0o600); err != nil {
			return fmt.Errorf("writing a file: %w", err)
		}
	}
	if kind, ok := b.attrs["claims"]; ok {
		return s.checkClaims(kind, text)
	}
	switch b.lang {
	case "", "text":
		if b.has("transcript") {
			return s.replay(b, text)
		}
		return nil
	case "json", "yaml", "toml":
		return s.checkConfiguration(b.lang, text)
	case "go":
		if b.has("file") { // a shell block builds it
			return nil
		}
		return s.compile(text)
	case "nginx":
		return s.with("nginx", b, func() error { return s.checkNginx(text) })
	case "haproxy", "caddyfile":
		return nil // server/internal/app runs them (TestProxies)
	case "ini":
		return s.with("systemd-analyze", b, func() error { return s.checkUnit(text) })
	case "sh":
		return s.with(interpreterOf(text), b, func() error { return s.shell(b, text) })
	}
	if b.has("file") { // a shell block runs it
		return nil
	}
	interpreter := map[string]string{"js": "node", "php": "php", "python": "python3"}[b.lang]
	if interpreter == "" {
		return fmt.Errorf("nothing runs the language %q", b.lang)
	}
	name := filepath.Join(s.dir, "block."+map[string]string{"js": "mjs", "php": "php", "python": "py"}[b.lang])
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing a program: %w", err)
	}
	return s.with(interpreter, b, func() error { return s.shell(b, interpreter+" "+name+"\n") })
}

// interpreterOf names the program that a script needs and a machine may lack.
func interpreterOf(script string) string {
	for _, name := range []string{"node", "php", "python3", "make", "curl"} {
		for line := range strings.Lines(script) {
			if slices.Contains(strings.Fields(strings.ReplaceAll(line, "$(", " ")), name) {
				return name
			}
		}
	}
	return "sh"
}

// with calls f if a program is there.
func (s *session) with(program string, b block, f func() error) error {
	_, err := exec.LookPath(program)
	missing := err != nil || program == "node" && !exists(filepath.Join(s.dir, "node_modules"))
	s.skipped = missing
	if b.has("background") {
		s.without = missing
	}
	if !missing {
		return f()
	}
	if slices.Contains(strings.Fields(os.Getenv("DOCTEST_REQUIRE")), program) {
		return fmt.Errorf("%s is not installed", program)
	}
	s.t.Logf("SKIPPED %s: %s is not installed (node also needs e2e/setup.sh)", b, program)
	return nil
}

// shell runs a script. Its variables last.
func (s *session) shell(b block, text string) error {
	script := ". " + s.state() + "\nset -a\n" + text
	if b.has("server") || b.has("background") {
		return s.start(b, script)
	}
	cmd := s.command("sh", "-e", "-c", script+"\nexport -p > "+s.state()+"\n")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := run(cmd); err != nil {
		return fmt.Errorf("%w\n%s%s", err, &stdout, &stderr)
	}
	s.printed = stdout.String()
	return nil
}

// start runs a script beside the following blocks.
func (s *session) start(b block, script string) error {
	until := b.attrs["until"]
	if b.has("server") {
		until = `"serving"`
		s.server.stop()
	}
	p, err := startProcess(s.command("sh", "-e", "-c", script))
	if err != nil {
		return err
	}
	if b.has("server") {
		s.server = p
	} else {
		s.beside = append(s.beside, p)
	}
	return p.await(func(printed string) error {
		if !strings.Contains(printed, until) {
			return fmt.Errorf("%q has not been printed", until)
		}
		return nil
	})
}

// compare compares a documented output with that of the block before it.
func (s *session) compare(b block, text string) error {
	if what := b.attrs["output"]; what == "" && s.skipped || what == "background" && s.without {
		s.t.Logf("SKIPPED %s: the block that prints it was skipped", b)
		return nil
	}
	from := s.server
	switch b.attrs["output"] {
	case "":
		return sameOutput(b.lang, text, s.printed)
	case "background":
		if from = nil; len(s.beside) > 0 {
			from = s.beside[len(s.beside)-1]
		}
	}
	if from == nil {
		return errors.New("no block runs in the background")
	}
	return from.await(func(printed string) error { return sameOutput(b.lang, text, printed) })
}

func (s *session) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = s.dir, s.environ
	return cmd
}

// check runs a program that judges a file with the text.
func (s *session) check(file, text string, name string, args ...string) error {
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing a file: %w", err)
	}
	cmd := s.command(name, args...)
	cmd.Dir = s.private // without the reader's config.json and .env
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := run(cmd); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, &output)
	}
	return nil
}

func (s *session) checkConfiguration(format, text string) error {
	text, err := s.withCertificate(text)
	if err != nil {
		return err
	}
	file := filepath.Join(s.private, "checked."+format)
	return s.check(file, text, binary, "checkconfig", "--strict", "-c", file)
}

func (s *session) checkUnit(text string) error {
	text = strings.ReplaceAll(text, "/usr/local/bin/centrifugo", binary)
	file := filepath.Join(s.private, "centrifugo.service")
	return s.check(file, text, "systemd-analyze", "verify", file)
}

// withCertificate replaces the paths of a certificate and its key that the documents name by
// those of real ones.
func (s *session) withCertificate(text string) (string, error) {
	const documented, documentedKey = "/etc/ssl/rt.example.com.pem", "/etc/ssl/rt.example.com.key"
	if !strings.Contains(text, documented) {
		return text, nil
	}
	certificate := filepath.Join(s.private, "certificate.pem")
	cmd := s.command("go", "run", filepath.Join(runtimeRoot(), "src/crypto/tls/generate_cert.go"), "-host", "localhost")
	cmd.Dir = s.private
	if err := run(cmd); err != nil {
		return "", fmt.Errorf("making a certificate: %w", err)
	}
	if err := os.Rename(filepath.Join(s.private, "cert.pem"), certificate); err != nil {
		return "", fmt.Errorf("making a certificate: %w", err)
	}
	return strings.NewReplacer(documented, certificate, documentedKey, filepath.Join(s.private, "key.pem")).Replace(text), nil
}

// checkNginx puts the block where nginx includes such files.
func (s *session) checkNginx(text string) error {
	text, err := s.withCertificate(text)
	if err != nil {
		return err
	}
	file := filepath.Join(s.private, "nginx.conf")
	return s.check(file, "pid "+s.private+"/nginx.pid;\nevents {}\nhttp {\n"+text+"}\n", "nginx", "-t", "-q", "-c", file, "-e", "stderr")
}

// compile builds a program inside the module without writing to it.
func (s *session) compile(text string) error {
	source, overlay := filepath.Join(s.private, "main.go"), filepath.Join(s.private, "overlay.json")
	place := filepath.Join(root, "internal", "doctest", "example", "main.go")
	raw, err := json.Marshal(map[string]any{"Replace": map[string]string{place: source}})
	if err != nil {
		return fmt.Errorf("encoding the overlay: %w", err)
	}
	if err := os.WriteFile(overlay, raw, 0o600); err != nil {
		return fmt.Errorf("writing the overlay: %w", err)
	}
	return s.check(source, text, "go", "-C", root, "build", "-overlay", overlay, "-o", os.DevNull, "./internal/doctest/example")
}

// checkClaims has a token with the claims checked.
func (s *session) checkClaims(kind, text string) error {
	command, ok := map[string]string{"connection": "checktoken", "subscription": "checksubtoken"}[kind]
	if !ok {
		return fmt.Errorf("unknown kind of claims %q", kind)
	}
	if !json.Valid([]byte(text)) {
		return errors.New("the claims are not JSON")
	}
	file := filepath.Join(s.private, "claims.json")
	return s.check(file, `{"client":{"token":{"hmac_secret_key":"secret"}}}`, binary, command, "-c", file, sign(text, "secret"))
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}
