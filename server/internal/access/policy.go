package access

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync/atomic"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/auth"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/proxy"
	"centrifugo/server/internal/revocation"
)

// Sections are the sections of the configuration that a Policy uses.
type Sections struct {
	Client  config.Client
	Channel config.Channel
	RPC     config.RPC
}

// Node is the part of a *centrifuge.Node that a Policy uses.
type Node interface {
	PresenceStats(ctx context.Context, channel string) (centrifuge.PresenceStats, error)
	History(ctx context.Context, channel string, opts centrifuge.HistoryOptions) (centrifuge.HistoryResult, error)
	Disconnect(ctx context.Context, t centrifuge.Target, d centrifuge.Disconnect) error
	Connections() iter.Seq[*centrifuge.Client]
	UserConnections(user string) iter.Seq[*centrifuge.Client]
}

// Options of a Policy.
type Options struct {
	// Node that the handlers are for.
	Node Node
	// User returns the value that client.user_id_http_header has in the request
	// of a connection, from the connection's context. It may be nil.
	User func(ctx context.Context) string
	// Revocations says which users are blocked and which tokens are revoked; nil means none.
	Revocations *revocation.Registry
	// Proxies decide what is left to the backend; nil means that there are none.
	Proxies *proxy.Set
	// Log receives the reasons of refusals; nil means slog.Default.
	Log *slog.Logger
}

// Policy decides what clients may do. It is safe for concurrent use.
type Policy struct {
	// Static after construction
	node    Node
	user    func(ctx context.Context) string
	proxies *proxy.Set
	log     *slog.Logger
	keys    *auth.KeySets

	revocations *revocation.Registry

	settings atomic.Pointer[settings]
}

// settings is a snapshot of the configuration, compiled.
type settings struct {
	client    config.Client
	rpc       rpcRules
	rules     *channels.Rules
	connect   *auth.Verifier
	subscribe *auth.Verifier
}

// New compiles the sections. They must have passed the validation of package config.
func New(sections Sections, opts Options) (*Policy, error) {
	p := &Policy{node: opts.Node, user: opts.User, proxies: opts.Proxies, log: opts.Log, revocations: opts.Revocations}
	if p.user == nil {
		p.user = func(context.Context) string { return "" }
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	if p.revocations == nil {
		p.revocations = revocation.New(revocation.Options{Log: p.log})
	}
	p.keys = auth.NewKeySets(auth.KeySetOptions{Log: p.log})
	if err := p.Reload(sections); err != nil {
		return nil, err
	}
	return p, nil
}

// Close ends the requests for key sets that are running. Tokens that need another one are
// not accepted afterwards.
func (p *Policy) Close() { p.keys.Close() }

// KeySetStats returns the counters of the key sets.
func (p *Policy) KeySetStats() auth.KeySetStats { return p.keys.Stats() }

// Reload replaces all settings. If it returns an error, it has replaced none.
func (p *Policy) Reload(sections Sections) error {
	s, err := compile(sections, p.keys)
	if err != nil {
		return err
	}
	p.settings.Store(s)
	p.warn("client.token", &sections.Client.Token)
	if sections.Client.SubscriptionToken.Enabled {
		p.warn("client.subscription_token", &sections.Client.SubscriptionToken.Token)
	}
	return nil
}

// warn logs what settings of tokens admit that is probably not meant.
func (p *Policy) warn(section string, c *config.Token) {
	if c.InsecureSkipJWKSEndpointSafetyCheck && strings.Contains(c.JWKSPublicEndpoint, "{{") {
		p.log.Warn(section + ".insecure_skip_jwks_endpoint_safety_check: tokens that are not verified choose which key sets are requested")
	}
	if c.OpenIDIssuer != "" && c.Audience == "" && c.AudienceRegex == "" {
		p.log.Warn(section + ".openid_issuer without audience admits tokens that the provider has issued for other applications")
	}
}

func compile(sections Sections, sets *auth.KeySets) (*settings, error) {
	c := &sections.Client
	s := &settings{client: *c, rpc: newRPCRules(sections.RPC)}
	var errs [3]error
	s.rules, errs[0] = channels.New(sections.Channel, channels.Settings{
		Insecure: c.Insecure,
		Personal: c.SubscribeToUserPersonalChannel,
	})
	tokens := auth.Options{SkipSignature: c.InsecureSkipTokenSignatureVerify, KeySets: sets}
	if s.connect, errs[1] = auth.NewVerifier(c.Token, tokens); errs[1] != nil {
		errs[1] = fmt.Errorf("client.token: %w", errs[1])
	}
	s.subscribe = s.connect
	if c.SubscriptionToken.Enabled {
		if s.subscribe, errs[2] = auth.NewVerifier(c.SubscriptionToken.Token, tokens); errs[2] != nil {
			errs[2] = fmt.Errorf("client.subscription_token: %w", errs[2])
		}
	}
	return s, errors.Join(errs[:]...)
}

// Rules returns the current channel rules.
func (p *Policy) Rules() *channels.Rules { return p.settings.Load().rules }

// Handlers returns the handlers of the node.
func (p *Policy) Handlers() centrifuge.Handlers {
	handlers := centrifuge.Handlers{
		Connecting:    p.connecting,
		Connected:     p.connected,
		Subscribe:     p.subscribe,
		Publish:       p.publish,
		Presence:      p.presence,
		PresenceStats: p.presenceStats,
		History:       p.history,
		RPC:           p.rpc,
		Refresh:       p.refresh,
		SubRefresh:    p.subRefresh,
		// No handler for messages: the server has no receiver, so a send command
		// closes the connection with 3508 (protocol.md 5.9).
	}
	if p.proxies.Streams() {
		handlers.Subscribed, handlers.Unsubscribed = p.subscribed, p.unsubscribed
	}
	return handlers
}

// because returns answer with a reason, which the core logs and the client does not get.
func because(answer error, format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), answer) //nolint:err113 // the reason is for the log
}

// refusal returns the error that answers an outcome, nil for those that do not
// refuse. Callers ask the proxy first; what only a proxy could decide that is not there is not
// available.
func refusal(o channels.Outcome) error {
	switch o {
	case channels.Allowed, channels.CheckToken:
		return nil
	case channels.UnknownChannel:
		return centrifuge.ErrorUnknownChannel
	case channels.BadRequest:
		return centrifuge.ErrorBadRequest
	case channels.NotAvailable, channels.AskProxy, channels.AskStreamProxy:
		return centrifuge.ErrorNotAvailable
	case channels.Denied:
	}
	return centrifuge.ErrorPermissionDenied
}
