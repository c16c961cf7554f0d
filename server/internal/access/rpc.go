package access

import (
	"context"
	"strings"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/proxy"
)

// rpcRules describe which RPC methods exist, and which proxy answers them.
type rpcRules struct {
	ping     string // empty: off
	boundary string
	proxied  bool // some methods are passed to a proxy
	without  config.RPCOptions
	named    map[string]config.RPCOptions
}

func newRPCRules(c config.RPC) rpcRules {
	r := rpcRules{
		boundary: c.NamespaceBoundary, proxied: c.WithoutNamespace.ProxyEnabled, without: c.WithoutNamespace,
		named: make(map[string]config.RPCOptions),
	}
	if c.Ping.Enabled {
		r.ping = c.Ping.Method
	}
	for _, ns := range c.Namespaces {
		r.proxied = r.proxied || ns.ProxyEnabled
		r.named[ns.Name] = ns.RPCOptions
	}
	return r
}

// rpc answers the ping method (server.md 3.8), and passes others to the proxy of their
// namespace (server.md 5.8). Where no proxy is configured, all methods are not available.
func (p *Policy) rpc(ctx context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
	r := &p.settings.Load().rpc
	if r.ping != "" && e.Method == r.ping {
		return centrifuge.RPCReply{}, nil
	}
	options := r.without
	if name, _, found := strings.Cut(e.Method, r.boundary); found && r.proxied {
		var known bool
		if options, known = r.named[name]; !known {
			return centrifuge.RPCReply{}, centrifuge.ErrorMethodNotFound
		}
	}
	if !options.ProxyEnabled {
		return centrifuge.RPCReply{}, centrifuge.ErrorNotAvailable
	}
	result, err := p.ask(ctx, proxy.RPC, options.ProxyName, e.Client, proxy.Request{Method: e.Method, Data: e.Data})
	if err != nil {
		return centrifuge.RPCReply{}, err
	}
	return centrifuge.RPCReply{Data: result.Data}, nil
}
