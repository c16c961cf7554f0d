package archtest

import (
	"path"
	"strings"
	"testing"
)

// guests lists, for every dependency that is heavy or has one purpose, the only
// packages that may import it. A package includes those below it. An entry that no
// file needs fails TestGuests.
var guests = map[string][]string{
	"github.com/redis/rueidis":            {"centrifuge/engine/redisengine", "server/internal/consumer/redisstream"},
	"cloud.google.com/go":                 {"server/internal/consumer/googlepubsub"},
	"google.golang.org/api":               {"server/internal/consumer/googlepubsub"},
	"github.com/aws":                      {"server/internal/consumer/awsidentity", "server/internal/consumer/awssqs"},
	"github.com/Azure":                    {"server/internal/consumer/azureservicebus"},
	"github.com/twmb/franz-go":            {"server/internal/consumer/kafka"},
	"github.com/nats-io/nats.go":          {"server/internal/consumer/natsjetstream"},
	"github.com/nats-io/nats-server":      {}, // tests only
	"google.golang.org/grpc":              {"server/internal/apigrpc", "server/internal/proxygrpc", "apipb", "proxypb", "clientpb", "centrifuge/transport/grpcstream", "server/internal/app", "server/internal/loadtest", "internal/otlptest", "server/internal/telemetry", "examples"},
	"golang.org/x/oauth2":                 {"server/internal/telemetry"},
	"github.com/jackc/pgx":                {"server/internal/consumer/postgresql", "examples"},
	"github.com/prometheus":               {"centrifuge/prommetrics", "server/internal/app", "server/internal/graphite", "server/internal/telemetry"},
	"go.opentelemetry.io":                 {"server/internal/telemetry", "internal/otlptest"},
	"github.com/golang-jwt/jwt":           {"server/internal/auth"},
	"github.com/go-jose":                  {"server/internal/auth"},
	"github.com/go-chi":                   {"examples"},
	"github.com/labstack/echo":            {"examples"},
	"github.com/quic-go":                  {"centrifuge/transport/webtransport", "server/internal/app", "server/internal/loadtest"},
	"github.com/gobwas/ws":                {"centrifuge/transport/websocket", "examples"},
	"github.com/gobwas/glob":              {"server/internal/middleware", "server/internal/app", "server/internal/config"},
	"github.com/swaggest/swgui":           {"server/internal/swagger"},
	"github.com/spf13":                    {"server/internal/cli"},
	"github.com/klauspost/compress":       {"centrifuge/transport/websocket", "server/internal/loadtest"},
	"go.yaml.in/yaml":                     {"server/internal/config"},
	"github.com/pelletier/go-toml":        {"server/internal/config"},
	"github.com/joho/godotenv":            {"server/internal/config"},
	"github.com/KimMachineGun":            {"server/internal/app"},
	"github.com/coreos/go-systemd":        {"server/internal/listener"},
	"github.com/pires/go-proxyproto":      {"server/internal/listener"},
	"github.com/google/pprof":             {"bench/cmd/measure"},
	"github.com/sony/gobreaker":           {"server/internal/proxy"},
	"unsafe":                              {"centrifuge/internal/eventloop", "internal/jsonscan", "protocol"},
	"github.com/bufbuild/protocompile":    {"protocol/internal/codegen", "internal/protogen"}, // tests and generators only
	"github.com/jhump/protoreflect":       {},                                                 // tests only
	"github.com/getkin/kin-openapi":       {},                                                 // tests only
	"google.golang.org/protobuf/encoding": {"protocol", "centrifuge/transport", "server/internal/apigrpc", "server/internal/app/apptest"},
	"github.com/letsencrypt/pebble":       {"internal/acmetest"},
	"github.com/miekg/dns":                {"internal/acmetest"},
	"golang.org/x/crypto":                 {"server/internal/acme"},
	"golang.org/x/sys":                    {"centrifuge/internal/eventloop", "internal/memtest", "internal/nettest", "server/internal/consumer/postgresql", "server/internal/loadtest", "bench", "server/internal/app"},
	"centrifugo/protocol/clientcodec":     {"centrifuge/centrifugetest", "server/internal/loadtest", "server/internal/app/apptest"}, // servers decode no replies
	"net/http":                            {"centrifuge/transport", "server", "bench", "internal/promtest", "internal/acmetest", "internal/sqstest", "examples"},
}

