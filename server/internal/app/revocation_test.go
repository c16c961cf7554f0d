package app

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"centrifugo/apipb"
	"centrifugo/internal/await"
	"centrifugo/internal/redistest"
	"centrifugo/server/internal/app/apptest"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
)

const tokenSecret = "a secret of tokens"

// tokenNode are the settings of a node whose clients have tokens.
func tokenNode(engine string) string {
	return `"client": {"token": {"hmac_secret_key": "` + tokenSecret + `"}}, "http_api": {"insecure": true}, "health": {"enabled": true}, "prometheus": {"enabled": true},
		"channel": {"without_namespace": {"allow_subscribe_for_client": true}}` + engine
}

func signed(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(tokenSecret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// admitted connects with a token.
func (i *instance) admitted(claims jwt.MapClaims) *apptest.Conn {
	i.t.Helper()
	c := i.dial(apptest.Dialer{})
	if reply := ask(i.t, c, fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, signed(i.t.(*testing.T), claims))); !strings.Contains(reply, `"connect":{`) {
		i.t.Fatalf("connecting with %v: %s; want a connect result", claims, reply)
	}
	return c
}

// refused connects with a token, and returns the code of the error or disconnect.
func (i *instance) refused(claims jwt.MapClaims) int {
	i.t.Helper()
	c := i.dial(apptest.Dialer{})
	if err := c.Text(fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, signed(i.t.(*testing.T), claims))); err != nil {
		i.t.Fatal(err)
	}
	m, err := c.Next()
	var closed *apptest.Closed
	switch {
	case errors.As(err, &closed):
		return closed.Code
	case err != nil:
		i.t.Fatal(err)
	case strings.Contains(m, `"error":{"code":109`):
		return 109
	}
	return 0
}

func wantClosed(t *testing.T, what string, c *apptest.Conn, want int) {
	t.Helper()
	if code, err := c.WaitClosed(); err != nil || code != want {
		t.Errorf("%s: closed with %d, %v; want %d", what, code, err, want)
	}
}

// Revocations reach the connections of every node, whichever node the backend calls, over
// HTTP or gRPC, and nodes that start later.
func TestRevocationsOnRedis(t *testing.T) {
	for name, engine := range map[string]string{
		"pubsub":  redisEngine(redistest.Start(t).Address(), redistest.Start(t).Address()),
		"streams": fmt.Sprintf(`"engine": {"type": "redis", "redis": {"address": [%q], "delivery": "streams"}}`, redistest.Start(t).Address()),
	} {
		t.Run(name, func(t *testing.T) { testRevocations(t, ", "+engine, 2) })
	}
}

func TestRevocationsInMemory(t *testing.T) { testRevocations(t, "", 1) }

