package httpstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/internal/await"
	"centrifugo/protocol"
)

// The statuses of protocol.md 3.4.
func TestEmulationStatus(t *testing.T) {
	n := transporttest.RunNode(t, centrifuge.Config{})
	e := NewEmulation(n, Config{MaxRequestBodySize: 1000})
	request := func(node, data string) string {
		return fmt.Sprintf(`{"session":"unknown","node":%q,"data":%s}`, node, data)
	}
	for _, tt := range []struct {
		name, method, body, contentType string
		status                          int
	}{
		{"unknown session", "POST", request(n.ID(), `"{}"`), "application/json", 204},
		{"unknown session, Protobuf", "POST", string(protocol.AppendEmulationRequest(nil, true, &protocol.EmulationRequest{Node: n.ID(), Session: "unknown", Data: []byte{0}})), "application/octet-stream", 204},
		{"unknown node", "POST", request("unknown", `"{}"`), "", 404},
		{"malformed", "POST", "{", "", 400},
		{"data that is no string", "POST", request(n.ID(), `{}`), "", 400},
		{"malformed Protobuf", "POST", "{}", "application/octet-stream", 400},
		{"empty", "POST", "", "", 400},
		{"large", "POST", request(n.ID(), `"`+strings.Repeat("x", 1000)+`"`), "", 413},
		{"preflight", "OPTIONS", "", "", 204},
		{"method", "GET", "", "", 405},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), tt.method, emulationPath, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.contentType)
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Code != tt.status || tt.status == 204 && w.Body.Len() > 0 {
				t.Errorf("status %d, body %q; want %d, empty with 204", w.Code, w.Body, tt.status)
			}
		})
	}
}

// Requests may reach another node than the connection, and keep their order.
func TestEmulationByAnotherNode(t *testing.T) {
	bus := centrifugetest.NewBus()
	home := transporttest.RunNode(t, centrifuge.Config{Controller: bus.Controller()})
	other := transporttest.RunNode(t, centrifuge.Config{Controller: bus.Controller()})
	await.Until(t, "the nodes know each other", func() bool {
		infos, err := other.Info(context.Background())
		return err == nil && len(infos) == 2
	})
	p := serve(t, home, Config{Wire: Events}, routeTCP).stream(Events)
	if err := p.open(`{"id":1,"connect":{}}`); err != nil {
		t.Fatal(err)
	}
	p.expect(`{"id":1,"connect":`)
	elsewhere := serve(t, other, Config{}, routeTCP)
	for id := 2; id < 50; id++ {
		status, err := elsewhere.emulate(p.node, p.session, fmt.Sprintf(`{"id":%d,"rpc":{"data":%d}}`, id, id))
		if err != nil || status != http.StatusNoContent {
			t.Fatalf("emulate() = %d, %v; want 204", status, err)
		}
	}
	for id := 2; id < 50; id++ {
		p.expect(fmt.Sprintf(`{"id":%d,"rpc":{"data":%d}}`, id, id))
	}
	if status, err := elsewhere.emulate(p.node, p.session, "{"); err != nil || status != http.StatusNoContent {
		t.Fatalf("emulate() = %d, %v; want 204", status, err)
	}
	p.expectEnd(centrifuge.DisconnectBadRequest)
}

// A command that takes long holds no request: browsers make few at a time to a host, and one
// of them must be left for pongs.
func TestEmulationDoesNotWait(t *testing.T) {
	release := make(chan struct{})
	n := transporttest.RunNode(t, centrifuge.Config{PingInterval: -1, Handlers: centrifuge.Handlers{
		RPC: func(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			<-release
			return centrifuge.RPCReply{Data: e.Data}, nil
		},
	}})
	s := serve(t, n, Config{}, routeTCP)
	p := s.stream(Stream)
	if err := p.open(`{"id":1,"connect":{}}`); err != nil {
		t.Fatal(err)
	}
	p.expect(`{"id":1,"connect":`)
	for id := 2; id < 12; id++ {
		if status, err := p.emulate(fmt.Sprintf(`{"id":%d,"rpc":{"data":%d}}`, id, id)); err != nil || status != http.StatusNoContent {
			t.Fatalf("emulate() = %d, %v; want 204 before the command is processed", status, err)
		}
	}
	close(release)
	for id := 2; id < 12; id++ { // in their order
		p.expect(fmt.Sprintf(`{"id":%d,"rpc":{"data":%d}}`, id, id))
	}
}

