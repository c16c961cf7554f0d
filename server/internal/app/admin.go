package app

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/admin"
	"centrifugo/server/internal/apihttp"
	"centrifugo/server/internal/config"
)

// adminUser is the user of the connections that pages of the admin interface make. Calls
// of the API find them by it, as those of any other user.
const adminUser = "@admin"

// adminKey is the context key that marks the connections of the admin interface.
type adminKey struct{}

func ofAdmin(ctx context.Context) bool { return ctx.Value(adminKey{}) != nil }

// newAdmin makes the admin interface if it is enabled.
func (a *App) newAdmin() (err error) {
	if !a.config.Admin.Enabled {
		return nil
	}
	calls := a.newAPI("admin", false)
	a.admin, err = admin.New(admin.Options{
		Config:   a.config.Admin,
		Commands: apihttp.Commands(apihttp.Options{API: calls, ShuttingDown: a.node.ShuttingDown, Log: a.log}),
		Views:    a.adminViews(),
		Socket:   http.HandlerFunc(a.serveAdminSocket),
		Log:      a.log,
	})
	return err //nolint:wrapcheck // it names the key
}

// newAdminSocket returns the transport of the admin interface. It is apart from that of
// clients, which may be off, on another listener, or closed to administrators.
func (a *App) newAdminSocket() *transport {
	if a.admin == nil {
		return nil
	}
	settings := a.webSocketSettings(a.config.WebSocket.WebSocketFrames)
	settings.CheckOrigin = sameOrigin
	return a.webSocketTransport("", settings)
}

func (a *App) serveAdminSocket(w http.ResponseWriter, r *http.Request) {
	a.adminSocket.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), adminKey{}, true)))
}

// sameOrigin reports whether a request comes from a page of this server, or no page.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// handlers returns the handlers of the node: those of the policy, that of surveys, and for connections of
// the admin interface those that let an administrator read any channel.
func (a *App) handlers() centrifuge.Handlers {
	h := a.policy.Handlers()
	h.Survey = a.survey
	if !a.config.Admin.Enabled {
		return h
	}
	connecting, subscribe := h.Connecting, h.Subscribe
	h.Connecting = func(ctx context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
		if ofAdmin(ctx) {
			return a.adminConnecting(e)
		}
		return connecting(ctx, e)
	}
	h.Subscribe = func(ctx context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
		if ofAdmin(ctx) {
			return a.adminSubscribe(e)
		}
		return subscribe(ctx, e)
	}
	h.Publish = adminMayNot(h.Publish)
	h.Presence = adminMayNot(h.Presence)
	h.PresenceStats = adminMayNot(h.PresenceStats)
	h.History = adminMayNot(h.History)
	h.RPC = adminMayNot(h.RPC)
	return h
}

// adminMayNot refuses a command of a connection of the admin interface: its page calls the
// API instead, whose calls are counted as such.
func adminMayNot[E, R any](next func(context.Context, E) (R, error)) func(context.Context, E) (R, error) {
	return func(ctx context.Context, e E) (R, error) {
		if ofAdmin(ctx) {
			var none R
			return none, centrifuge.ErrorPermissionDenied
		}
		return next(ctx, e)
	}
}

// adminConnecting authenticates a page by the token of its log-in.
func (a *App) adminConnecting(e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
	expires, err := a.admin.Expiry(e.Token)
	if err != nil {
		return centrifuge.ConnectingReply{}, fmt.Errorf("admin interface: %w: %w", err, centrifuge.DisconnectInvalidToken)
	}
	credentials := &centrifuge.Credentials{UserID: adminUser}
	if !expires.IsZero() {
		credentials.Exp = expires.Unix()
	}
	return centrifuge.ConnectingReply{Credentials: credentials}, nil
}

// adminSubscribe lets a page see the publications, joins and leaves of a channel without
// being seen in its presence.
func (a *App) adminSubscribe(e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
	ns, ok := a.policy.Rules().Namespace(e.Channel)
	if !ok {
		return centrifuge.SubscribeReply{}, centrifuge.ErrorUnknownChannel
	}
	history := ns.Options.HistorySize > 0 && ns.Options.HistoryTTL > 0
	return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{
		PushJoinLeave: true, Positioning: history, Recovery: history, AllowTagsFilter: true,
	}}, nil
}

// reloadAdmin replaces password and secret. Pages that have logged in with others lose
// their connections.
func (a *App) reloadAdmin(before, after config.Admin) {
	if a.admin == nil || before.Password == after.Password && before.Secret == after.Secret && before.Insecure == after.Insecure {
		return
	}
	a.admin.SetSecrets(after)
	for c := range a.node.UserConnections(adminUser) {
		if ofAdmin(c.Context()) {
			c.Disconnect(centrifuge.DisconnectInvalidToken)
		}
	}
}

// mountAdmin mounts the admin interface.
func (a *App) mountAdmin(outer, inner *routes) {
	if a.admin == nil {
		return
	}
	r := inner
	if a.config.Admin.External {
		r = outer
	}
	handler := a.localHost(r, a.admin)
	if a.config.Admin.Insecure {
		handler = r.local.Middleware(a.admin)
	}
	r.insecure = append(r.insecure, a.insecureModes("admin.")...)
	for _, pattern := range a.admin.Patterns() {
		r.handle(pattern, handler)
	}
}

// playgroundPath returns where development mode serves the playground: at the root, unless
// the admin interface is there.
func (a *App) playgroundPath() string {
	if a.admin != nil && path(a.config.Admin.HandlerPrefix) == "/" {
		return "/playground/"
	}
	return "/"
}
