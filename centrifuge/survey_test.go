package centrifuge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
)

// answering returns handlers whose survey handler repeats the data, and fails in the
// ways that operations name. It hangs until release is closed.
func answering(release <-chan struct{}) centrifuge.Handlers {
	return centrifuge.Handlers{Survey: func(_ context.Context, e centrifuge.SurveyEvent) (centrifuge.SurveyReply, error) {
		switch e.Op {
		case "echo":
			return centrifuge.SurveyReply{Data: append([]byte("re: "), e.Data...)}, nil
		case "denied":
			return centrifuge.SurveyReply{}, &centrifuge.Error{Code: 403, Message: "no", Temporary: true}
		case "fails":
			return centrifuge.SurveyReply{}, errors.New("out of order")
		case "panics":
			panic(boom)
		case "hangs":
			<-release
			return centrifuge.SurveyReply{}, nil
		}
		return centrifuge.SurveyReply{}, centrifuge.ErrorNotAvailable
	}}
}

// TestSurvey checks results and errors by node.
func TestSurvey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sites := newCluster(t, 3, answering(nil))
		data := []byte("a\nb\x00\xff")
		results, err := sites[0].Survey(t.Context(), "echo", data, "")
		must(t, err)
		for _, s := range sites {
			if r := results[s.ID()]; r.Error != nil || !bytes.Equal(r.Data, append([]byte("re: "), data...)) {
				t.Errorf("result of %s = %+v; want the data", s.ID(), r)
			}
		}
		for _, to := range sites[:2] { // itself and another
			results, err := sites[0].Survey(t.Context(), "echo", data, to.ID())
			must(t, err)
			if ids := slices.Collect(maps.Keys(results)); !slices.Equal(ids, []string{to.ID()}) {
				t.Errorf("Survey(to %s) has results of %v; want one of this node", to.ID(), ids)
			}
		}
		for op, want := range map[string]centrifuge.Error{
			"denied": {Code: 403, Message: "no", Temporary: true}, "fails": *centrifuge.ErrorInternal, "panics": *centrifuge.ErrorInternal,
			"other": *centrifuge.ErrorNotAvailable,
		} {
			results, err := sites[0].Survey(t.Context(), op, nil, "")
			must(t, err)
			for _, s := range sites {
				if r := results[s.ID()]; r.Error == nil || *r.Error != want {
					t.Errorf("Survey(%q) of %s = %v; want %v", op, s.ID(), r.Error, want)
				}
			}
		}
		for _, s := range sites {
			if logged := s.logged(); len(logged) != 2 { // fails and panics
				t.Errorf("logged %q; want two errors", logged)
			}
		}
	})
}

// TestSurveyTimeout checks that a handler that hangs is named, after the time of the
// context or 10 seconds, beside the results of the others.
func TestSurveyTimeout(t *testing.T) {
	for _, timeout := range []time.Duration{0, 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			bus, release := centrifugetest.NewBus(), make(chan struct{})
			defer close(release)
			var sites []*site
			for _, handlers := range []centrifuge.Handlers{answering(release), answering(release), {}} {
				sites = append(sites, newSite(t, centrifuge.Config{Controller: bus.Controller()}, handlers))
			}
			synctest.Wait()
			quick := sites[2]
			ctx, want := t.Context(), 10*time.Second
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
				want = timeout
			}
			start := time.Now()
			results, err := sites[0].Survey(ctx, "hangs", nil, "")
			var incomplete *centrifuge.SurveyError
			missing := []string{sites[0].ID(), sites[1].ID()}
			slices.Sort(missing)
			if !errors.As(err, &incomplete) || !slices.Equal(incomplete.Missing, missing) {
				t.Errorf("Survey() = %v; want a SurveyError that names %v", err, missing)
			}
			if r := results[quick.ID()]; r.Error == nil || r.Error.Code != centrifuge.ErrorNotAvailable.Code || len(results) != 1 {
				t.Errorf("results = %v; want the answer of %s", results, quick.ID())
			}
			if got := time.Since(start).Round(time.Second); got != want {
				t.Errorf("Survey() took %v; want %v", got, want)
			}
		})
	}
}

// TestSurveyFlood checks that handlers which hang are bounded, and do not stop the
// surveys of the library.
func TestSurveyFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		sites := newCluster(t, 2, centrifuge.Handlers{
			Survey: func(context.Context, centrifuge.SurveyEvent) (centrifuge.SurveyReply, error) {
				<-release
				return centrifuge.SurveyReply{}, nil
			},
		})
		var mu sync.Mutex
		codes := make(map[uint32]int)
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				results, err := sites[0].Survey(context.Background(), "hangs", nil, sites[1].ID())
				mu.Lock()
				defer mu.Unlock()
				if r := results[sites[1].ID()]; err == nil && r.Error != nil {
					codes[r.Error.Code]++
				}
			})
		}
		synctest.Wait()
		if _, err := sites[0].Channels(t.Context(), ""); err != nil {
			t.Errorf("Channels() = %v; want no error", err)
		}
		close(release)
		wg.Wait()
		if want := map[uint32]int{centrifuge.ErrorTooManyRequests.Code: 200 - 128}; !maps.Equal(codes, want) {
			t.Errorf("errors by code = %v; want %v", codes, want)
		}
	})
}