// deafController is a controller whose node receives nothing while it is deaf.
type deafController struct {
	centrifuge.Controller
	deaf atomic.Bool
}

// Start implements centrifuge.Controller.
func (d *deafController) Start(id string, h centrifuge.ControlHandler) error {
	return d.Controller.Start(id, func(message []byte) {
		if !d.deaf.Load() {
			h(message)
		}
	})
}

// A node that does not answer is status 500, one that shuts down 503.
func TestEmulationFails(t *testing.T) {
	bus := centrifugetest.NewBus()
	controller := &deafController{Controller: bus.Controller()}
	home := transporttest.RunNode(t, centrifuge.Config{Controller: controller})
	other := transporttest.RunNode(t, centrifuge.Config{Controller: bus.Controller()})
	await.Until(t, "the nodes know each other", func() bool {
		infos, err := other.Info(context.Background())
		return err == nil && len(infos) == 2
	})
	controller.deaf.Store(true)
	var refused []int
	var failures []error
	e := NewEmulation(other, Config{
		OnRefused: func(_ *http.Request, status int, _ string) { refused = append(refused, status) },
		OnError:   func(err error) { failures = append(failures, err) },
	})
	post := func() int {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // the node itself waits for ten seconds
		defer cancel()
		body := fmt.Sprintf(`{"session":"s","node":%q,"data":"{}"}`, home.ID())
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, emulationPath, strings.NewReader(body)))
		return w.Code
	}
	if got := post(); got != http.StatusInternalServerError {
		t.Errorf("a node that does not answer: status %d; want 500", got)
	}
	var unanswered *centrifuge.SurveyError
	if len(failures) != 1 || !errors.As(failures[0], &unanswered) {
		t.Errorf("OnError got %v; want one *SurveyError", failures)
	}
	controller.deaf.Store(false)
	transporttest.Shutdown(t, other)
	if got := post(); got != http.StatusServiceUnavailable {
		t.Errorf("a node that shuts down: status %d; want 503", got)
	}
	if !slices.Equal(refused, []int{500, 503}) {
		t.Errorf("OnRefused got %v; want 500, 503", refused)
	}
}

// A request whose body ends early is status 499, whatever it is for.
func TestBodyEndsEarly(t *testing.T) {
	for path, config := range map[string]Config{
		emulationPath: {}, streamPath: {}, streamPath + "?": {Wire: Events}, streamPath + "?x": {Unidirectional: true},
	} {
		t.Run(path, func(t *testing.T) {
			statuses := make(chan int, 1)
			config.OnRefused = func(_ *http.Request, status int, _ string) { statuses <- status }
			s := serve(t, transporttest.RunNode(t, centrifuge.Config{}), config, routeTCP)
			c := s.dialTCP()
			if _, err := io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"a\":"); err != nil {
				t.Fatal(err)
			}
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got := await.Receive(t, statuses, "refusal"); got != statusClientClosed {
				t.Errorf("status %d; want %d", got, statusClientClosed)
			}
		})
	}
}

// No request makes the handlers panic, and each gets a status that protocol.md names.
func FuzzRequest(f *testing.F) {
	n := transporttest.RunNode(f, centrifuge.Config{})
	f.Add("{}", false, false)
	f.Add(`{"session":"s","node":"n","data":"{}"}`, false, true)
	f.Add("\x0a\x01n\x12\x01s\x1a\x01\x00", true, true)
	f.Fuzz(func(t *testing.T, body string, protobuf, emulation bool) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		if protobuf {
			r.Header.Set("Content-Type", "application/octet-stream")
		}
		w := httptest.NewRecorder()
		if emulation {
			NewEmulation(n, Config{}).ServeHTTP(w, r)
		} else if _, ok := (&Handler{node: n, config: Config{Unidirectional: true}.withDefaults()}).admit(w, r); ok {
			return
		}
		switch w.Code {
		case 204, 400, 404, 413:
		default:
			t.Errorf("status %d; want 204, 400, 404 or 413", w.Code)
		}
	})
}