func TestGuests(t *testing.T) {
	used := make(map[string]bool) // by dependency, and by dependency and allowed package
	for _, s := range load(t) {
		for _, imp := range s.imports {
			for dep, allowed := range guests {
				if !within(imp, dep) {
					continue
				}
				used[dep] = true
				may := false
				for _, pkg := range allowed {
					if within(s.pkg, pkg) {
						may, used[dep+" "+pkg] = true, true
					}
				}
				if !s.test && !s.exempt && !may {
					t.Errorf("%s imports %s; only %v may", s.name, imp, allowed)
				}
			}
		}
	}
	for dep, allowed := range guests {
		if !used[dep] {
			t.Errorf("no file imports %s: remove its entry", dep)
			continue
		}
		for _, pkg := range allowed {
			if !used[dep+" "+pkg] {
				t.Errorf("%s does not import %s: remove it from the entry", pkg, dep)
			}
		}
	}
}

// allowed lists what a package, with those below it, may import of this module. The
// first rule with a prefix of the package applies; tests may import more.
var allowed = []struct {
	prefix string
	may    []string
}{
	{"protocol/clientcodec", []string{"protocol", "internal/jsonscan"}},
	{"protocol", []string{"protocol/internal", "internal/jsonscan"}},
	{"internal/handshake", nil},
	{"centrifuge/internal/fanout", []string{"protocol", "internal/fossil", "centrifuge/internal/nametable"}}, // ADR 3: deltas are a form of the message
	{"centrifuge/internal", []string{"protocol"}},
	{"centrifuge/transport", []string{"protocol", "centrifuge", "centrifuge/internal/eventloop", "centrifuge/transport/internal", "internal/handshake", "own"}},
	{"centrifuge/engine", []string{"protocol", "centrifuge", "own"}},
	{"centrifuge/prommetrics", []string{"centrifuge"}},
	{"centrifuge/centrifugetest", []string{"protocol", "internal/await", "internal/fossil", "centrifuge"}},
	{"centrifuge", []string{"protocol", "centrifuge/internal", "internal/logsample", "internal/wildcard"}},
	{"server/internal/config", []string{"own"}},
	{"server/internal/override", nil},
	{"server/internal/channels", []string{"protocol", "internal/wildcard", "server/internal/config", "server/internal/override"}},
	{"server/internal/auth", []string{"protocol", "server/internal/config", "server/internal/override"}},
	{"server/internal/revocation", nil},
	{"server/internal/api", []string{"protocol", "centrifuge", "server/internal/channels", "server/internal/revocation", "server/internal/config", "server/internal/override", "server/internal/subscribeopts", "server/internal/trace", "own"}},
	{"server/internal/trace", []string{"centrifuge"}},
	{"server/internal/subscribeopts", []string{"centrifuge", "server/internal/channels"}},
	{"server/internal/openapi", []string{"server/internal/api", "own"}},
	{"server/internal/apihttp", []string{"internal/jsonscan", "centrifuge", "server/internal/api", "server/internal/config", "server/internal/middleware", "server/internal/requestid", "server/internal/secret"}},
	{"server/internal/apigrpc", []string{"apipb", "internal/logsample", "server/internal/api", "server/internal/config", "server/internal/requestid", "server/internal/secret"}},
	{"server/internal/admin", []string{"server/internal/config", "server/internal/middleware", "server/internal/secret", "server/internal/static"}},
	{"server/internal/secret", nil},
	{"server/internal/requestid", nil},
	{"server/internal/graphite", nil},
	{"server/internal/telemetry", []string{"server/internal/requestid"}},
	{"server/internal/static", nil},
	{"server/internal/access", []string{"centrifuge", "server/internal/channels", "server/internal/auth", "server/internal/config", "server/internal/middleware", "server/internal/override", "server/internal/proxy", "server/internal/requestid", "server/internal/revocation", "server/internal/subscribeopts", "own"}},
	{"server/internal/proxy", []string{"protocol", "centrifuge", "internal/logsample", "server/internal/config", "server/internal/override", "own"}},
	{"server/internal/proxygrpc", []string{"proxypb", "server/internal/proxy", "server/internal/config", "server/internal/override"}},
	{"server/internal/middleware", []string{"server/internal/config", "server/internal/requestid", "internal/logsample"}},
	{"server/internal/consumer/redisstream", []string{"centrifuge/engine/redisengine", "server/internal/config", "server/internal/consumer"}},
	{"server/internal/consumer/consumertest", []string{"centrifuge", "internal/await", "internal/testprocess", "server/internal/api", "server/internal/channels", "server/internal/config", "server/internal/consumer"}},
	{"server/internal/consumer", []string{"internal/logsample", "server/internal/api", "server/internal/config", "own"}},
	{"server/internal/acme", []string{"internal/logsample", "server/internal/config"}},
	{"server/internal/listener", []string{"internal/logsample", "internal/handshake"}},
	{"server/internal/playground", []string{"server/internal/static"}},
	{"server/internal/swagger", []string{"docs", "server/internal/static"}},
	{"server/internal/loadtest", []string{"apipb", "protocol", "internal/fossil", "internal/wsframe", "own"}},
	{"server/internal/cli", []string{"server/internal/config", "server/internal/auth", "server/internal/channels", "server/internal/loadtest", "own"}},
	{"server/internal/app", []string{"protocol", "clientpb", "centrifuge", "centrifuge/transport", "centrifuge/engine", "centrifuge/prommetrics", "server/internal", "internal/await", "internal/logsample", "internal/wsframe"}},
	{"server", []string{"server/internal/app", "server/internal/config", "server/internal/cli", "server/internal/listener"}},
	{"cmd", []string{"server"}},
	{"apipb", nil},
	{"clientpb", nil},
	{"docs", nil},
	{"proxypb", nil},
	{"bench", []string{"protocol", "centrifuge", "internal/freeport", "internal/wsframe", "bench"}},
	{"examples", []string{"clientpb", "centrifuge", "centrifuge/transport"}},
	{"internal/acmetest", nil},
	{"internal/archtest", nil},
	{"internal/await", nil},
	{"internal/doctest", nil},
	{"internal/fossil", nil},
	{"internal/jsonscan", nil},
	{"internal/logsample", nil},
	{"internal/memtest", nil},
	{"internal/protogen", nil},
	{"internal/otlptest", nil},
	{"internal/promtest", []string{"internal/testprocess"}},
	{"internal/pgtest", []string{"internal/testprocess"}},
	{"internal/redistest", []string{"internal/await", "internal/testprocess"}},
	{"internal/sqstest", []string{"internal/await", "internal/testprocess"}},
	{"internal/asbtest", []string{"internal/await", "internal/testprocess"}},
	{"internal/proxytest", []string{"internal/testprocess"}},
	{"internal/freeport", nil},
	{"internal/nettest", nil},
	{"internal/testprocess", []string{"internal/await", "internal/freeport"}},
	{"internal/wildcard", nil},
	{"internal/wsframe", nil},
}

