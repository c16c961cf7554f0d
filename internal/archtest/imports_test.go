package archtest

import (
	"path"
	"strings"
	"testing"
)

// guests lists, for every dependency that is heavy or has one purpose, the only
// packages that may import it.
var guests = map[string][]string{
	"github.com/redis/rueidis":            {"centrifuge/engine/redisengine", "server/internal/consume/redis"},
	"github.com/nats-io":                  {"centrifuge/engine/natsengine", "server/internal/consume/nats"},
	"google.golang.org/grpc":              {"centrifuge/transport/unigrpc", "centrifuge/transport/grpcstream", "server/internal/apigrpc", "server/internal/proxygrpc"},
	"github.com/quic-go":                  {"centrifuge/transport/webtransport", "server/internal/app"},
	"github.com/prometheus":               {"centrifuge/prommetrics", "server/internal/app"},
	"github.com/golang-jwt/jwt":           {"server/internal/auth"},
	"github.com/go-chi":                   {"examples"},
	"github.com/labstack/echo":            {"examples"},
	"github.com/gobwas/ws":                {"centrifuge/transport/websocket", "examples"},
	"github.com/gobwas/glob":              {"server/internal/middleware", "server/internal/app", "server/internal/api", "server/internal/config"},
	"github.com/spf13":                    {"server/internal/cli"},
	"github.com/klauspost/compress":       {"centrifuge/transport/websocket", "server/internal/loadtest"},
	"go.yaml.in/yaml":                     {"server/internal/config"},
	"github.com/pelletier/go-toml":        {"server/internal/config"},
	"github.com/joho/godotenv":            {"server/internal/config"},
	"github.com/KimMachineGun":            {"server/internal/app"},
	"github.com/google/pprof":             {"bench/cmd/measure"},
	"unsafe":                              {"centrifuge/internal/eventloop", "internal/jsonscan", "protocol"},
	"github.com/bufbuild/protocompile":    {"protocol/internal/codegen"}, // tests and generators only
	"github.com/getkin/kin-openapi":       {},                            // tests only
	"google.golang.org/protobuf/encoding": {"protocol"},
	"golang.org/x/sys":                    {"centrifuge/internal/eventloop", "server/internal/loadtest", "bench"},
	"centrifugo/protocol/clientcodec":     {"centrifuge/centrifugetest", "server/internal/loadtest"}, // servers decode no replies
	"net/http":                            {"centrifuge/transport", "server", "cmd", "bench", "examples"},
}

func TestGuests(t *testing.T) {
	used := make(map[string]bool)
	for _, s := range load(t) {
		for _, imp := range s.imports {
			for dep, allowed := range guests {
				if !within(imp, dep) {
					continue
				}
				used[dep] = true
				if !s.test && !s.exempt && !anyWithin(s.pkg, allowed...) {
					t.Errorf("%s imports %s; only %v may", s.name, imp, allowed)
				}
			}
		}
	}
	if !used["net/http"] {
		t.Error("no package imports net/http: the test does not see the imports")
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
	{"centrifuge/internal/fanout", []string{"protocol", "centrifuge/internal/fossil", "centrifuge/internal/nametable"}}, // ADR 3: deltas are a form of the message
	{"centrifuge/internal", []string{"protocol"}},
	{"centrifuge/transport", []string{"protocol", "centrifuge", "centrifuge/internal/eventloop", "own"}},
	{"centrifuge/engine", []string{"protocol", "centrifuge", "own"}},
	{"centrifuge/prommetrics", []string{"centrifuge"}},
	{"centrifuge/centrifugetest", []string{"protocol", "centrifuge"}},
	{"centrifuge", []string{"protocol", "centrifuge/internal", "internal/logsample"}},
	{"server/internal/config", []string{"own"}},
	{"server/internal/channels", []string{"protocol", "server/internal/config"}},
	{"server/internal/auth", []string{"protocol", "server/internal/config"}},
	{"server/internal/api", []string{"protocol", "centrifuge", "server/internal/channels", "server/internal/config", "server/internal/subscribeopts", "own"}},
	{"server/internal/subscribeopts", []string{"centrifuge", "server/internal/channels"}},
	{"server/internal/openapi", []string{"server/internal/api", "own"}},
	{"server/internal/apihttp", []string{"internal/jsonscan", "centrifuge", "server/internal/api", "server/internal/config", "server/internal/middleware"}},
	{"server/internal/access", []string{"centrifuge", "server/internal/channels", "server/internal/auth", "server/internal/config", "server/internal/middleware", "server/internal/subscribeopts", "own"}},
	{"server/internal/middleware", []string{"server/internal/config", "internal/logsample"}},
	{"server/internal/playground", nil},
	{"server/internal/loadtest", []string{"protocol", "internal/wsframe", "own"}},
	{"server/internal/cli", []string{"server/internal/config", "server/internal/auth", "server/internal/channels", "server/internal/loadtest", "own"}},
	{"server/internal/app", []string{"protocol", "centrifuge", "centrifuge/transport", "centrifuge/prommetrics", "server/internal", "internal/logsample", "internal/wsframe"}},
	{"server", []string{"server/internal/app", "server/internal/config", "server/internal/cli"}},
	{"cmd", []string{"server"}},
	{"bench", []string{"protocol", "centrifuge", "internal/wsframe", "bench"}},
	{"examples", []string{"centrifuge", "centrifuge/transport"}},
	{"internal/archtest", nil},
	{"internal/doctest", nil},
	{"internal/jsonscan", nil},
	{"internal/logsample", nil},
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
