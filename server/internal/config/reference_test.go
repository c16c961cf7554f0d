package config

import (
	"bytes"
	"encoding/base64"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/joho/godotenv"
)

var update = flag.Bool("update", false, "write docs/config.md")

func TestReferenceIsFresh(t *testing.T) {
	const name = "../../../docs/config.md"
	want, err := Markdown("", 1)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/config.md is stale; want it as generated: go test ./server/internal/config -run TestReferenceIsFresh -update")
	}
}

func TestMarkdownSection(t *testing.T) {
	text, err := Markdown("log", 3)
	if err != nil || !strings.HasPrefix(string(text), "\n#### log\n") || !strings.Contains(string(text), "| `log.level` | string | `info` |") ||
		strings.Contains(string(text), "client.") {
		t.Errorf("%s %v; want prefix \"\\n#### log\\n\", \"| `log.level` | string | `info` |\" in it and no \"client.\" in it",
			text, err)
	}
	if _, err := Markdown("lgo", 1); err == nil || !strings.Contains(err.Error(), "did you mean log?") {
		t.Errorf("%v; want an error and \"did you mean log?\" in it", err)
	}
}

// What has an effect stands in the sections, everything else in the appendix, nothing in both.
func TestReferenceShowsWhatWorks(t *testing.T) {
	text, err := Markdown("", 1)
	if err != nil {
		t.Fatal(err)
	}
	main, appendix, ok := strings.Cut(string(text), "## Appendix")
	if !ok {
		t.Fatal("the reference has no appendix; want one")
	}
	keys, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		row := "\n| `" + k.Path + "` |"
		want := k.Type != "object"
		if inMain, inAppendix := strings.Contains(main, row), strings.Contains(appendix, row); inMain != (want && !k.NotBuilt()) || inAppendix != (want && k.NotBuilt()) {
			t.Errorf("%s: in its section %v, in the appendix %v; want it in the place of its kind", k.Path, inMain, inAppendix)
		}
	}
	for path, want := range map[string]bool{
		"log.level": false, "channel.namespaces": false, "channel.namespaces[].presence": false, "client.token": false, "engine.type": false,
		"proxies": false, "proxies[].name": false, "channel.proxy.map_publish.endpoint": true, "consumers": false, "admin": false, "graphite.enabled": false, "shared_poll.concurrency_limit": true,
		"channel.namespaces[].map.mode": true, "channel.without_namespace.subscribe_proxy_enabled": false, "client.proxy": false,
	} {
		if got := (Key{Path: path}).NotBuilt(); got != want {
			t.Errorf("%s: %v; want %v", path, got, want)
		}
	}
	if section, err := Markdown("shared_poll", 1); err != nil || !strings.Contains(string(section), "| `shared_poll.concurrency_limit` |") {
		t.Errorf("a section without effect: %s %v; want %q in it", section, err, "| `shared_poll.concurrency_limit` |")
	}
}

// Every key is named, documented, and has an environment variable of its own.
func TestEveryKeyIsDocumented(t *testing.T) {
	keys, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	paths, envs := map[string]bool{}, map[string]string{}
	for _, k := range keys {
		last := strings.TrimSuffix(k.Path[strings.LastIndexByte(k.Path, '.')+1:], "[]")
		if !name.MatchString(last) {
			t.Errorf("%s: the last part does not match %s; want a valid name", k.Path, name)
		}
		if !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s: no comment, or no sentence: %q; want suffix \".\"", k.Path, k.Doc)
		}
		if paths[k.Path] {
			t.Errorf("%s is there twice; want once", k.Path)
		}
		paths[k.Path] = true
		if other := envs[k.Env]; k.Env != "" && other != "" {
			t.Errorf("%s and %s share %s; want a variable each", k.Path, other, k.Env)
		}
		envs[k.Env] = k.Path
	}
	if len(keys) < 1000 {
		t.Errorf("only %d keys; want at least 1000", len(keys))
	}
}

