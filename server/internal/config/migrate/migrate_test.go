package migrate

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"centrifugo/server/internal/config"
)

// write writes a file into a directory of the test and returns its path.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, o Options) *Result {
	t.Helper()
	result, err := Run(o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// A testCase is a line of testdata.
type testCase struct {
	old       string
	keys      map[string]any // by path; nil says that the key must not be set
	decisions []string
	notes     []string
}

func readCases(t *testing.T, version Version) (out []testCase) {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("testdata/%s.txt", version))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		old, wants, ok := strings.Cut(line, " => ")
		if !ok {
			t.Fatalf("line %q; want OLD => WANT", line)
		}
		c := testCase{old: old, keys: map[string]any{}}
		for want := range strings.SplitSeq(wants, " ; ") {
			path, text, isKey := strings.Cut(want, " = ")
			switch {
			case strings.HasPrefix(want, "? "):
				c.decisions = append(c.decisions, want[2:])
			case strings.HasPrefix(want, "~ "):
				c.notes = append(c.notes, want[2:])
			case isKey:
				var v any
				if err := json.Unmarshal([]byte(text), &v); err != nil {
					t.Fatalf("%s: %q is not JSON: %v", old, text, err)
				}
				c.keys[path] = v
			default:
				t.Fatalf("%s: %q; want a key or a note", old, want)
			}
		}
		out = append(out, c)
	}
	return out
}

// impliedKeys are written for a version without being asked for.
var impliedKeys = map[Version][]string{
	V2: {"client.allowed_origins", "client.queue_max_size", "client.presence_update_interval", "client.stale_close_delay",
		"channel.without_namespace.allow_subscribe_for_client", "channel.without_namespace.allow_user_limited_channels"},
	V3: {"client.stale_close_delay", "channel.without_namespace.allow_subscribe_for_client",
		"channel.without_namespace.allow_user_limited_channels"},
	V4: {"channel.history_meta_ttl"},
}

// leaves returns the values of a tree by path. What has a want of its own is not divided.
func leaves(tree any, path string, whole map[string]any, out map[string]any) {
	if _, ok := whole[path]; ok {
		out[path] = tree
		return
	}
	switch x := tree.(type) {
	case map[string]any:
		for key, v := range x {
			leaves(v, below(path, key), whole, out)
		}
	case []any:
		if len(x) > 0 {
			if _, isObject := x[0].(map[string]any); isObject {
				for i, v := range x {
					leaves(v, fmt.Sprintf("%s[%d]", path, i), whole, out)
				}
				return
			}
		}
		out[path] = tree
	default:
		out[path] = tree
	}
}

