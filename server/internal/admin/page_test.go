package admin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"centrifugo/server/internal/config"
)

// sources is the package of the page, from which `make admin` builds.
const sources = "../../../web/admin"

// maxPage is the most that the page may take, in bytes after compression.
const maxPage = 200 << 10

// The embedded page is what `make admin` has built from the present sources. Whether it
// builds the same again is checked by the end-to-end tests, which have its tools.
func TestPageIsBuiltFromItsSources(t *testing.T) {
	names := []string{"build.js", "package-lock.json", "package.json"}
	for _, dir := range []string{"public", "src"} {
		err := filepath.WalkDir(filepath.Join(sources, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			name, err := filepath.Rel(sources, path)
			names = append(names, filepath.ToSlash(name))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(names)
	hash := sha256.New()
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(sources, name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(hash, "%s\x00%d\x00%s", name, len(content), content)
	}
	built, err := fs.ReadFile(embedded, "page/sources.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(built)), hex.EncodeToString(hash.Sum(nil)); got != want {
		t.Errorf("the page was built from sources with the hash %s, want %s: run make admin", got, want)
	}
}

func TestPageIsSmall(t *testing.T) {
	total := 0
	err := fs.WalkDir(embedded, "page", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(embedded, name)
		if err != nil {
			return err
		}
		var compressed bytes.Buffer
		w := gzip.NewWriter(&compressed)
		if _, err := w.Write(content); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		total += compressed.Len()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if total > maxPage {
		t.Errorf("the page takes %d bytes, want at most %d", total, maxPage)
	}
	t.Logf("the page takes %d bytes, compressed", total)
}

// The page needs nothing that its policy forbids: other origins, inline scripts and styles.
func TestPagePolicy(t *testing.T) {
	h := interfaceOf(t, config.Admin{HandlerPrefix: "/"})
	policy := ask(h, "GET", "/", "").Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q; want it there", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q allows unsafe sources; want no \"unsafe\" in it", policy)
	}
	html := ask(h, "GET", "/", "").Body.String()
	for what, pattern := range map[string]string{
		"an inline event handler": `(?i)<[^>]+\son[a-z]+\s*=`,
		"an inline style":         `(?i)<[^>]+\sstyle\s*=|<style`,
		"an inline script":        `(?i)<script(?:\s+type="module")?\s*>`,
		"another origin":          `(?i)(?:src|href)\s*=\s*["']?(?:https?:)?//`,
	} {
		if m := regexp.MustCompile(pattern).FindString(html); m != "" {
			t.Errorf("index.html contains %s: %s; want nothing", what, m)
		}
	}
	for _, ref := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(html, -1) {
		if w := ask(h, "GET", "/"+ref[1], ""); w.Code != 200 {
			t.Errorf("index.html refers to %s: status %d, want 200", ref[1], w.Code)
		}
	}
	if w := ask(h, "GET", "/robots.txt", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "Disallow: /") {
		t.Errorf("robots.txt: status %d, body %q; want one that keeps robots away", w.Code, w.Body)
	}
}
