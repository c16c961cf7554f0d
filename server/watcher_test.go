package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/server/internal/app/apptest"
)

// watcher is a client that subscribes to a channel with recovery, and connects again whenever
// it has to. Its judge gets all that happens.
type watcher struct {
	// Static after construction.
	addresses func() []string // of the nodes that may be connected to
	channel   string
	stop      context.Context //nolint:containedctx // the life of the client
	connected func()          // called when it has connected, unless nil

	// Guarded by mu.
	mu      sync.Mutex
	judge   judge
	asked   *position // what the last subscribe command asked to recover from
	at      time.Time // when the last publication came
	silence time.Duration
	conn    *apptest.Conn
}

// reply is the part of a reply or push that a watcher needs.
type reply struct {
	ID    int `json:"id"`
	Error *struct {
		Code int `json:"code"`
	} `json:"error"`
	Connect   *struct{} `json:"connect"`
	Subscribe *struct {
		Epoch        string        `json:"epoch"`
		Offset       uint64        `json:"offset"`
		Recovered    bool          `json:"recovered"`
		Publications []publication `json:"publications"`
	} `json:"subscribe"`
	Push *struct {
		Pub         *publication `json:"pub"`
		Unsubscribe *struct {
			Code int `json:"code"`
		} `json:"unsubscribe"`
	} `json:"push"`
}

type publication struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
	Data   struct {
		N int `json:"n"`
	} `json:"data"`
}

// tally is what watchers got together.
type tally struct {
	lost, told, duplicates int
	silence                time.Duration // the longest of one
}

// verdict fails the test for the complaints of watchers that have ended, and adds up what
// they got.
func verdict(t *testing.T, watchers []*watcher) (sum tally) {
	t.Helper()
	for i, w := range watchers {
		j := &w.judge
		if n := len(j.complaints); n > 0 {
			t.Errorf("client %d has %d complaints: %q; want none", i, n, j.complaints[:min(n, 10)])
		}
		sum.lost, sum.told, sum.duplicates = sum.lost+j.lost, sum.told+j.told, sum.duplicates+j.duplicates
		sum.silence = max(sum.silence, w.silence)
	}
	return sum
}

// run connects, until the watcher is stopped.
func (w *watcher) run() {
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for n := 0; w.stop.Err() == nil; n++ {
		nodes := w.addresses()
		_ = w.session(nodes[n%len(nodes)]) // any end of a connection is a reason to connect again
		select {
		case <-retry.C:
		case <-w.stop.Done():
		}
	}
}

func (w *watcher) session(address string) (err error) {
	conn, err := apptest.Dialer{}.Dial(address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-w.stop.Done():
			_ = conn.Close()
		case <-ended:
		}
	}()
	w.conn = conn
	defer w.disconnected(&err)
	if err := conn.Text(`{"id":1,"connect":{}}`); err != nil {
		return err
	}
	for {
		if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			return err
		}
		message, err := conn.Message()
		if err != nil {
			return err
		}
		for line := range strings.Lines(message) {
			var r reply
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				return err
			}
			if err := w.handle(&r); err != nil {
				return err
			}
		}
	}
}

func (w *watcher) handle(r *reply) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case r.Error != nil:
		return fmt.Errorf("error %d", r.Error.Code) // and try again on a new connection
	case r.Connect != nil:
		if w.connected != nil {
			w.connected()
		}
		return w.subscribe()
	case r.Subscribe != nil:
		w.judge.subscribe(subscription{w.asked, r.Subscribe.Recovered, position{r.Subscribe.Epoch, r.Subscribe.Offset}, r.Subscribe.Publications})
		if len(r.Subscribe.Publications) > 0 {
			w.heard()
		}
	case r.Push != nil && r.Push.Pub != nil:
		w.judge.publish(r.Push.Pub)
		w.heard()
	case r.Push != nil && r.Push.Unsubscribe != nil:
		w.judge.unsubscribe(r.Push.Unsubscribe.Code)
		return w.subscribe()
	case r.Push == nil:
		return w.conn.Text("{}") // a ping
	}
	return nil
}

func (w *watcher) subscribe() error {
	if w.asked = nil; !w.judge.known {
		return w.conn.Text(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, w.channel))
	}
	p := w.judge.position
	w.asked = &p
	return w.conn.Text(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q,"recover":true,"epoch":%q,"offset":%d}}`, w.channel, p.epoch, p.offset))
}

// heard measures the time between publications.
func (w *watcher) heard() {
	now := time.Now()
	if !w.at.IsZero() {
		w.silence = max(w.silence, now.Sub(w.at))
	}
	w.at = now
}

// disconnected tells the judge how a session has ended.
func (w *watcher) disconnected(err *error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	code := 0
	if closed := (*apptest.Closed)(nil); asClosed(*err, &closed) {
		code = closed.Code
	}
	w.judge.disconnect(code)
}

// reached reports whether the watcher has a number, or a later one.
func (w *watcher) reached(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.judge.last >= n
}