func TestAllowedImports(t *testing.T) {
	for _, s := range load(t) {
		if s.test {
			continue
		}
		i := 0
		for i < len(allowed) && !within(s.pkg, allowed[i].prefix) {
			i++
		}
		if i == len(allowed) {
			t.Errorf("%s: no rule for package %s", s.name, s.pkg)
			continue
		}
		prefix := allowed[i].prefix
		for _, imp := range s.imports {
			dir, ok := local(imp)
			if !ok {
				continue
			}
			if !mayImport(s.pkg, prefix, allowed[i].may, dir) {
				t.Errorf("%s: %s may not import %s", s.name, prefix, dir)
			}
		}
	}
}

func mayImport(pkg, prefix string, may []string, dir string) bool {
	for _, m := range may {
		switch {
		case m == "own" && within(dir, prefix):
			// A transport or engine may import its own packages, but no other transport's or engine's.
			if !anyWithin(prefix, "centrifuge/transport", "centrifuge/engine") || within(dir, pkg) || within(pkg, dir) {
				return true
			}
		case m == "centrifuge" && dir == m, m != "centrifuge" && within(dir, m):
			return true
		}
	}
	return false
}

// TestCoreIsLight proves that an embedder of the core links nothing but the
// standard library and the low-level Protobuf wire.
func TestCoreIsLight(t *testing.T) {
	imports := make(map[string][]string)
	for _, s := range load(t) {
		if !s.test {
			imports[s.pkg] = append(imports[s.pkg], s.imports...)
		}
	}
	seen := make(map[string]bool)
	var visit func(pkg string)
	visit = func(pkg string) {
		if seen[pkg] {
			return
		}
		seen[pkg] = true
		for _, imp := range imports[pkg] {
			if dir, ok := local(imp); ok {
				visit(dir)
			} else if imp == "net/http" || !standard(imp) && !strings.HasPrefix(imp, "google.golang.org/protobuf/encoding/protowire") {
				t.Errorf("the core links %s, through %s", imp, pkg)
			}
		}
	}
	visit("centrifuge")
	if !seen[path.Join("centrifuge", "internal", "fanout")] {
		t.Error("the core does not reach fanout: the test does not see the imports")
	}
}
