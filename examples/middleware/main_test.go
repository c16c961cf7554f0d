package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

func TestMiddleware(t *testing.T) {
	handler, shutdown, err := newHandler()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	defer func() {
		if err := shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	url := "ws" + strings.TrimPrefix(server.URL, "http")
	if _, _, _, err := ws.Dial(t.Context(), url); err == nil {
		t.Fatal("a stranger was let in; want an error")
	}
	dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP(http.Header{"Cookie": {"session=alexander"}})}
	conn, _, _, err := dialer.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := wsutil.WriteClientText(conn, []byte(`{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{"channel":"news"}}`)); err != nil {
		t.Fatal(err)
	}
	var replies string
	for !strings.Contains(replies, `{"id":2,"subscribe":{}}`) {
		message, err := wsutil.ReadServerText(conn)
		if err != nil {
			t.Fatalf("after %q: %v", replies, err)
		}
		replies += string(message) + "\n"
	}
	if !strings.Contains(replies, `{"id":1,"connect":{"client":`) {
		t.Errorf("no connect reply in %q; want %q in it", replies, `{"id":1,"connect":{"client":`)
	}
}