func testRevocations(t *testing.T, engine string, n int) {
	var nodes []*instance
	for range n {
		i := start(t, tokenNode(engine))
		i.awaitReady()
		nodes = append(nodes, i)
	}
	first, last := nodes[0], nodes[n-1]
	issued := time.Now().Unix() - 10
	blocked, stays := last.admitted(jwt.MapClaims{"sub": "blocked"}), last.admitted(jwt.MapClaims{"sub": "stays"})
	revoked := last.admitted(jwt.MapClaims{"sub": "u", "jti": "t1"})
	invalid := last.admitted(jwt.MapClaims{"sub": "invalid", "iat": issued})

	for _, call := range [][2]string{
		{"block_user", `{"user":"blocked"}`}, {"revoke_token", `{"uid":"t1"}`}, {"invalidate_user_tokens", `{"user":"invalid"}`},
	} {
		if got := first.api(call[0], call[1]); got != `{"result":{}}` {
			t.Fatalf("%s: %s; want %q", call[0], got, `{"result":{}}`)
		}
	}
	wantClosed(t, "blocked user", blocked, 3507)
	wantClosed(t, "revoked token", revoked, 3014)
	wantClosed(t, "invalidated token", invalid, 3014)
	if reply := ask(t, stays, `{"id":2,"subscribe":{"channel":"x"}}`); !strings.Contains(reply, `"subscribe"`) {
		t.Errorf("a connection that nothing was revoked of: %s; want %q in it", reply, `"subscribe"`)
	}
	if n > 1 {
		i := start(t, tokenNode(engine))
		i.awaitReady()
		nodes = append(nodes, i)
	}
	for k, i := range nodes {
		for _, tt := range []struct {
			claims jwt.MapClaims
			want   int
		}{
			{jwt.MapClaims{"sub": "blocked"}, 3507}, {jwt.MapClaims{"sub": "u", "jti": "t1"}, 109}, {jwt.MapClaims{"sub": "u", "jti": "t2"}, 0},
			{jwt.MapClaims{"sub": "invalid", "iat": issued}, 109}, {jwt.MapClaims{"sub": "invalid", "iat": time.Now().Unix() + 60}, 0},
		} {
			if got := i.refused(tt.claims); got != tt.want {
				t.Errorf("node %d: connecting with %v: %d; want %d", k, tt.claims, got, tt.want)
			}
		}
		if got := i.metrics()["centrifugo_node_revocations"]; got != 3 {
			t.Errorf("node %d: %v revocations in the metrics; want 3", k, got)
		}
	}
	if n == 1 {
		first.api("unblock_user", `{"user":"blocked"}`)
	} else {
		unblockByGRPC(t, engine, "blocked")
	}
	for _, i := range nodes {
		await.Until(t, "the user to be unblocked", func() bool { return i.refused(jwt.MapClaims{"sub": "blocked"}) == 0 })
	}
}

// unblockByGRPC unblocks a user on another node.
func unblockByGRPC(t *testing.T, engine, user string) {
	t.Helper()
	i := start(t, tokenNode(`, "grpc_api": {"enabled": true, "insecure": true, "address": "127.0.0.1"}`+engine))
	answer, err := i.grpcAPI(nil).UnblockUser(t.Context(), &apipb.UnblockUserRequest{User: user}, grpc.WaitForReady(true))
	if err != nil || answer.Error != nil {
		t.Fatalf("unblock_user over gRPC: %v, %v; want no error", answer, err)
	}
}

// A Redis that has lost everything gets the revocations back from the nodes.
func TestRevocationsOutliveRedis(t *testing.T) {
	server := redistest.Start(t)
	i := start(t, tokenNode(", "+redisEngine(server.Address())))
	i.awaitReady()
	i.api("block_user", `{"user":"blocked"}`)
	server.Kill()
	if got := i.refused(jwt.MapClaims{"sub": "blocked"}); got != 3507 {
		t.Errorf("while Redis is down: %d; want 3507", got)
	}
	if got := i.api("block_user", `{"user":"another"}`); !strings.Contains(got, `"error":{"code":100`) {
		t.Errorf("blocking while Redis is down: %s; want error 100", got)
	}
	server.Restart()
	i.awaitLogged("warn", "the engine had lost revocations", `"restored":1`)
	later := start(t, tokenNode(", "+redisEngine(server.Address())))
	later.awaitReady()
	if got := later.refused(jwt.MapClaims{"sub": "blocked"}); got != 3507 {
		t.Errorf("on a node that starts later: %d; want 3507", got)
	}
}

// A node without its engine admits no client: it does not know who is blocked.
func TestRevocationsNotLoaded(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	server.Kill()
	i := start(t, tokenNode(", "+redisEngine(server.Address())))
	c := i.dial(apptest.Dialer{})
	if reply := ask(t, c, fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, signed(t, jwt.MapClaims{"sub": "u"}))); !strings.Contains(reply, `"error":{"code":100`) {
		t.Errorf("connecting: %s; want error 100", reply)
	}
	server.Restart()
	await.Until(t, "the client to be admitted", func() bool { return i.refused(jwt.MapClaims{"sub": "u"}) == 0 })
}