// The defaults of server.md 6.3 and 10.
func TestDefaults(t *testing.T) {
	want := map[string]string{
		"http_server.port": "8000", "http_server.tls_autocert.http_addr": ":80", "log.level": "info",
		"node.info_metrics_aggregate_interval": "1m", "shutdown.timeout": "30s",
		"client.ping_interval": "25s", "client.pong_timeout": "8s", "client.expired_close_delay": "25s",
		"client.expired_sub_close_delay": "25s", "client.stale_close_delay": "10s", "client.channel_limit": "128",
		"client.queue_max_size": "1048576", "client.queue_max_total_size": "0", "client.reply_max_size": "16777216", "engine.memory.history_max_size": "0", "engine.memory.history_max_channels": "0", "client.write_delay": "0s", "client.max_messages_in_frame": "64", "client.presence_update_interval": "27s", "client.channel_position_check_delay": "40s",
		"client.history_max_publication_limit": "300", "client.recovery_max_publication_limit": "300",
		"client.concurrency": "0", "client.connection_limit": "0", "client.proxy.connect.timeout": "1s",
		"channel.history_meta_ttl": "720h", "channel.max_length": "255", "channel.private_prefix": "$",
		"channel.namespace_boundary": ":", "channel.user_boundary": "#", "channel.user_separator": ",",
		"channel.without_namespace.history_size": "0", "channel.without_namespace.subscribe_proxy_name": "default",
		"rpc.without_namespace.proxy_name": "default", "rpc.ping.method": "ping", "rpc.namespace_boundary": ":",
		"websocket.handler_prefix": "/connection/websocket", "websocket.compression_level": "1", "websocket.write_timeout": "1s",
		"websocket.message_size_limit": "65536", "sse.handler_prefix": "/connection/sse", "sse.max_request_body_size": "65536",
		"http_stream.handler_prefix": "/connection/http_stream", "emulation.handler_prefix": "/emulation",
		"webtransport.handler_prefix": "/connection/webtransport", "uni_websocket.handler_prefix": "/connection/uni_websocket",
		"uni_sse.handler_prefix": "/connection/uni_sse", "uni_http_stream.handler_prefix": "/connection/uni_http_stream",
		"uni_grpc.port": "11000", "grpc.port": "8001", "grpc.max_receive_message_size": "65536", "http_api.handler_prefix": "/api", "grpc_api.port": "10000", "admin.handler_prefix": "",
		"prometheus.handler_prefix": "/metrics", "health.handler_prefix": "/health", "swagger.handler_prefix": "/swagger",
		"debug.handler_prefix": "/debug/pprof", "init.handler_prefix": "/connection/init",
		"graphite.host": "localhost", "graphite.port": "2003", "graphite.prefix": "centrifugo", "graphite.interval": "10s",
		"engine.type": "memory", "engine.redis.prefix": "centrifugo", "engine.redis.address": "redis://127.0.0.1:6379",
		"engine.redis.connect_timeout": "1s", "engine.redis.io_timeout": "4s", "engine.redis.presence_ttl": "1m",
		"map_broker.redis.cleanup_interval": "1s", "map_broker.redis.cleanup_batch_size": "100", "map_broker.redis.idempotent_result_ttl": "5m",
		"broker.nats.url": "nats://localhost:4222", "broker.nats.dial_timeout": "1s", "broker.nats.write_timeout": "1s",
		"broker.postgres.pool_size": "16", "broker.postgres.num_shards": "8", "broker.postgres.stream_retention": "24h",
		"broker.postgres.outbox.poll_interval": "100ms", "broker.postgres.outbox.batch_size": "1000",
		"map_broker.postgres.ttl_check_interval": "1s", "controller.postgres.pool_size": "8", "controller.postgres.poll_interval": "50ms",
	}
	got := map[string]string{}
	visit(reflect.ValueOf(Default()).Elem(), "", func(path string, _ field, v reflect.Value) { got[path] = formatText(v) })
	for key, value := range want {
		if have, ok := got[key]; !ok || have != value {
			t.Errorf("%s: %q, want %q", key, have, value)
		}
	}
	if !Default().WebSocket.Disabled != true || Default().Health.Enabled || Default().HTTPAPI.Disabled {
		t.Error("the switches of WebSocket, health and HTTP API are not false, false, true; want the defaults")
	}
}

// sample is a configuration with values of every kind.
func sample() *Config {
	cfg := Default()
	cfg.Client.AllowedOrigins = []string{"https://a.b", "*"}
	cfg.Client.Token.HMACSecretKey = "a\"b\\c $x ${y} d\ne"
	cfg.Client.PingInterval = 90 * time.Second
	cfg.Client.Proxy.Connect.HTTP.StaticHeaders = map[string]string{"X-Case": "1", "y": "2"}
	cfg.Client.ConnectCodeToUnidirectionalDisconnect.Transforms = []UnidirectionalCodeTransform{{Code: 100, To: TransformDisconnect{Code: 4000, Reason: "r"}}}
	item := Namespace{Name: "news"}
	setDefaults(reflect.ValueOf(&item).Elem())
	item.Name, item.HistorySize, item.HistoryTTL = "news", 5, 90*time.Minute
	cfg.Channel.Namespaces = []Namespace{item}
	return cfg
}

// equal compares configurations, for which nil and empty lists are the same.
func equal(a, b *Config) bool {
	return reflect.DeepEqual(EnvironLines(a, false), EnvironLines(b, false))
}

func TestRenderRoundTrip(t *testing.T) {
	for _, cfg := range []*Config{Default(), sample()} {
		for _, format := range []Format{JSON, YAML, TOML} {
			raw, err := Render(cfg, format)
			if err != nil {
				t.Fatal(err)
			}
			got, err := LoadFile(writeFile(t, "c."+string(format), string(raw)))
			if err != nil {
				t.Fatalf("%s: %v", format, err)
			}
			if !equal(got, cfg) {
				t.Errorf("%s: after a round trip the configuration is %+v; want %+v", format, got, cfg)
			}
		}
	}
	raw, err := Render(Default(), JSON)
	if err != nil {
		t.Fatal(err)
	}
	if _, warnings := mustLoad(t, string(raw)); len(warnings) != 0 {
		t.Errorf("the default file gives warnings: %v; want none", warnings)
	}
}

