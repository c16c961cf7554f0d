package redisengine_test

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/internal/await"
	"centrifugo/internal/redistest"
)

var kept = centrifuge.PublishOptions{HistorySize: 3, HistoryTTL: time.Minute, HistoryMetaTTL: time.Hour}

const hello = "\x22\x05hello" // a publication in Protobuf

// TestWhatIsStored compares keys and values with the layout of other programs, byte by byte
// (server.md 10.3).
func TestWhatIsStored(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := startBroker(t, single(s), redisengine.BrokerConfig{})
	opts := kept
	opts.Version, opts.VersionEpoch, opts.IdempotencyKey = 7, "ve", "key"
	epoch := b.publish("news:a", "hello", opts).Epoch
	b.publish("news:a", "hello", kept)

	want := []any{
		[]any{"1-0", []any{"d", hello}}, []any{"2-0", []any{"d", hello}},
	}
	if got := s.Do("XRANGE", "centrifugo.stream.news:a", "-", "+"); !reflect.DeepEqual(got, want) {
		t.Errorf("stream is %q, want %q", got, want)
	}
	wantMap(t, s, "centrifugo.stream.meta.news:a", map[string]string{"e": epoch, "s": "2", "v": "7", "ve": "ve", "r": runOf(s), "b": "0"})
	wantMap(t, s, "centrifugo.result.news:a.key", map[string]string{"e": epoch, "s": "1"})
	wantTTL(t, s, "centrifugo.stream.news:a", time.Minute)
	wantTTL(t, s, "centrifugo.stream.meta.news:a", time.Hour)
	wantTTL(t, s, "centrifugo.result.news:a.key", 300*time.Second)

	lists := startBroker(t, single(s), redisengine.BrokerConfig{HistoryUseLists: true})
	epoch = lists.publish("l", "hello", kept).Epoch
	lists.publish("l", "hello", kept)
	wantList := []any{"__p1:2:" + epoch + "__" + hello, "__p1:1:" + epoch + "__" + hello}
	if got := s.Do("LRANGE", "centrifugo.list.l", "0", "-1"); !reflect.DeepEqual(got, wantList) {
		t.Errorf("list is %q, want %q", got, wantList)
	}
	wantMap(t, s, "centrifugo.list.meta.l", map[string]string{"e": epoch, "s": "2", "r": runOf(s), "b": "0"})
}

// TestWhatIsPublished compares what arrives from PUB/SUB with the layout of other programs, byte
// by byte (server.md 10.3). Control messages have a layout of their own (10.4), of which
// clusterwire keeps the bytes.
func TestWhatIsPublished(t *testing.T) {
	t.Parallel()
	for _, lists := range []bool{false, true} {
		s := redistest.Start(t)
		messages := s.Subscribe("centrifugo.client.*", "centrifugo.control*", "centrifugo.node.*")
		b := startBroker(t, single(s), redisengine.BrokerConfig{HistoryUseLists: lists})
		want := func(channel, message string) {
			t.Helper()
			if gotChannel, got := messages.Next(); gotChannel != channel || got != message {
				t.Errorf("lists %v: published %q on %s; want %q on %s", lists, got, gotChannel, message, channel)
			}
		}
		b.publish("x", "hello", centrifuge.PublishOptions{})
		want("centrifugo.client.x", hello)
		b.publish("x", "hello", centrifuge.PublishOptions{IdempotencyKey: "key"})
		want("centrifugo.client.x", hello)
		epoch := b.publish("x", "hello", kept).Epoch
		want("centrifugo.client.x", "__p1:1:"+epoch+"__"+hello)
		delta := kept
		delta.UseDelta = true
		b.publish("x", "two", delta)
		want("centrifugo.client.x", "__d1:2:"+epoch+":7:"+hello+":5:\x22\x03two")
		epoch = b.publish("y", "hello", delta).Epoch
		want("centrifugo.client.y", "__d1:1:"+epoch+":0::7:"+hello)

		// Every field that a publication may have here, the last two of which others ignore.
		info := &centrifuge.ClientInfo{User: "u", Client: "c", ConnInfo: []byte("i"), ChanInfo: []byte("j")}
		pub := &centrifuge.Publication{Data: []byte("hello"), Info: info, Tags: map[string]string{"k": "v"}, ExcludeClient: "c", UseDelta: true}
		if _, err := b.Publish(t.Context(), "x", pub, centrifuge.PublishOptions{}); err != nil {
			t.Fatal(err)
		}
		const encodedInfo = "\x0a\x01u\x12\x01c\x1a\x01i\x22\x01j"
		want("centrifugo.client.x", hello+"\x2a\x0c"+encodedInfo+"\x3a\x06\x0a\x01k\x12\x01v\xc2\x3e\x01c\xc8\x3e\x01")
		if err := errors.Join(b.PublishJoin(t.Context(), "x", info), b.PublishLeave(t.Context(), "x", info)); err != nil {
			t.Fatal(err)
		}
		want("centrifugo.client.x", "__j__"+encodedInfo)
		want("centrifugo.client.x", "__l__"+encodedInfo)

		c := redisengine.NewController(connect(t, single(s)))
		closeAtEnd(t, c)
		if err := c.Start("n1", func([]byte) {}); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.PublishControl(t.Context(), "", []byte("all")), c.PublishControl(t.Context(), "n2", []byte("one"))); err != nil {
			t.Fatal(err)
		}
		want("centrifugo.control.json", "all")
		want("centrifugo.node.n2", "one")
	}
}