// asJSON returns a tree as a decoder of JSON gives it.
func asJSON(t *testing.T, tree any) (out any) {
	t.Helper()
	raw, err := json.Marshal(tree)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func texts(r *Result, decisions bool) string {
	var lines []string
	for _, n := range r.Notes {
		if (n.Kind == Decision) == decisions && n.Kind != Server {
			lines = append(lines, n.String())
		}
	}
	return strings.Join(lines, "\n")
}

func TestVersions(t *testing.T) {
	for version := V2; version <= V5; version++ {
		cases := readCases(t, version)
		if len(cases) < 30 {
			t.Errorf("%d configurations of %s; want at least 30", len(cases), version)
		}
		for _, c := range cases {
			t.Run(fmt.Sprintf("%s %s", version, c.old), func(t *testing.T) {
				result := run(t, Options{File: write(t, "old.json", c.old), From: version})
				c.check(t, version, result)
				if !result.Open() {
					loads(t, result)
				}
			})
		}
	}
}

func (c testCase) check(t *testing.T, version Version, result *Result) {
	t.Helper()
	got := map[string]any{}
	leaves(asJSON(t, result.Tree), "", c.keys, got)
	for path, want := range c.keys {
		if !sameValue(got[path], want) {
			t.Errorf("%s = %v; want %v", path, got[path], want)
		}
		delete(got, path)
	}
	for _, path := range impliedKeys[version] {
		delete(got, path)
	}
	for path, v := range got {
		t.Errorf("%s = %v; want it not to be set", path, v)
	}
	decisions := texts(result, true)
	for _, want := range c.decisions {
		if !strings.Contains(decisions, want) {
			t.Errorf("decisions %q; want %q in them", decisions, want)
		}
	}
	if len(c.decisions) == 0 && decisions != "" {
		t.Errorf("decisions %q; want none", decisions)
	}
	notes := texts(result, false)
	for _, want := range c.notes {
		if !strings.Contains(notes, want) {
			t.Errorf("notes %q; want %q in them", notes, want)
		}
	}
}

// sameValue compares values. Durations may be written in different ways.
func sameValue(got, want any) bool {
	g, isText := got.(string)
	w, wantsText := want.(string)
	if isText && wantsText {
		a, err := time.ParseDuration(g)
		b, err2 := time.ParseDuration(w)
		if err == nil && err2 == nil {
			return a == b
		}
	}
	return reflect.DeepEqual(got, want)
}

// loads checks that the result is a valid configuration of v6 in each format, that each
// format says the same, and that it is not migrated again.
func loads(t *testing.T, result *Result) {
	t.Helper()
	var first *config.Config
	for _, name := range []string{"new.yaml", "new.toml", "new.json"} {
		format, err := config.FormatOf(name)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := result.Render(format)
		if err != nil {
			t.Fatal(err)
		}
		file := write(t, name, string(raw))
		cfg, err := config.LoadFile(file)
		if err != nil {
			t.Fatalf("loading %s: %v; want no error:\n%s", name, err, raw)
		}
		if first == nil {
			first = cfg
		} else if !reflect.DeepEqual(first, cfg) {
			t.Errorf("%s differs from new.yaml; want the same:\n%s", name, raw)
		}
		if len(result.Tree) > 0 {
			if again := run(t, Options{File: file}); again.From != V6 || again.Open() {
				t.Errorf("migrating %s again: from %v, %v; want v6 and no decision", name, again.From, again.Notes)
			}
		}
	}
}

func TestDetect(t *testing.T) {
	tests := []struct {
		old      string
		want     Version
		decision string
	}{
		{`{"secret": "s"}`, V2, ""},
		{`{"history_lifetime": 10, "history_size": 1}`, V2, ""},
		{`{"protected": true}`, V3, ""},
		{`{"namespaces": [{"name": "aa", "recover": true, "history_size": 1, "history_ttl": "5s"}]}`, V3, ""},
		{`{"publish": true, "history_ttl": "5s", "history_size": 1}`, V3, ""},
		{`{"use_client_protocol_v1_by_default": true, "allow_subscribe_for_client": true}`, V4, ""},
		{`{"allow_subscribe_for_client": true}`, V5, ""},
		{`{"global_presence_ttl": "1m"}`, V5, ""},
		{`{"client": {"token": {"hmac_secret_key": "s"}}}`, V6, ""},
		{`{"http_api": {"key": "k"}, "pid_file": "/p"}`, V6, ""},
		{`{"token_hmac_secret_key": "s"}`, V5, "v2, v3, v4, v5"},
		{`{"publish": true}`, V3, "v2, v3"},
		{`{"secret": "s", "allow_subscribe_for_client": true}`, V5, "keys of different versions"},
		{`{}`, V5, "--from"},
		{`{"global_presence_ttl": "1m", "namespaces": [{"name": "aa", "protected": true}]}`, V5, "keys of different versions"},
	}
	for _, test := range tests {
		result := run(t, Options{File: write(t, "old.json", test.old)})
		if result.From != test.want {
			t.Errorf("%s: version %v; want %v", test.old, result.From, test.want)
		}
		if got := texts(result, true); (got != "") != (test.decision != "") || !strings.Contains(got, test.decision) {
			t.Errorf("%s: decisions %q; want %q", test.old, got, test.decision)
		}
	}
}

// The same configuration as a file, as variables, as flags, and in every format.
func TestSources(t *testing.T) {
	want := `{"client":{"allowed_origins":["https://a.b","https://c.d"],"token":{"hmac_secret_key":"s"}},` +
		`"http_api":{"key":"k"},"http_server":{"port":9000},"channel":{"namespaces":[{"allow_subscribe_for_client":true,"name":"chat"}]},` +
		`"admin":{"enabled":true}}`
	sources := map[string]Options{
		"json": {File: write(t, "old.json", `{
			// the secret of tokens
			"token_hmac_secret_key": "s", /* and the key */ "api_key": "k",
			"port": "9000", # a port
			"admin": true, "allowed_origins": ["https://a.b", "https://c.d"],
			"namespaces": [{"name": "chat", "allow_subscribe_for_client": true,},],
		}`)},
		"yaml": {File: write(t, "old.yaml", "# comment\ntoken_hmac_secret_key: s\napi_key: k\nport: 9000\nadmin: true\n"+
			"allowed_origins: [https://a.b, https://c.d]\nnamespaces:\n  - name: chat\n    allow_subscribe_for_client: true\n")},
		"toml": {File: write(t, "old.toml", "# comment\ntoken_hmac_secret_key = \"s\"\napi_key = \"k\"\nport = 9000\nadmin = true\n"+
			"allowed_origins = [\"https://a.b\", \"https://c.d\"]\n[[namespaces]]\nname = \"chat\"\nallow_subscribe_for_client = true\n")},
		"letter case": {File: write(t, "old.json", `{"Token_HMAC_secret_key": "s", "API_KEY": "k", "Port": 9000, "ADMIN": true,
			"allowed_origins": "https://a.b https://c.d", "Namespaces": [{"Name": "chat", "allow_subscribe_for_CLIENT": true}]}`)},
		"variables": {Environ: []string{"CENTRIFUGO_TOKEN_HMAC_SECRET_KEY=s", "CENTRIFUGO_API_KEY=k", "CENTRIFUGO_PORT=9000",
			"CENTRIFUGO_ADMIN=true", "CENTRIFUGO_ALLOWED_ORIGINS=https://a.b https://c.d",
			`CENTRIFUGO_NAMESPACES=[{"name": "chat", "allow_subscribe_for_client": true}]`, "CENTRIFUGO_SERVICE_PORT=tcp://10.0.0.1:1", "PATH=/bin"}},
		"dotenv": {DotEnv: write(t, ".env", "CENTRIFUGO_TOKEN_HMAC_SECRET_KEY=s\nCENTRIFUGO_API_KEY=k\nCENTRIFUGO_PORT=9000\nCENTRIFUGO_ADMIN=1\n"+
			"CENTRIFUGO_ALLOWED_ORIGINS=\"https://a.b https://c.d\"\nCENTRIFUGO_NAMESPACES='[{\"name\": \"chat\", \"allow_subscribe_for_client\": true}]'\n")},
		"flags": {Flags: map[string]string{"token_hmac_secret_key": "s", "api_key": "k", "port": "9000", "admin": "true",
			"allowed_origins": "https://a.b https://c.d", "namespaces": `[{"name": "chat", "allow_subscribe_for_client": true}]`}},
		"flags over variables over file": {File: write(t, "old.json", `{"token_hmac_secret_key": "x", "api_key": "y", "port": 1, "admin": true,
			"allowed_origins": ["https://a.b", "https://c.d"], "namespaces": [{"name": "chat", "allow_subscribe_for_client": true}]}`),
			Environ: []string{"CENTRIFUGO_API_KEY=k", "CENTRIFUGO_PORT=2", "CENTRIFUGO_TOKEN_HMAC_SECRET_KEY=s"},
			Flags:   map[string]string{"port": "9000"}},
	}
	for name, o := range sources {
		o.From = V5
		result := run(t, o)
		var w any
		if err := json.Unmarshal([]byte(want), &w); err != nil {
			t.Fatal(err)
		}
		if got := asJSON(t, result.Tree); !reflect.DeepEqual(got, w) {
			t.Errorf("%s: %v; want %v", name, got, w)
		}
		if result.Open() {
			t.Errorf("%s: decisions %q; want none", name, texts(result, true))
		}
	}
}

// Variables that mean the same in v6 are not copied into the file.
func TestVariablesOfV6(t *testing.T) {
	result := run(t, Options{From: V5, Environ: []string{"CENTRIFUGO_CLIENT_CHANNEL_LIMIT=5", "CENTRIFUGO_HTTP_API_KEY=k", "CENTRIFUGO_API_KEY=old"}})
	if got, want := asJSON(t, result.Tree), (map[string]any{"http_api": map[string]any{"key": "old"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("%v; want %v", got, want)
	}
}

func TestAccept(t *testing.T) {
	o := Options{File: write(t, "old.json", `{"sockjs": true, "nonsense": 1}`), From: V5}
	if result := run(t, o); !result.Open() || len(result.Tree) != 0 {
		t.Errorf("open %v, %v; want decisions and an empty result", result.Open(), result.Tree)
	}
	o.Accept = []string{"sockjs"}
	if result := run(t, o); !result.Open() {
		t.Errorf("notes %v; want a decision about nonsense", result.Notes)
	}
	o.Accept = []string{"sockjs", "nonsense", "more"}
	result := run(t, o)
	if got := texts(result, false); result.Open() || !strings.Contains(got, "lost: sockjs") || !strings.Contains(got, "--accept more") {
		t.Errorf("open %v, notes %q; want no decision, the losses, and a note about more", result.Open(), got)
	}
}

// A file says what its keys were, and no note or comment has a secret.
func TestComments(t *testing.T) {
	const secret = "p4ssw0rd"
	result := run(t, Options{From: V3, File: write(t, "old.json",
		`{"token_hmac_secret_key": "`+secret+`", "ping_interval": "`+secret+`", "presence": true, "namespaces": [{"name": "chat", "publish": true}]}`)})
	raw, err := result.Render(config.YAML)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, want := range []string{
		"# Migrated from v3 by centrifugo migrate.", "# was token_hmac_secret_key", "# was publish",
		"# implied: protected is not set", "# implied: presence",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the file has no %q:\n%s; want it", want, text)
		}
	}
	if n := strings.Count(text, secret); n != 1 {
		t.Errorf("the file has the secret %d times; want 1:\n%s", n, text)
	}
	for _, n := range result.Notes {
		if strings.Contains(n.String(), secret) {
			t.Errorf("note %q; want none with a value", n)
		}
	}
}

// Keys are told as they are, but cannot disturb a terminal or end a comment.
func TestNotesArePrintable(t *testing.T) {
	result := run(t, Options{From: V5, File: write(t, "old.json", `{"a\u001b[31m\nb": 1, "`+strings.Repeat("k", 5000)+`": 1}`)})
	for _, n := range result.Notes {
		if text := n.String(); strings.ContainsAny(text, "\x1b\n") || len(text) > maxNote+50 {
			t.Errorf("note %.100q of %d bytes; want it printable and at most %d", text, len(text), maxNote)
		}
	}
}

func TestErrors(t *testing.T) {
	for name, o := range map[string]Options{
		"missing":   {File: "none.json", FileExplicit: true},
		"extension": {File: write(t, "old.ini", ""), FileExplicit: true},
		"syntax":    {File: write(t, "old.json", `{"a": `)},
		"a list":    {File: write(t, "old.json", `[]`)},
		"flag":      {Flags: map[string]string{"namespaces": `[{"name"`}},
		"variable":  {Environ: []string{`CENTRIFUGO_NAMESPACES=[{`}},
	} {
		if _, err := Run(o); err == nil {
			t.Errorf("%s: no error; want one", name)
		}
	}
	if _, err := Run(Options{File: "none.json"}); err != nil {
		t.Errorf("a default file that is missing: %v; want no error", err)
	}
	if v, err := ParseVersion("v7"); err == nil {
		t.Errorf("ParseVersion(v7) = %v; want an error", v)
	}
}

// FuzzRun: no configuration makes Run panic, and what it says is done loads.
func FuzzRun(f *testing.F) {
	for version := V2; version <= V5; version++ {
		raw, err := os.ReadFile(fmt.Sprintf("testdata/%s.txt", version))
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if old, _, ok := strings.Cut(line, " => "); ok {
				f.Add(old, int(version))
			}
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, old string, version int) {
		file := filepath.Join(dir, fmt.Sprintf("%d.json", os.Getpid()))
		if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		if version < int(V2) || version > int(V6) {
			version = int(Unknown)
		}
		result, err := Run(Options{File: file, From: Version(version)})
		if err != nil {
			return
		}
		raw, err := result.Render(config.YAML)
		if err != nil || result.Open() {
			return
		}
		out := filepath.Join(dir, fmt.Sprintf("%d.yaml", os.Getpid()))
		if err := os.WriteFile(out, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.LoadFile(out); err != nil {
			t.Errorf("%s as %d: %v; want it to load:\n%s", old, version, err, raw)
		}
	})
}