// TestSurveyRefused checks the errors of calls that are wrong.
func TestSurveyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sites := newCluster(t, 2, answering(nil))
		s := sites[0]
		for _, test := range []struct {
			op   string
			data []byte
			to   string
			want error
		}{
			{"", nil, "", centrifuge.ErrorBadRequest},
			{"centrifuge.channels", nil, "", centrifuge.ErrorBadRequest},
			{strings.Repeat("x", 2000), nil, "", centrifuge.ErrorBadRequest},
			{"echo", make([]byte, centrifuge.MaxControlData+1), "", centrifuge.ErrControlDataTooLarge},
			{"echo", nil, "unknown", centrifuge.ErrUnknownNode},
		} {
			if _, err := s.Survey(t.Context(), test.op, test.data, test.to); !errors.Is(err, test.want) {
				t.Errorf("Survey(%.20q, %d bytes, %q) = %v; want %v", test.op, len(test.data), test.to, err, test.want)
			}
			if err := s.Notify(t.Context(), test.op, test.data, test.to); !errors.Is(err, test.want) {
				t.Errorf("Notify(%.20q, %d bytes, %q) = %v; want %v", test.op, len(test.data), test.to, err, test.want)
			}
		}
		must(t, s.Shutdown(t.Context()))
		if _, err := s.Survey(t.Context(), "echo", nil, ""); !errors.Is(err, centrifuge.ErrShutdown) {
			t.Errorf("Survey() after Shutdown = %v; want ErrShutdown", err)
		}
		if err := s.Notify(t.Context(), "echo", nil, ""); !errors.Is(err, centrifuge.ErrShutdown) {
			t.Errorf("Notify() after Shutdown = %v; want ErrShutdown", err)
		}
	})
}

// TestNotify checks that notifications arrive once, in order, on the nodes that they
// are for, and that a panic is contained.
func TestNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		got := make(map[*centrifuge.Node][]string)
		bus := centrifugetest.NewBus()
		receiver := func(s **site) centrifuge.Handlers {
			return centrifuge.Handlers{Notification: func(_ context.Context, e centrifuge.NotificationEvent) {
				mu.Lock()
				got[(*s).Node] = append(got[(*s).Node], fmt.Sprint(e.Op, " ", string(e.Data), " ", e.FromNode))
				mu.Unlock()
				if e.Op == "panic" {
					panic(boom)
				}
			}}
		}
		var a, b *site
		a = newSite(t, centrifuge.Config{Controller: bus.Controller()}, receiver(&a))
		b = newSite(t, centrifuge.Config{Controller: bus.Controller()}, receiver(&b))
		newSite(t, centrifuge.Config{Controller: bus.Controller()}, centrifuge.Handlers{}) // without a handler
		synctest.Wait()
		from := a.ID()
		var all, one []string
		for i := range 100 {
			must(t, a.Notify(t.Context(), "all", fmt.Append(nil, i), ""))
			all = append(all, fmt.Sprint("all ", i, " ", from))
		}
		must(t, a.Notify(t.Context(), "panic", nil, ""))
		must(t, a.Notify(t.Context(), "one", []byte("1"), b.ID()))
		one = append(slices.Clone(all), "panic  "+from, "one 1 "+from)
		must(t, a.Notify(t.Context(), "self", nil, a.ID()))
		all = append(all, "panic  "+from, "self  "+from)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(got[a.Node], all) || !slices.Equal(got[b.Node], one) {
			t.Errorf("the nodes got\n%q\n%q; want\n%q\n%q", got[a.Node], got[b.Node], all, one)
		}
		for _, s := range []*site{a, b} {
			if logged := s.logged(); len(logged) != 1 {
				t.Errorf("logged %q; want the panic", logged)
			}
		}
	})
}

// TestNotifyFlood checks that a handler that hangs costs a bounded number of
// notifications, and delays nothing else.
func TestNotifyFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls int
		handlers := centrifuge.Handlers{Notification: func(context.Context, centrifuge.NotificationEvent) {
			<-release
			calls++
		}}
		sites := newCluster(t, 2, handlers)
		for range 5_000 {
			must(t, sites[0].Notify(t.Context(), "x", nil, sites[1].ID()))
		}
		p := sites[1].connect(jsonV2, "u")
		must(t, sites[0].Disconnect(t.Context(), centrifuge.Target{User: "u"}, centrifuge.DisconnectForceNoReconnect))
		p.expect("close 3503 force disconnect")
		close(release)
		synctest.Wait()
		if dropped := sites[1].Stats().ControlDropped; calls != 4096 || dropped != 5_000-4096 {
			t.Errorf("%d calls, %d notifications dropped; want 4096, %d", calls, dropped, 5_000-4096)
		}
		sites[0].logged()
	})
}

func ExampleNode_Survey() {
	node, stop := exampleNode(centrifuge.Handlers{
		Survey: func(_ context.Context, e centrifuge.SurveyEvent) (centrifuge.SurveyReply, error) {
			if e.Op != "connections" {
				return centrifuge.SurveyReply{}, centrifuge.ErrorNotAvailable
			}
			return centrifuge.SurveyReply{Data: []byte("0")}, nil
		},
	})
	defer stop()
	results, err := node.Survey(context.Background(), "connections", nil, "")
	var incomplete *centrifuge.SurveyError
	if errors.As(err, &incomplete) {
		fmt.Println("without", incomplete.Missing)
	}
	for _, result := range results {
		fmt.Println(string(result.Data), result.Error == nil)
	}
	// Output:
	// 0 true
}

func ExampleNode_Notify() {
	done := make(chan struct{})
	node, stop := exampleNode(centrifuge.Handlers{
		Notification: func(_ context.Context, e centrifuge.NotificationEvent) {
			fmt.Println(e.Op, string(e.Data))
			close(done)
		},
	})
	defer stop()
	if err := node.Notify(context.Background(), "reload", []byte("prices"), ""); err != nil {
		panic(err)
	}
	<-done
	// Output:
	// reload prices
}
