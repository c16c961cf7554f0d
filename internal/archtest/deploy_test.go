package archtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The configurations of reverse proxies in deploy/proxy are those of docs/deployment.md, which
// the tests of package app run.
func TestProxyFiles(t *testing.T) {
	document, err := os.ReadFile(filepath.Join(root, "docs", "deployment.md"))
	if err != nil {
		t.Fatal(err)
	}
	for language, name := range map[string]string{"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "caddyfile": "Caddyfile"} {
		file, err := os.ReadFile(filepath.Join(root, "deploy", "proxy", name))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, ok := strings.Cut(string(document), "```"+language+"\n")
		block, _, _ := strings.Cut(rest, "```")
		if !ok || block != string(file) {
			t.Errorf("deploy/proxy/%s is not the block of docs/deployment.md:\n%s\nwant:\n%s", name, file, block)
		}
	}
}