func TestEnvironLinesRoundTrip(t *testing.T) {
	vars, err := godotenv.Unmarshal(strings.Join(EnvironLines(sample(), false), "\n"))
	if err != nil {
		t.Fatal(err)
	}
	var environ []string
	for k, v := range vars {
		environ = append(environ, k+"="+v)
	}
	l := newLoader()
	l.readEnviron(environ, "")
	l.setEnviron(reflect.ValueOf(l.cfg).Elem(), "", envPrefix)
	l.warnUnknownEnviron()
	if len(l.problems) > 0 || len(l.warnings) > 0 {
		t.Fatalf("problems %v, warnings %v; want none", l.problems, l.warnings)
	}
	want, got := EnvironLines(sample(), false), EnvironLines(l.cfg, false)
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %s, want %s", got[i], want[i])
		}
	}
}

func TestEnvironLinesChanged(t *testing.T) {
	cfg, err := LoadFileBare(writeFile(t, "c.yaml", "http_server: {port: 9000, address: ''}\nchannel: {namespaces: [{name: ab, presence: true}]}"))
	if err != nil {
		t.Fatal(err)
	}
	lines := EnvironLines(cfg, true)
	if len(lines) != 2 || lines[0] != `CENTRIFUGO_HTTP_SERVER_PORT="9000"` || !strings.HasPrefix(lines[1], `CENTRIFUGO_CHANNEL_NAMESPACES="[{`) {
		t.Errorf("%q; want length 2, [0] %q and prefix %q",
			lines, `CENTRIFUGO_HTTP_SERVER_PORT="9000"`, `CENTRIFUGO_CHANNEL_NAMESPACES="[{`)
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 25 * time.Second: "25s", time.Minute: "1m", 720 * time.Hour: "720h", 90 * time.Minute: "1h30m",
		time.Hour + time.Second: "1h0m1s", 100 * time.Millisecond: "100ms", 10 * time.Minute: "10m", 10 * time.Second: "10s", 20 * time.Hour: "20h",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestPEMForms(t *testing.T) {
	const text = "-----BEGIN X-----\nAAAA\n-----END X-----\n"
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{text, base64.StdEncoding.EncodeToString([]byte(text)), file} {
		if got, err := PEM(value).Bytes(); err != nil || string(got) != text {
			t.Errorf("%.20s: %q %v; want %v", value, got, err, text)
		}
	}
	if got, err := PEM("").Bytes(); got != nil || err != nil {
		t.Errorf("PEM(\"\").Bytes = %q, %v; want none", got, err)
	}
	for _, bad := range []string{"/no/such", "bm8gcGVt", strings.Repeat("x", 5000), writeFile(t, "x", "no pem"), writeFile(t, "y", strings.Repeat("y", maxPEMFile+1))} {
		if _, err := PEM(bad).Bytes(); err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("%.20s: Bytes = %v; want an error that does not hold the value", bad, err)
		}
	}
}

func FuzzJSON(f *testing.F) {
	fuzzFormat(f, JSON, `{"client": {"ping_interval": 3, "allowed_origins": ["a"]}}`)
}
func FuzzYAML(f *testing.F) { fuzzFormat(f, YAML, "client: {ping_interval: 3s}\n? [a]\n: b\n") }
func FuzzTOML(f *testing.F) {
	fuzzFormat(f, TOML, "[[proxies]]\nname = \"aa\"\nhttp.static_headers = {a = \"b\"}\n")
}

// fuzzFormat checks that no file makes the loader panic, and that a valid one survives a round trip.
func fuzzFormat(f *testing.F, format Format, seed string) {
	f.Add([]byte(seed))
	if raw, err := Render(sample(), format); err == nil {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := parse(format, raw)
		if err != nil {
			return
		}
		l := newLoader()
		l.setDocument("file", doc)
		if len(l.problems) > 0 {
			return
		}
		out, err := Render(l.cfg, JSON)
		if err != nil {
			t.Fatal(err)
		}
		again := newLoader()
		doc, err = parse(JSON, out)
		if err != nil {
			t.Fatal(err)
		}
		again.setDocument("file", doc)
		l.finish() // must not panic either
		again.finish()
		if !equal(l.cfg, again.cfg) {
			t.Errorf("after a round trip the configuration is %+v; want %+v", again.cfg, l.cfg)
		}
	})
}

func FuzzEnviron(f *testing.F) {
	f.Add("CENTRIFUGO_CHANNEL_NAMESPACES", "a b")
	f.Add("CENTRIFUGO_PROXIES", `[{"name": "aa"}]`)
	f.Add("CENTRIFUGO_CLIENT_PING_INTERVAL", "5s")
	f.Fuzz(func(t *testing.T, name, value string) {
		_, _, err := Load(Options{Environ: []string{name + "=" + value, "CENTRIFUGO_CHANNEL_NAMESPACES_AA_PRESENCE=true"}})
		if problems, ok := err.(Problems); err != nil && (!ok || len(problems) == 0) {
			t.Errorf("the error is a %T: %v; want Problems", err, err)
		}
	})
}
