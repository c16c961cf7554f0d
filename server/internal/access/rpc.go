package access

import (
	"context"
	"strings"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/config"
)

// rpcRules describe which RPC methods exist.
type rpcRules struct {
	ping     string // empty: off
	boundary string
	proxied  bool // some methods are passed to a proxy
	known    map[string]struct{}
}

func newRPCRules(c config.RPC) rpcRules {
	r := rpcRules{boundary: c.NamespaceBoundary, proxied: c.WithoutNamespace.ProxyEnabled, known: map[string]struct{}{}}
	if c.Ping.Enabled {
		r.ping = c.Ping.Method
	}
	for _, ns := range c.Namespaces {
		r.proxied = r.proxied || ns.ProxyEnabled
		r.known[ns.Name] = struct{}{}
	}
	return r
}

// rpc answers the ping method (server.md 3.8). Only proxies, which are not
// implemented, answer others; where none is configured, all methods are not available
// (server.md 3.8).
func (p *Policy) rpc(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
	r := &p.settings.Load().rpc
	if r.ping != "" && e.Method == r.ping {
		return centrifuge.RPCReply{}, nil
	}
	name, _, found := strings.Cut(e.Method, r.boundary)
	if _, ok := r.known[name]; r.proxied && found && !ok {
		return centrifuge.RPCReply{}, centrifuge.ErrorMethodNotFound
	}
	return centrifuge.RPCReply{}, centrifuge.ErrorNotAvailable
}
