package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"centrifugo/server/internal/config"
)

// A configuration starts if and only if Check accepts it.
func TestCheckIsTheStart(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const pem = "-----BEGIN X-----\\nAAAA\\n-----END X-----\\n"
	tests := []struct{ name, file, want string }{
		{"default", `{"http_server": {"port": 0}}`, ""},
		{"certificate that is none", `{"http_server": {"tls": {"enabled": true, "cert_pem": "` + pem + `", "key_pem": "` + pem + `"}}}`, "http_server: tls: "},
		{"internal certificate that is none", `{"http_server": {"internal_port": 1, "internal_tls": {"enabled": true, "cert_pem": "` + pem + `", "key_pem": "` + pem + `"}}}`, "http_server: tls: "},
		{"log file in no directory", `{"log": {"file": "` + dir + `/none/log"}}`, "none/log: there is no directory"},
		{"log file that is a directory", `{"log": {"file": "` + dir + `"}}`, "log.file: " + dir + " is a directory"},
		{"PID file in no directory", `{"pid_file": "` + dir + `/none/pid"}`, "none/pid: there is no directory"},
		{"PID file", `{"log": {"file": "` + dir + `/log"}, "pid_file": "` + dir + `/pid"}`, ""},
		{"directory of certificates in a file", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["a.b"], "cache_dir": "` + write("plain", "") + `/x"}}}`, "plain is not a directory"},
		{"authority of the ACME server that is none", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["a.b"], "server_ca_pem": "` + pem + `"}}}`, "http_server.tls_autocert.server_ca_pem: no certificate"},
		{"ACME", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["a.b"], "cache_dir": "` + dir + `/made/too", "http": true, "http_addr": "127.0.0.1:0"}}}`, ""},
		{"profiles on the path of the API", `{"debug": {"enabled": true, "handler_prefix": "/api/"}}`, "debug.handler_prefix: is the same path"},
		{"health inside of the profiles", `{"debug": {"enabled": true}, "health": {"enabled": true, "handler_prefix": "/debug/pprof/cmdline"}}`, "mounting "},
		{"profiles at the root", `{"debug": {"enabled": true, "handler_prefix": "/"}}`, ""},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, _, err := config.Load(config.Options{
				File: write("config"+string(rune('a'+i))+".json", tt.file), Environ: []string{"CENTRIFUGO_HTTP_SERVER_PORT=0", "CENTRIFUGO_HTTP_SERVER_ADDRESS=127.0.0.1"},
			})
			if err == nil {
				err = Check(cfg)
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if cfg == nil {
				return
			}
			if startErr := startOnce(t, cfg); (startErr == nil) != (err == nil) {
				t.Errorf("check says %v, start says %v; want both to agree", err, startErr)
			}
		})
	}
}

// startOnce starts a server and stops it when it listens.
func startOnce(t *testing.T, cfg *config.Config) error {
	t.Helper()
	a, err := New(cfg, Options{Stderr: os.Stderr})
	if err != nil {
		return err
	}
	servers, err := a.listen(t.Context())
	if err == nil {
		var remove func()
		if remove, err = writePID(cfg.PIDFile); err == nil {
			remove()
		}
		closeAll(servers)
	}
	_ = a.shutdown(nil)
	_ = a.logging.close()
	return err
}
