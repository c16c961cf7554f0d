package cli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// background runs a command that serves HTTP and returns its address and a
// function that ends it and returns the exit code.
func background(t *testing.T, args ...string) (address string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- Main(Env{Context: ctx, Args: args, Stdout: new(bytes.Buffer), Stderr: writer})
		_ = writer.Close()
	}()
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "serving on http://127.0.0.1:") {
		t.Fatalf("%q %v; want prefix \"serving on http://127.0.0.1:\"", line, err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "serving on ")), func() int {
		cancel()
		return <-code
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestServeFiles(t *testing.T) {
	inDir(t, map[string]string{"index.html": "page", ".env": "SECRET=1", "a.txt": "text"})
	if err := os.Symlink("/etc/hostname", "link"); err != nil {
		t.Fatal(err)
	}
	address, stop := background(t, "serve", "-p", "0")
	for path, want := range map[string]struct {
		code int
		body string
	}{
		"/":      {200, "page"},
		"/a.txt": {200, "text"},
		"/.env":  {404, "404 page not found\n"},
		"/none":  {404, "404 page not found\n"},
	} {
		if code, body := get(t, address+path); code != want.code || body != want.body {
			t.Errorf("%s: %d %q; want %v and %v", path, code, body, want.code, want.body)
		}
	}
	if code, _ := get(t, address+"/link"); code == 200 {
		t.Errorf("a link leads out of the directory: got %v; want anything but 200", code)
	}
	if code := stop(); code != 0 {
		t.Errorf("code %d; want 0", code)
	}
	if r := command(nil, "serve", "-d", "none"); r.code != 1 {
		t.Errorf("%+v; want code 1", r)
	}
}

// A listing has what is served, and nothing else.
func TestServeListsWhatItServes(t *testing.T) {
	inDir(t, map[string]string{"a.txt": "text", ".env": "SECRET=1", "target": "x"})
	for _, err := range []error{
		os.MkdirAll("sub/.git", 0o700), os.MkdirAll(".hidden", 0o700), os.WriteFile("sub/.secret", nil, 0o600),
		os.WriteFile("sub/b.txt", nil, 0o600), os.Symlink("/etc/hostname", "outside"), os.Symlink("../..", "sub/up"),
		os.Symlink("target", "inside"), os.Symlink("nothing", "dangling"), os.Symlink(".env", "visible"), syscall.Mkfifo("pipe", 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	address, stop := background(t, "serve", "-p", "0")
	for directory, want := range map[string]string{"/": "a.txt inside sub/ target visible", "/sub/": "b.txt"} {
		_, body := get(t, address+directory)
		var listed []string
		for _, match := range regexp.MustCompile(`<a href="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			listed = append(listed, match[1])
			if code, _ := get(t, address+directory+match[1]); code != 200 {
				t.Errorf("%s%s is listed, but answered with %d; want 200", directory, match[1], code)
			}
		}
		if got := strings.Join(listed, " "); got != want {
			t.Errorf("%s lists %q, want %q", directory, got, want)
		}
	}
	for _, hidden := range []string{"/outside", "/sub/up/", "/dangling", "/pipe", "/.hidden/", "/sub/.git/", "/sub/.secret", "/%2eenv"} {
		if code, _ := get(t, address+hidden); code != 404 {
			t.Errorf("%s: status %d; want 404", hidden, code)
		}
	}
	if code := stop(); code != 0 {
		t.Errorf("code %d; want 0", code)
	}
}

func TestConfigDoc(t *testing.T) {
	inDir(t, nil)
	if r := command(nil, "configdoc", "-m"); r.code != 0 || !strings.HasPrefix(r.stdout, "# Configuration\n") || !strings.Contains(r.stdout, "| `client.channel_limit` | int | `128` |") {
		t.Errorf("code %d %.100q; want 0, prefix \"# Configuration\\n\" and %q in it",
			r.code, r.stdout, "| `client.channel_limit` | int | `128` |")
	}
	if r := command(nil, "configdoc", "-m", "-s", "log", "-l", "2"); r.code != 0 || !strings.HasPrefix(r.stdout, "\n### log\n") || strings.Contains(r.stdout, "client.") {
		t.Errorf("%+v; want code 0, prefix \"\\n### log\\n\" and no \"client.\" in it", r)
	}
	command(nil, "configdoc", "-m", "-s", "lgo").expect(t, 1, "", "error: unknown section \"lgo\", did you mean log?\n")
	command(nil, "configdoc", "-s", "lgo", "-p", "0").expect(t, 1, "", "error: unknown section \"lgo\"\n")

	address, stop := background(t, "configdoc", "-p", "0", "-s", "http_api")
	if code, body := get(t, address); code != 200 || !strings.Contains(body, "<code>http_api.key</code>") || strings.Contains(body, "<code>client.insecure</code>") {
		t.Errorf("%d %.200s; want 200, \"<code>http_api.key</code>\" in it and no \"<code>client.insecure</code>\" in it", code, body)
	}
	if code := stop(); code != 0 {
		t.Errorf("code %d; want 0", code)
	}
}
