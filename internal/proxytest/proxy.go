// Package proxytest starts reverse proxies for tests, with the configurations that
// docs/deployment.md shows. They listen on free ports of the loopback interface and are
// stopped when the test that started them ends.
package proxytest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"centrifugo/internal/testprocess"
)

// Config says what a proxy does.
type Config struct {
	// Document is the path of docs/deployment.md.
	Document string
	// Upstream is the address of the server behind the proxy.
	Upstream string
	// Certificate and Key are in PEM. Without them the proxy serves without TLS.
	Certificate, Key string
	// WithoutUpgrade leaves WebSocket out of the configuration (nginx only).
	WithoutUpgrade bool
}

// kind is a program, and how the configuration in the document becomes one for a test.
type kind struct {
	// language is that of the block in the document.
	language string
	// file makes the file of configuration of a block. Dir is empty, address is where the
	// proxy has to listen.
	file func(e *edit, c Config, dir, address string)
	args []string // FILE and DIR stand for those
}

var kinds = map[string]kind{
	"nginx":   {"nginx", nginxFile, []string{"-c", "FILE", "-p", "DIR", "-e", "stderr"}},
	"haproxy": {"haproxy", haproxyFile, []string{"-db", "-f", "FILE"}},
	"caddy":   {"caddyfile", caddyFile, []string{"run", "--adapter", "caddyfile", "--config", "FILE"}},
}

// edit is a text that must have what is replaced in it: a document that changes must not
// make a test prove something else.
type edit struct {
	t    testing.TB
	text string
}

func (e *edit) replace(old, with string) {
	e.t.Helper()
	if !strings.Contains(e.text, old) {
		e.t.Fatalf("the configuration in the document has no %q:\n%s", old, e.text)
	}
	e.text = strings.ReplaceAll(e.text, old, with)
}

// Start starts nginx, haproxy or caddy, and returns its address.
func Start(t testing.TB, name string, c Config) (address string) {
	t.Helper()
	k := kinds[name]
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed; internal/proxytest/setup.sh installs it: %v", name, err)
	}
	block := Block(t, c.Document, k.language)
	proxy := testprocess.New(t, syscall.SIGKILL)
	address = testprocess.FreeAddress(t)
	dir := t.TempDir()
	e := &edit{t, block}
	e.replace("127.0.0.1:8000", c.Upstream)
	k.file(e, c, dir, address)
	file := write(t, filepath.Join(dir, "proxy.conf"), e.text)
	args := make([]string, len(k.args))
	for i, arg := range k.args {
		args[i] = strings.NewReplacer("FILE", file, "DIR", dir).Replace(arg)
	}
	cmd := exec.Command(program, args...) //nolint:gosec // the test says what to start
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	proxy.Start(cmd)
	proxy.Await("the proxy to listen", func() bool { return listens(address) })
	return address
}

// Block returns the only fenced block of a language in a Markdown document.
func Block(t testing.TB, document, language string) string {
	t.Helper()
	text, err := os.ReadFile(document) //nolint:gosec // the test says which
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "\n```"+language+"\n")
	if len(parts) != 2 {
		t.Fatalf("%s has %d blocks of %s; want 1", document, len(parts)-1, language)
	}
	block, _, closed := strings.Cut(parts[1], "\n```\n")
	if !closed {
		t.Fatalf("%s: the block of %s has no end", document, language)
	}
	return block + "\n"
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func listens(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// nginxFile puts the body of a server file into a configuration. Buffering and all else that
// the document does not set is as nginx has it by default.
func nginxFile(e *edit, c Config, dir, address string) {
	if c.Certificate == "" {
		e.replace("listen 443 ssl http2;", "listen "+address+";")
		e.replace("ssl_certificate     /etc/ssl/rt.example.com.pem;", "")
		e.replace("ssl_certificate_key /etc/ssl/rt.example.com.key;", "")
	} else {
		e.replace("listen 443 ssl http2;", "listen "+address+" ssl http2;")
		e.replace("/etc/ssl/rt.example.com.pem", write(e.t, filepath.Join(dir, "cert.pem"), c.Certificate))
		e.replace("/etc/ssl/rt.example.com.key", write(e.t, filepath.Join(dir, "key.pem"), c.Key))
	}
	if c.WithoutUpgrade {
		e.replace("proxy_set_header Upgrade $http_upgrade;", "")
		e.replace("proxy_set_header Connection $connection_upgrade;", "")
	}
	var temporary strings.Builder // its defaults belong to root
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temporary, "%s_temp_path %s/%s;\n", what, dir, what)
	}
	e.text = "daemon off;\nmaster_process off;\npid " + dir + "/nginx.pid;\nevents {}\nhttp {\naccess_log off;\n" + temporary.String() + e.text + "}\n"
}

func haproxyFile(e *edit, c Config, dir, address string) {
	e.replace("maxconn 100000", "maxconn 1000") // two descriptors each: a test may not have that many
	const tls = "bind :443 ssl crt /etc/ssl/rt.example.com.pem alpn h2,http/1.1"
	if c.Certificate == "" {
		e.replace(tls, "bind "+address)
		return
	}
	both := write(e.t, filepath.Join(dir, "both.pem"), c.Certificate+c.Key)
	e.replace(tls, "bind "+address+" ssl crt "+both+" alpn h2,http/1.1")
}

func caddyFile(e *edit, c Config, dir, address string) {
	_, port, _ := net.SplitHostPort(address) // of a listener
	if c.Certificate == "" {
		e.replace("rt.example.com {", "http://127.0.0.1:"+port+" {")
	} else {
		cert, key := write(e.t, filepath.Join(dir, "cert.pem"), c.Certificate), write(e.t, filepath.Join(dir, "key.pem"), c.Key)
		e.replace("rt.example.com {", "https://127.0.0.1:"+port+" {\n\ttls "+strconv.Quote(cert)+" "+strconv.Quote(key))
	}
	e.text = "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n" + e.text
}
