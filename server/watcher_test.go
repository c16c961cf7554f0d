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

// watcher is a client that subscribes to a channel with recovery, connects again whenever it
// has to, and judges what it gets: numbers that rise by one, unless the server has said that
// it could not recover.
type watcher struct {
	// Static after construction.
	addresses func() []string // of the nodes that may be connected to
	channel   string
	stop      context.Context //nolint:containedctx // the life of the client
	connected func()          // called when it has connected, unless nil

	// Guarded by mu.
	mu         sync.Mutex
	last       int       // the last number
	at         time.Time // when it came
	silence    time.Duration
	received   int
	duplicates int
	lost       int // numbers that never came, untold
	told       int // times the server said that it could not recover
	excused    bool
	orders     []string // violations of the order
	position   struct {
		known  bool
		epoch  string
		offset uint64
	}
	conn *apptest.Conn
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
		Unsubscribe *struct{}    `json:"unsubscribe"`
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

func tallyOf(watchers []*watcher) (sum tally) {
	for _, w := range watchers {
		sum.lost, sum.told, sum.duplicates = sum.lost+w.lost, sum.told+w.told, sum.duplicates+w.duplicates
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

func (w *watcher) session(address string) error {
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
		p := &w.position
		if p.known && !r.Subscribe.Recovered {
			w.told++
			w.excused = true
		}
		for i := range r.Subscribe.Publications {
			w.take(&r.Subscribe.Publications[i])
		}
		if !p.known || !r.Subscribe.Recovered {
			p.offset = r.Subscribe.Offset
		}
		p.known, p.epoch = true, r.Subscribe.Epoch
	case r.Push != nil && r.Push.Pub != nil:
		w.take(r.Push.Pub)
	case r.Push != nil && r.Push.Unsubscribe != nil:
		return w.subscribe()
	case r.Push == nil:
		return w.conn.Text("{}") // a ping
	}
	return nil
}

func (w *watcher) subscribe() error {
	p := w.position
	if !p.known {
		return w.conn.Text(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, w.channel))
	}
	return w.conn.Text(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q,"recover":true,"epoch":%q,"offset":%d}}`, w.channel, p.epoch, p.offset))
}

// take judges a publication.
func (w *watcher) take(p *publication) {
	if p.Epoch != "" && w.position.epoch == "" {
		w.position.epoch = p.Epoch
	}
	w.position.offset = p.Offset
	now, n := time.Now(), p.Data.N
	if !w.at.IsZero() {
		w.silence = max(w.silence, now.Sub(w.at))
	}
	w.at = now
	switch {
	case n == w.last:
		w.duplicates++
		return
	case n < w.last && !w.excused:
		w.orders = append(w.orders, fmt.Sprintf("%d after %d", n, w.last))
	case n > w.last+1 && w.received > 0 && !w.excused:
		w.lost += n - w.last - 1
		w.orders = append(w.orders, fmt.Sprintf("%d after %d", n, w.last))
	}
	w.received++
	w.last, w.excused = n, false
}

// reached reports whether the watcher has a number, or a later one.
func (w *watcher) reached(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last >= n
}

// TestWatcherJudges: a watcher finds what an engine must not do, and only that. Each case is
// what a client gets from an engine that is broken in one way.
func TestWatcherJudges(t *testing.T) {
	pub := func(n, offset int) string {
		return fmt.Sprintf(`{"push":{"channel":"x","pub":{"data":{"n":%d},"offset":%d}}}`, n, offset)
	}
	const subscribed = `{"id":2,"subscribe":{"epoch":"e","offset":1}}`
	for _, c := range []struct {
		name                   string
		messages               []string
		lost, duplicates, told int
		disorder               bool
	}{
		{"as it should be", []string{subscribed, pub(2, 2), pub(3, 3), `{"id":2,"subscribe":{"epoch":"e","recovered":true,"publications":[{"data":{"n":4},"offset":4}]}}`, pub(5, 5)}, 0, 0, 0, false},
		{"not recovered, and told", []string{subscribed, pub(2, 2), `{"id":2,"subscribe":{"epoch":"f","offset":7}}`, pub(9, 8)}, 0, 0, 1, false},
		{"live delivery leaves out", []string{subscribed, pub(2, 2), pub(4, 4)}, 1, 0, 0, true},
		{"recovery leaves out", []string{subscribed, pub(2, 2), `{"id":2,"subscribe":{"epoch":"e","recovered":true,"publications":[{"data":{"n":5},"offset":5}]}}`}, 2, 0, 0, true},
		{"recovers falsely with nothing", []string{subscribed, pub(2, 2), `{"id":2,"subscribe":{"epoch":"e","recovered":true}}`, pub(4, 4)}, 1, 0, 0, true},
		{"delivers twice", []string{subscribed, pub(2, 2), pub(2, 2)}, 0, 1, 0, false},
		{"recovers what was delivered", []string{subscribed, pub(2, 2), pub(3, 3), `{"id":2,"subscribe":{"epoch":"e","recovered":true,"publications":[{"data":{"n":3},"offset":3}]}}`}, 0, 1, 0, false},
		{"reorders", []string{subscribed, pub(3, 3), pub(2, 2)}, 0, 0, 0, true},
	} {
		w := &watcher{}
		for _, m := range c.messages {
			var r reply
			if err := json.Unmarshal([]byte(m), &r); err != nil {
				t.Fatal(err)
			}
			if err := w.handle(&r); err != nil {
				t.Fatal(err)
			}
		}
		if w.lost != c.lost || w.duplicates != c.duplicates || w.told != c.told || len(w.orders) > 0 != c.disorder {
			t.Errorf("%s: lost %d, duplicates %d, told %d, disorder %v; want %d, %d, %d, %v",
				c.name, w.lost, w.duplicates, w.told, w.orders, c.lost, c.duplicates, c.told, c.disorder)
		}
	}
}