// runOf returns the id of a server's run.
func runOf(s *redistest.Server) string {
	_, rest, _ := strings.Cut(s.Text("INFO", "server"), "run_id:")
	run, _, _ := strings.Cut(rest, "\r")
	return run
}

func wantMap(t *testing.T, s *redistest.Server, key string, want map[string]string) {
	t.Helper()
	fields, _ := s.Do("HGETALL", key).([]any)
	got := make(map[string]string)
	for i := 0; i+1 < len(fields); i += 2 {
		got[fmt.Sprint(fields[i])] = fmt.Sprint(fields[i+1])
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %q, want %q", key, got, want)
	}
}

// wantTTL checks that a key expires in at most ttl, and in more than half of it.
func wantTTL(t *testing.T, s *redistest.Server, key string, ttl time.Duration) {
	t.Helper()
	got, _ := s.Do("PTTL", key).(int64)
	if left := time.Duration(got) * time.Millisecond; left > ttl || left < ttl/2 {
		t.Errorf("%s expires in %v, want %v", key, left, ttl)
	}
}

// TestWhatOthersStore reads what another program has stored and published.
func TestWhatOthersStore(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := startBroker(t, single(s), redisengine.BrokerConfig{})
	b.subscribe("x")
	s.Do("HSET", "centrifugo.stream.meta.x", "e", "theirs", "s", "12")
	s.Do("XADD", "centrifugo.stream.x", "11-0", "d", hello)
	s.Do("XADD", "centrifugo.stream.x", "12-0", "d", "\x22\x03two\x3a\x06\x0a\x01k\x12\x01v")
	got := b.history("x", centrifuge.HistoryOptions{Limit: -1, Since: &centrifuge.StreamPosition{Offset: 10, Epoch: "theirs"}})
	if len(got.Publications) != 2 || got.Offset != 12 || got.Epoch != "theirs" || got.Publications[0].Offset != 11 ||
		string(got.Publications[0].Data) != "hello" || got.Publications[1].Tags["k"] != "v" {
		t.Errorf("history is %+v; want len(Publications) 2, Offset 12, Epoch \"theirs\", Publications[0].Offset 11, Publications[0].Data \"hello\" and \"v\"",
			got)
	}
	if next := b.publish("x", "three", kept); next.Offset != 13 || next.Epoch != "theirs" {
		t.Errorf("published to %+v, want 13 of their epoch", next)
	}
	for message, want := range map[string]string{
		hello:                      `x hello 0  ""`,
		"__p1:14:theirs__" + hello: `x hello 14 theirs ""`,
		"__d1:15:theirs:5:\x22\x03old:7:" + hello: `x hello 15 theirs "old"`,
		"__j__\x0a\x02u1\x12\x02c1":               "x join u1 c1",
		"__l__\x0a\x02u1\x12\x02c1":               "x leave u1 c1",
	} {
		s.Do("PUBLISH", "centrifugo.client.x", message)
		b.want(t, want)
	}
	before := b.Stats().Malformed.Load()
	s.Do("PUBLISH", "centrifugo.client.x", "__p1:nonsense")
	await.Until(t, "the malformed message to be counted, and reported", func() bool {
		return b.Stats().Malformed.Load() == before+1 && b.gap("x") && !b.gap("y")
	})
}

// TestStaleStream: what is left of a stream without metadata is never read.
func TestStaleStream(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := startBroker(t, single(s), redisengine.BrokerConfig{})
	for _, channel := range []string{"published", "read", "theirs"} {
		s.Do("XADD", "centrifugo.stream."+channel, "5-0", "d", hello)
	}
	if got := b.publish("published", "1", kept); got.Offset != 1 {
		t.Errorf("published to %+v, want offset 1", got)
	}
	if got := b.history("published", centrifuge.HistoryOptions{Limit: -1}); len(got.Publications) != 1 || got.Publications[0].Offset != 1 {
		t.Errorf("history is %+v, want one publication", got)
	}
	if got := b.history("read", centrifuge.HistoryOptions{Limit: -1}); len(got.Publications) != 0 || got.Offset != 0 {
		t.Errorf("history is %+v, want none", got)
	}
	s.Do("HSET", "centrifugo.stream.meta.theirs", "e", "new") // another program has read it
	if got := b.history("theirs", centrifuge.HistoryOptions{Limit: -1}); len(got.Publications) != 0 || got.Epoch != "new" {
		t.Errorf("history is %+v, want none", got)
	}
	if got := b.publish("theirs", "1", kept); got.Offset != 1 || got.Epoch != "new" {
		t.Errorf("published to %+v, want offset 1", got)
	}
}

