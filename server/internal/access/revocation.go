package access

import (
	"context"
	"iter"
	"sync"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/revocation"
)

// tokenStateKey is the context key of the *tokenState of a connection.
type tokenStateKey struct{}

// tokenState holds what must be known of the tokens of a connection after they were
// verified: to compare a refresh with the connect, and to revoke them.
type tokenState struct {
	// channels are those of the connect token. They do not change.
	channels channelSet

	// Guarded by mu
	mu         sync.Mutex
	connection tokenFacts
	// subscriptions are the facts of subscription tokens by channel. Those of ended
	// subscriptions are removed when there are pruneAt of them; nil: none.
	subscriptions map[string]notedFacts
	pruneAt       uint32
	byToken       bool // the connection has a token
}

// tokenFacts are what a token says about itself.
type tokenFacts struct {
	id       string
	issuedAt int64
}

// notedFacts are facts with the Unix time in seconds when they were noted.
type notedFacts struct {
	tokenFacts
	noted int64
}

func (f tokenFacts) of(user string) revocation.Token {
	return revocation.Token{User: user, ID: f.id, IssuedAt: f.issuedAt}
}

func stateOf(ctx context.Context) *tokenState {
	s, _ := ctx.Value(tokenStateKey{}).(*tokenState)
	return s
}

// noteConnection keeps the facts of the token of a connect or refresh.
func (s *tokenState) noteConnection(f tokenFacts) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byToken, s.connection = true, f
}

const (
	// minPrune is the number of subscription tokens from which on those of ended
	// subscriptions are removed.
	minPrune = 16
	// pruneAge is the age of a token in seconds from which on its subscription, if it is not
	// live, is not being made either.
	pruneAge = 60
)

// noteSubscription keeps the facts of the token of a subscription. It must be called
// before the token is looked up in the revocations, so that either the caller or Enforce
// finds it revoked.
func (s *tokenState) noteSubscription(c *centrifuge.Client, channel string, f tokenFacts) {
	if s == nil {
		return
	}
	now := time.Now().Unix()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subscriptions == nil {
		s.subscriptions, s.pruneAt = map[string]notedFacts{}, minPrune
	}
	s.subscriptions[channel] = notedFacts{f, now}
	if len(s.subscriptions) < int(s.pruneAt) {
		return
	}
	for channel, old := range s.subscriptions {
		if now-old.noted > pruneAge && !c.IsSubscribed(channel) {
			delete(s.subscriptions, channel)
		}
	}
	s.pruneAt = max(minPrune, 2*uint32(len(s.subscriptions))) //nolint:gosec // far fewer
}

// revoked returns whether the token of the connection is revoked, and the channels whose
// subscription tokens are.
func (s *tokenState) revoked(user string, r *revocation.Registry) (connection bool, channels []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byToken && r.Revoked(s.connection.of(user)) {
		return true, nil
	}
	for channel, f := range s.subscriptions {
		if r.Revoked(f.of(user)) {
			channels = append(channels, channel)
		}
	}
	return false, channels
}

// maxLoading bounds how long a connect command waits for the revocations of a node that
// starts.
const maxLoading = 5 * time.Second

// connecting decides a connect command: who it is, and whether the user is blocked.
func (p *Policy) connecting(ctx context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
	if err := p.loaded(ctx); err != nil {
		return centrifuge.ConnectingReply{}, because(centrifuge.ErrorInternal, "connecting: %w", err)
	}
	reply, err := p.authenticate(ctx, e)
	if err != nil || reply.Credentials == nil {
		return reply, err
	}
	if p.revocations.Blocked(reply.Credentials.UserID) {
		return centrifuge.ConnectingReply{}, because(centrifuge.DisconnectPermissionDenied, "user is blocked")
	}
	return reply, nil
}

// loaded waits until the revocations have been read. Deriving from ctx, which lasts as long
// as the connection, leaves a channel and a map in it; most connections do not have to wait.
func (p *Policy) loaded(ctx context.Context) error {
	if p.revocations.Loaded() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxLoading)
	defer cancel()
	return p.revocations.Wait(ctx)
}

// connected looks again: what was revoked while the connect command was decided found no
// connection to close.
func (p *Policy) connected(_ context.Context, e centrifuge.ConnectedEvent) { p.enforceOn(e.Client) }

// Enforce applies new revocations to the connections of this node.
func (p *Policy) Enforce(entries []revocation.Entry) {
	closed := 0
	enforce := func(clients iter.Seq[*centrifuge.Client]) {
		for c := range clients {
			if p.enforceOn(c) {
				closed++
			}
		}
	}
	all := false
	users := map[string]struct{}{}
	for _, e := range entries {
		if e.Kind == revocation.RevokeToken { // tokens have no index: that would cost each connection
			all = true
		} else {
			users[e.Key] = struct{}{}
		}
	}
	if all {
		enforce(p.node.Connections())
	} else {
		for user := range users {
			enforce(p.node.UserConnections(user))
		}
	}
	p.log.Info("revocations applied", "entries", len(entries), "closed", closed)
}

// enforceOn closes a connection, or ends its subscriptions, if its user is blocked or its
// tokens are revoked. It reports whether it has closed the connection.
func (p *Policy) enforceOn(c *centrifuge.Client) (closed bool) {
	user := c.UserID()
	if p.revocations.Blocked(user) {
		c.Disconnect(centrifuge.DisconnectPermissionDenied)
		return true
	}
	state := stateOf(c.Context())
	if state == nil {
		return false
	}
	connection, channels := state.revoked(user, p.revocations)
	if connection {
		c.Disconnect(centrifuge.DisconnectStateInvalidated) // the client gets a new token and returns
		return true
	}
	for _, channel := range channels {
		go c.Unsubscribe(channel, centrifuge.UnsubscribeStateInvalidated) // it may wait for a subscribe command
	}
	return false
}
