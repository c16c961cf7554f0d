package app

import (
	"fmt"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/server/internal/app/apptest"
	"centrifugo/server/internal/auth/authtest"
)

// A server with an OpenID provider for connections and a key set for subscriptions, started
// with the file of its configuration. A reload keeps the keys while the provider is down.
func TestKeySets(t *testing.T) {
	users, others := authtest.NewProvider(t), authtest.NewProvider(t)
	user, channel := authtest.NewKey(t, "k", "RS256"), authtest.NewKey(t, "k", "ES256")
	users.Publish(user)
	others.Publish(channel)
	settings := fmt.Sprintf(`"client": {"token": {"openid_issuer": %q}, "subscription_token": {"enabled": true, "jwks_public_endpoint": %q}},
		"prometheus": {"enabled": true}`, users.Issuer, others.KeysURL())
	i := start(t, settings)
	token := user.Sign(t, fmt.Sprintf(`{"sub":"42","iss":%q}`, users.Issuer))
	admit := func() (c *apptest.Conn) {
		// A request may take longer than its second on a loaded machine: the client tries again.
		await.Until(t, "the client to be admitted", func() bool {
			c = i.dial(apptest.Dialer{})
			reply := ask(t, c, fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, token))
			if !strings.Contains(reply, `"connect":{`) && !strings.Contains(reply, `"code":100`) {
				t.Fatalf("connecting: %s; want a result or error 100", reply)
			}
			return strings.Contains(reply, `"connect":{`)
		})
		return c
	}
	c := admit()
	id := 1
	await.Until(t, "the subscription", func() bool {
		id++
		reply := ask(t, c, fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"$x","token":%q}}`, id, channel.Sign(t, `{"sub":"42","channel":"$x"}`)))
		if !strings.Contains(reply, `"subscribe":`) && !strings.Contains(reply, `"code":100`) {
			t.Fatalf("subscribing: %s; want a result or error 100", reply)
		}
		return strings.Contains(reply, `"subscribe":`)
	})
	users.Down()
	i.configure(settings + `, "log": {"level": "debug"}`)
	i.hangup <- nil
	i.awaitLogged("info", "configuration reloaded", "log.level")
	admit()
	i.awaitMetrics(map[string]float64{"client_key_set_fetched_count": 2})
}