// TestPresenceOfOthers reads and prunes entries of another program.
func TestPresenceOfOthers(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	r := connect(t, single(s))
	p := redisengine.NewPresence(r, redisengine.PresenceConfig{UserMapping: true})
	closeAtEnd(t, p)
	now := time.Now().Unix()
	s.Do("HSET", "centrifugo.presence.data.x", "c1", "\x0a\x02u1\x12\x02c1", "c2", "\x0a\x02u2\x12\x02c2", "c3", "\x0a\x02u3\x12\x02c3")
	s.Do("ZADD", "centrifugo.presence.expire.x", strconv.FormatInt(now+60, 10), "c1", strconv.FormatInt(now-5, 10), "c2")
	s.Do("HSET", "centrifugo.presence.user.clients.x", "u1", "1", "u2", "1")
	s.Do("ZADD", "centrifugo.presence.user.expire.x", strconv.FormatInt(now+60, 10), "u1", strconv.FormatInt(now-5, 10), "u2")
	want := map[string]*centrifuge.ClientInfo{"c1": {User: "u1", Client: "c1"}}
	if got, err := p.Presence(t.Context(), "x"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("presence is %v, %v; want %v", got, err, want) // c2 has expired, the expiry of c3 was evicted
	}
	if got, err := p.PresenceStats(t.Context(), "x"); err != nil || got != (centrifuge.PresenceStats{NumClients: 1, NumUsers: 1}) {
		t.Errorf("stats are %+v, %v; want 1 and 1", got, err)
	}
	if err := p.AddPresence(t.Context(), "x", "c4", &centrifuge.ClientInfo{User: "u1", Client: "c4"}); err != nil {
		t.Fatal(err)
	}
	wantMap(t, s, "centrifugo.presence.user.clients.x", map[string]string{"u1": "2"})
	if got := s.Text("HGET", "centrifugo.presence.data.x", "c4"); got != "\x0a\x02u1\x12\x02c4" {
		t.Errorf("info is %q; want \"\\x0a\\x02u1\\x12\\x02c4\"", got)
	}
	if got := s.Do("HEXISTS", "centrifugo.presence.data.x", "c2"); got != int64(0) {
		t.Errorf("the expired entry was not pruned: got %v; want %v", got, int64(0))
	}
	wantTTL(t, s, "centrifugo.presence.data.x", time.Minute)
}

// TestPresenceClockSetBack: what was written while the clock was an hour ahead ends after the TTL,
// whichever call finds it first.
func TestPresenceClockSetBack(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redisengine.NewPresence(connect(t, single(s)), redisengine.PresenceConfig{TTL: 2 * time.Second, UserMapping: true})
	closeAtEnd(t, p)
	call := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	info := &centrifuge.ClientInfo{User: "u1", Client: "c1"}
	for name, find := range map[string]func(channel string) error{
		"presence": func(channel string) error { _, err := p.Presence(t.Context(), channel); return err },
		"stats":    func(channel string) error { _, err := p.PresenceStats(t.Context(), channel); return err },
		"add": func(channel string) error {
			return p.AddPresence(t.Context(), channel, "c2", &centrifuge.ClientInfo{User: "u2", Client: "c2"})
		},
		"remove": func(channel string) error { return p.RemovePresence(t.Context(), channel, "c2", "u2") },
	} {
		call(p.AddPresence(t.Context(), name, "c1", info))
		later := strconv.FormatInt(time.Now().Unix()+3600, 10)
		for key, member := range map[string]string{"expire": "c1", "user.expire": "u1"} {
			s.Do("ZADD", "centrifugo.presence."+key+"."+name, later, member)
		}
		for _, key := range []string{"data", "expire", "user.clients", "user.expire"} {
			s.Do("EXPIRE", "centrifugo.presence."+key+"."+name, "3600") // a live client prolongs it
		}
		call(find(name))
		for key, member := range map[string]string{"expire": "c1", "user.expire": "u1"} {
			score, err := strconv.ParseFloat(s.Text("ZSCORE", "centrifugo.presence."+key+"."+name, member), 64)
			if most := float64(time.Now().UnixMilli())/1000 + 2.001; err != nil || score > most {
				t.Errorf("%s: %s expires at %.3f, %v; want at most %.3f", name, member, score, err, most)
			}
		}
		await.Until(t, "the entries to expire", func() bool {
			present, err := p.Presence(t.Context(), name)
			stats, statsErr := p.PresenceStats(t.Context(), name)
			call(errors.Join(err, statsErr))
			return present["c1"] == nil && stats == (centrifuge.PresenceStats{NumClients: len(present), NumUsers: len(present)})
		})
	}
}
