package centrifuge_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

const (
	jsonV2     = protocol.Format(0)
	protobufV2 = protocol.FormatProtobuf
	jsonV1     = protocol.FormatV1
	protobufV1 = protocol.FormatV1 | protocol.FormatProtobuf
)

var (
	everyFormat = []protocol.Format{jsonV2, protobufV2, jsonV1, protobufV1}
	v2Formats   = []protocol.Format{jsonV2, protobufV2}
)

func formatName(f protocol.Format) string {
	return map[bool]string{false: "json", true: "protobuf"}[f.Protobuf()] + map[bool]string{false: "V2", true: "V1"}[f.V1()]
}

// inBubble runs a test in fake time, once for each format.
func inBubble(t *testing.T, formats []protocol.Format, f func(t *testing.T, format protocol.Format)) {
	t.Helper()
	for _, format := range formats {
		t.Run(formatName(format), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, format) })
		})
	}
}

// site is a node under test. It runs in a bubble of testing/synctest. At its
// end nothing may be left of its connections, and no error may have been logged.
type site struct {
	*centrifuge.Node
	t *testing.T

	mu     sync.Mutex
	errors []string // what was logged as an error
}

func newSite(t *testing.T, config centrifuge.Config, handlers centrifuge.Handlers) *site {
	t.Helper()
	s := &site{t: t}
	config.Version, config.LogHandler = "test", s.log
	if config.LogLevel == centrifuge.LogDefault {
		config.LogLevel = centrifuge.LogError
	}
	if config.Lanes == 0 {
		config.Lanes = 2
	}
	node, err := centrifuge.New(config)
	if err != nil {
		t.Fatal(err)
	}
	node.Handle(handlers)
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	s.Node = node
	t.Cleanup(s.close)
	return s
}

func (s *site) log(e centrifuge.LogEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors = append(s.errors, fmt.Sprint(e.Message, " ", e.Fields))
}

// logged takes the errors that were logged.
func (s *site) logged() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	errors := s.errors
	s.errors = nil
	return errors
}

func (s *site) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		s.t.Errorf("shutting down: %v", err)
	}
	if stats := s.Stats(); stats.Clients+stats.Users+stats.Channels+stats.Subscriptions != 0 {
		s.t.Errorf("left behind: %d connections, %d users, %d channels, %d subscriptions; want none",
			stats.Clients, stats.Users, stats.Channels, stats.Subscriptions)
	}
	for _, e := range s.logged() {
		s.t.Errorf("an error was logged: %s; want none", e)
	}
}

func (s *site) publish(channel, data string, opts centrifuge.PublishOptions) centrifuge.PublishResult {
	s.t.Helper()
	result, err := s.Publish(s.t.Context(), channel, []byte(data), opts)
	if err != nil {
		s.t.Fatalf("publishing: %v", err)
	}
	return result
}

// history keeps enough for the tests.
var history = centrifuge.PublishOptions{HistorySize: 100, HistoryTTL: time.Hour}

// peer is a client of a site.
type peer struct {
	*centrifugetest.Client
	t      *testing.T
	format protocol.Format
}

// transport is what the client of a format comes with.
func transport(format protocol.Format) centrifuge.TransportInfo {
	info := centrifuge.TransportInfo{Protobuf: format.Protobuf(), Unidirectional: format.Uni(), Generation: centrifuge.GenerationV2}
	if format.V1() {
		info.Generation = centrifuge.GenerationV1
	}
	return info
}

// dial opens a connection whose middleware says that it is user's.
func (s *site) dial(format protocol.Format, info centrifuge.TransportInfo, user string) *peer {
	s.t.Helper()
	ctx := centrifuge.SetCredentials(s.t.Context(), &centrifuge.Credentials{UserID: user})
	return &peer{centrifugetest.DialTransport(ctx, s.t, s.Node, info, format), s.t, format}
}

// connect dials and connects.
func (s *site) connect(format protocol.Format, user string) *peer {
	s.t.Helper()
	p := s.dial(format, transport(format), user)
	p.commands(`{"id":1,"connect":{}}`)
	if got := p.received(); len(got) != 1 || !strings.HasPrefix(got[0], `{"id":1,"connect":{"client":"<id>"`) {
		s.t.Fatalf("connecting: %q; want one connect reply", got)
	}
	return p
}

// commands sends commands, written as V2 JSON, in one message of the peer's format.
func (p *peer) commands(lines ...string) {
	p.t.Helper()
	var commands []*protocol.Command
	decoder := protocol.NewDecoder(jsonV2, []byte(strings.Join(lines, "\n")), protocol.Limits{})
	for range lines {
		command := new(protocol.Command)
		if err := decoder.Next(command); err != nil {
			p.t.Fatalf("decoding %q: %v", lines, err)
		}
		commands = append(commands, command)
	}
	p.Send(commands...)
}

var epochMember = regexp.MustCompile(`"epoch":"[A-Za-z]{8}"`)

// received waits until nothing happens any more and returns the messages that
// have come, as V2 JSON; the last is "close …" if the connection has ended. Ids
// of the connection and epochs are replaced.
func (p *peer) received() []string {
	p.t.Helper()
	synctest.Wait()
	got := []string{}
	for p.Pending() > 0 {
		reply := p.Read()
		encoded, err := protocol.AppendReply(nil, jsonV2, reply)
		if err != nil {
			p.t.Fatalf("encoding %+v: %v", reply, err)
		}
		line := strings.ReplaceAll(string(encoded), p.Client.Client().ID(), "<id>")
		got = append(got, epochMember.ReplaceAllString(line, `"epoch":"<e>"`))
	}
	if why, ended := p.Ended(); ended {
		got = append(got, fmt.Sprintf("close %d %s", why.Code, why.Reason))
	}
	return got
}

// expect compares what has come.
func (p *peer) expect(want ...string) {
	p.t.Helper()
	if got := p.received(); !slices.Equal(got, want) {
		p.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// expectAnyOrder is expect where publications and replies come by different ways.
func (p *peer) expectAnyOrder(want ...string) {
	p.t.Helper()
	got := p.received()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		p.t.Errorf("got, in any order,\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// closes is what a peer receives when it is disconnected.
func (p *peer) closes(d centrifuge.Disconnect) string {
	if p.format.V1() {
		return fmt.Sprintf(`close %d {"reason":"%s","reconnect":%t}`, d.Code, d.Reason, d.Reconnect())
	}
	return fmt.Sprintf("close %d %s", d.Code, d.Reason)
}

// allow is an application that allows everything; subscriptions get options.
func allow(options centrifuge.SubscribeOptions) centrifuge.Handlers {
	return centrifuge.Handlers{
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{Options: options}, nil
		},
		Publish: func(context.Context, centrifuge.PublishEvent) (centrifuge.PublishReply, error) {
			return centrifuge.PublishReply{Options: history}, nil
		},
		Presence: func(context.Context, centrifuge.PresenceEvent) (centrifuge.PresenceReply, error) {
			return centrifuge.PresenceReply{}, nil
		},
		PresenceStats: func(context.Context, centrifuge.PresenceStatsEvent) (centrifuge.PresenceStatsReply, error) {
			return centrifuge.PresenceStatsReply{}, nil
		},
		History: func(context.Context, centrifuge.HistoryEvent) (centrifuge.HistoryReply, error) {
			return centrifuge.HistoryReply{}, nil
		},
		RPC: func(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			return centrifuge.RPCReply{Data: e.Data}, nil
		},
		Message: func(context.Context, centrifuge.MessageEvent) error { return nil },
	}
}
