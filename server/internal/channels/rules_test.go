package channels

import (
	"strings"
	"testing"
	"time"

	"centrifugo/server/internal/config"
)

// newRules compiles options for channels without a namespace and for namespaces.
func newRules(t testing.TB, s Settings, without config.ChannelOptions, named map[string]config.ChannelOptions) *Rules {
	t.Helper()
	c := config.Default().Channel
	c.WithoutNamespace = without
	for name, o := range named {
		c.Namespaces = append(c.Namespaces, config.Namespace{Name: name, ChannelOptions: o})
	}
	r, err := New(c, s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNamespace(t *testing.T) {
	r := newRules(t, Settings{}, config.ChannelOptions{}, map[string]config.ChannelOptions{"news": {}})
	tests := []struct {
		channel, want string
		ok            bool
	}{
		{"plain", "", true},
		{"$plain", "", true},
		{"news:x", "news", true},
		{"$news:x", "news", true},
		{"news:x:y", "news", true},
		{"news:", "news", true},
		{"News:x", "", false},
		{"none:x", "", false},
		{"$none:x", "", false},
		{":x", "", true}, // nothing before the boundary is no namespace
		{"$:x", "", true},
		{":", "", true},
		{"::x", "", true},
		{":news:x", "", true},
		{"", "", false},
		{"news", "", true},
		{"$", "", true},
		{"$$news:x", "", false}, // only one prefix is taken off
	}
	for _, tt := range tests {
		ns, ok := r.Namespace(tt.channel)
		if ok != tt.ok || ok && ns.Name != tt.want {
			t.Errorf("%q: %v %v; want %q %v", tt.channel, ns, ok, tt.want, tt.ok)
		}
	}
}

func TestNamespaceDoesNotAllocate(t *testing.T) {
	r := newRules(t, Settings{}, config.ChannelOptions{}, map[string]config.ChannelOptions{"news": {AllowSubscribeForClient: true, AllowUserLimitedChannels: true}})
	n := testing.AllocsPerRun(100, func() {
		if v := r.MaySubscribe(SubscribeQuery{Channel: "news:a#1,2,3", User: "3"}); v.Outcome != Allowed {
			t.Fatalf("MaySubscribe = %+v; want the outcome %v", v, Allowed)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations; want 0", n)
	}
}

func TestNames(t *testing.T) {
	r := newRules(t, Settings{Insecure: true}, config.ChannelOptions{}, map[string]config.ChannelOptions{
		"ascii": {}, "regex": {ChannelRegex: "^[a-zé]+$"},
	})
	plain := newRules(t, Settings{Insecure: true}, config.ChannelOptions{ChannelRegex: `^\$[a-z]+$`}, nil)
	long := strings.Repeat("x", 256)
	tests := []struct {
		name    string
		rules   *Rules
		channel string
		want    Outcome
	}{
		{"empty", r, "", UnknownChannel},
		{"255 bytes", r, long[:255], Allowed},
		{"256 bytes", r, long, BadRequest},
		{"length counts the namespace", r, "ascii:" + long[:250], BadRequest},
		{"unknown namespace before length", r, "none:" + long, UnknownChannel},
		{"not ASCII", r, "ascii:é", BadRequest},
		{"not ASCII without namespace", r, "é", BadRequest},
		{"invalid UTF-8", r, "\xff", BadRequest},
		{"control characters are ASCII", r, "a\x00b", Allowed},
		{"regex after the boundary", r, "regex:abc", Allowed},
		{"regex switches off ASCII (server.md 4.1)", r, "regex:é", Allowed},
		{"regex does not match", r, "regex:A", BadRequest},
		{"regex and length", r, "regex:" + long, BadRequest},
		{"regex sees the private prefix without a namespace", plain, "$abc", Denied},
		{"regex sees the whole name without a namespace", plain, "abc", BadRequest},
	}
	for _, tt := range tests {
		if got := tt.rules.MaySubscribe(SubscribeQuery{Channel: tt.channel, User: "u"}); got.Outcome != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got.Outcome, tt.want)
		}
	}
	// The regex of a private channel with a namespace is matched after the boundary: the prefix is no obstacle.
	if got := r.MaySubscribe(SubscribeQuery{Channel: "$regex:abc", HasToken: true}); got.Outcome != CheckToken {
		t.Errorf("private channel: %v; want %v", got.Outcome, CheckToken)
	}
}

func TestOtherSeparators(t *testing.T) {
	c := config.Default().Channel
	c.PrivatePrefix, c.NamespaceBoundary, c.UserBoundary, c.UserSeparator = "!!", "::", "@@", ";;"
	c.Namespaces = []config.Namespace{{Name: "news", ChannelOptions: config.ChannelOptions{AllowUserLimitedChannels: true}}}
	r, err := New(c, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if v := r.MaySubscribe(SubscribeQuery{Channel: "news::x@@1;;2", User: "2"}); v.Outcome != Allowed || v.Source != SourceUserLimited {
		t.Errorf("%+v; want Outcome %v and Source %v", v, Allowed, SourceUserLimited)
	}
	if v := r.MaySubscribe(SubscribeQuery{Channel: "!!news::x@@2", User: "2"}); v.Outcome != Denied {
		t.Errorf("%+v; want Outcome %v", v, Denied)
	}
}

func TestFormats(t *testing.T) {
	tests := []struct {
		format Format
		data   string
		want   bool
	}{
		{FormatNonEmpty, "", false}, {FormatNonEmpty, "\x00", true}, {FormatNonEmpty, "not json", true},
		{FormatJSON, "", false}, {FormatJSON, "null", true}, {FormatJSON, "1", true}, {FormatJSON, "{", false}, {FormatJSON, `{} {}`, false},
		{FormatJSONObject, "", false}, {FormatJSONObject, ` {"a":1}`, true}, {FormatJSONObject, "[]", false}, {FormatJSONObject, "null", false}, {FormatJSONObject, "{", false},
		{FormatBinary, "", true}, {FormatBinary, "\xff", true},
		// Values that JSON clients cannot receive are not JSON here.
		{FormatJSON, "\"\xff\"", false}, {FormatJSON, strings.Repeat("[", 1024) + strings.Repeat("]", 1024), true},
		{FormatJSON, strings.Repeat("[", 1025) + strings.Repeat("]", 1025), false},
		{FormatJSONObject, "{\"\xff\":1}", false}, {FormatJSONObject, "\u00a0{}", false},
		{FormatNonEmpty, "\"\xff\"", true},
	}
	for _, tt := range tests {
		if got := tt.format.Valid([]byte(tt.data)); got != tt.want {
			t.Errorf("%q %q: %v; want %v", tt.format, tt.data, got, tt.want)
		}
	}
}

func TestInheritance(t *testing.T) {
	c := config.Default().Channel
	c.PublicationDataFormat = "json"
	c.Namespaces = []config.Namespace{
		{Name: "own", ChannelOptions: config.ChannelOptions{PublicationDataFormat: "binary", HistoryMetaTTL: time.Minute}},
		{Name: "none"},
	}
	r, err := New(c, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	own, _ := r.Namespace("own:x")
	none, _ := r.Namespace("none:x")
	if own.Format != FormatBinary || own.HistoryMetaTTL != time.Minute || none.Format != FormatJSON || none.HistoryMetaTTL != 720*time.Hour {
		t.Errorf("%+v %+v; want Format %v, HistoryMetaTTL %v, Format %v and HistoryMetaTTL %v",
			own, none, FormatBinary, time.Minute, FormatJSON, 720*time.Hour)
	}
}

func TestPersonalChannel(t *testing.T) {
	tests := []struct {
		name     string
		settings config.UserPersonalChannel
		user     string
		want     string
	}{
		{"off", config.UserPersonalChannel{}, "42", ""},
		{"without namespace", config.UserPersonalChannel{Enabled: true}, "42", "#42"},
		{"with namespace", config.UserPersonalChannel{Enabled: true, PersonalChannelNamespace: "user"}, "42", "user:#42"},
		{"anonymous", config.UserPersonalChannel{Enabled: true}, "", ""},
	}
	for _, tt := range tests {
		r := newRules(t, Settings{Personal: tt.settings}, config.ChannelOptions{}, nil)
		if got, ok := r.PersonalChannel(tt.user); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %q %v; want %v and %v", tt.name, got, ok, tt.want, tt.want != "")
		}
	}
	if newRules(t, Settings{Personal: config.UserPersonalChannel{SingleConnection: true}}, config.ChannelOptions{}, nil).SingleConnection() {
		t.Error("SingleConnection without personal channels = true; want false")
	}
}

func TestNewError(t *testing.T) {
	c := config.Default().Channel
	c.Namespaces = []config.Namespace{{Name: "bad", ChannelOptions: config.ChannelOptions{ChannelRegex: "("}}}
	if _, err := New(c, Settings{}); err == nil || !strings.HasPrefix(err.Error(), "channel.namespaces[bad]: channel_regex: ") {
		t.Errorf("%v; want an error and prefix %q", err, "channel.namespaces[bad]: channel_regex: ")
	}
}

func FuzzMaySubscribe(f *testing.F) {
	r := newRules(f, Settings{}, config.ChannelOptions{}, map[string]config.ChannelOptions{"news": {AllowUserLimitedChannels: true}})
	f.Add("news:x#1,2", "1", false)
	f.Add("$news:x", "", true)
	f.Fuzz(func(t *testing.T, channel, user string, token bool) {
		v := r.MaySubscribe(SubscribeQuery{Channel: channel, User: user, HasToken: token})
		if v.Outcome == Allowed && (!strings.HasSuffix("#"+channel, user) && !strings.Contains(channel, user) || r.Private(channel)) {
			t.Errorf("%q may subscribe to %q; want it refused", user, channel)
		}
		if (v.Namespace == nil) != (v.Outcome == UnknownChannel) {
			t.Errorf("%q: %+v; want no namespace exactly with UnknownChannel", channel, v)
		}
	})
}

func BenchmarkMaySubscribe(b *testing.B) {
	r := newRules(b, Settings{}, config.ChannelOptions{}, map[string]config.ChannelOptions{"news": {AllowSubscribeForClient: true}})
	for b.Loop() {
		r.MaySubscribe(SubscribeQuery{Channel: "news:sport", User: "42"})
	}
}
