package consumer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"centrifugo/server/internal/api"
	"centrifugo/server/internal/config"
)

var inAttributes = Format{Method: "centrifugo-method"}

// inPublications is the publication data mode with names other than the defaults.
var inPublications = Format{Publication: PublicationFormat{
	Enabled: true, Channels: "ch", IdempotencyKey: "key", Delta: "delta", Version: "v", VersionEpoch: "ve", TagPrefix: "tag-",
}}

// A message is decoded in one of three modes (server.md 11.1).
func TestDecode(t *testing.T) {
	attribute := func(pairs ...string) (attributes []Attribute) {
		for i := 0; i < len(pairs); i += 2 {
			attributes = append(attributes, Attribute{pairs[i], pairs[i+1]})
		}
		return attributes
	}
	tests := []struct {
		name    string
		format  Format
		message Message
		want    string // the method and the request as JSON, or the reason of the refusal
	}{
		{"command", inAttributes, Message{Body: []byte(`{"method":"publish","payload":{"channel":"a","data":1}}`)}, `publish {"channel":"a","data":1}`},
		{"payload as text", inAttributes, Message{Body: []byte(`{"method":"publish","payload":"{\"channel\":\"a\",\"data\":1}"}`)}, `publish {"channel":"a","data":1}`},
		{"method in an attribute", inAttributes, Message{Body: []byte(`{"channel":"a","data":1}`), Attributes: attribute("x", "y", "centrifugo-method", "publish")}, `publish {"channel":"a","data":1}`},
		{"attribute without a value", inAttributes, Message{Body: []byte(`{"method":"unsubscribe","payload":{"user":"u"}}`), Attributes: attribute("centrifugo-method", "")}, `unsubscribe {"user":"u"}`},
		{"method of a column", Format{}, Message{Method: "broadcast", Body: []byte(`{"channels":["a","b"],"data":{}}`)}, `broadcast {"channels":["a","b"],"data":{}}`},
		{"column with text", Format{}, Message{Method: "disconnect", Body: []byte(` "{\"user\":\"u\"}"`)}, `disconnect {"user":"u"}`},
		{"subscribe", Format{}, Message{Method: "subscribe", Body: []byte(`{"user":"u","channel":"a"}`)}, `subscribe {"user":"u","channel":"a"}`},
		{"refresh", Format{}, Message{Method: "refresh", Body: []byte(`{"user":"u"}`)}, `refresh {"user":"u"}`},
		{"history_remove", Format{}, Message{Method: "history_remove", Body: []byte(`{"channel":"a"}`)}, `history_remove {"channel":"a"}`},
		{"batch", Format{}, Message{Method: "batch", Body: []byte(`{"commands":[]}`)}, "unknown_method"},
		{"presence", Format{}, Message{Method: "presence", Body: []byte(`{"channel":"a"}`)}, "unknown_method"},
		{"letter case", Format{}, Message{Method: "Publish", Body: []byte(`{"channel":"a"}`)}, "unknown_method"},
		{"no method", inAttributes, Message{Body: []byte(`{"payload":{}}`)}, "unknown_method"},
		{"no JSON", inAttributes, Message{Body: []byte(`publish`)}, "malformed"},
		{"nothing", inAttributes, Message{}, "malformed"},
		{"two values", inAttributes, Message{Body: []byte(`{"method":"publish","payload":{}} {}`)}, "malformed"},
		{"no payload", inAttributes, Message{Body: []byte(`{"method":"publish"}`)}, "malformed"},
		{"payload of another type", inAttributes, Message{Body: []byte(`{"method":"publish","payload":[1]}`)}, "malformed"},
		{"text without a request", inAttributes, Message{Body: []byte(`{"method":"publish","payload":""}`)}, "malformed"},
		{"null column", Format{}, Message{Method: "publish"}, "malformed"},
		{"at the limit", Format{}, Message{Method: "history_remove", Body: padded(MaxSize)}, `history_remove {"channel":"a"}`},
		{"too large", Format{}, Message{Method: "history_remove", Body: padded(MaxSize + 1)}, "too_large"},
		{"withheld", Format{}, Message{Method: "publish", Size: MaxSize + 1}, "too_large"},

		{"publication", inPublications, Message{Body: []byte(`no JSON`), Attributes: attribute("ch", "a")}, "publish a no JSON"},
		{"every attribute", inPublications, Message{Body: []byte(`1`), Attributes: attribute("ch", "a", "key", "k", "delta", "true", "v", "7", "ve", "e", "tag-x", "1", "tag-y", "", "other", "z")}, "publish a 1 key=k delta version=7/e tags=map[x:1 y:]"},
		{"broadcast", inPublications, Message{Body: []byte(`1`), Attributes: attribute("ch", "a, b,")}, `broadcast ["a" " b" ""] 1`},
		{"a method has no meaning", inPublications, Message{Method: "disconnect", Body: []byte(`1`), Attributes: attribute("ch", "a")}, "publish a 1"},
		{"no channels", inPublications, Message{Body: []byte(`1`), Attributes: attribute("key", "k")}, "no_channels"},
		{"empty channels", inPublications, Message{Body: []byte(`1`), Attributes: attribute("ch", "")}, "no_channels"},
		{"version", inPublications, Message{Body: []byte(`1`), Attributes: attribute("ch", "a", "v", "-1")}, "malformed"},
		{"delta", inPublications, Message{Body: []byte(`1`), Attributes: attribute("ch", "a", "delta", "yes")}, "malformed"},
		{"empty attributes", inPublications, Message{Body: []byte(`1`), Attributes: attribute("ch", "a", "delta", "", "v", "")}, "publish a 1"},
		{"too large data", inPublications, Message{Body: padded(MaxSize + 1), Attributes: attribute("ch", "a")}, "too_large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, refused := tt.format.decode(&tt.message)
			if got := describe(t, c, refused); got != normal(t, tt.want) {
				t.Errorf("decode(%.60q) = %s; want %s", tt.message.Body, got, tt.want)
			}
			if refused == nil && c.binary != tt.format.Publication.Enabled {
				t.Errorf("binary = %v; want %v", c.binary, tt.format.Publication.Enabled)
			}
		})
	}
}

// padded returns a request of a size.
func padded(size int) []byte {
	const request = `{"channel":"a"}`
	return []byte(request + strings.Repeat(" ", size-len(request)))
}

// describe returns a command as TestDecode has it.
func describe(t *testing.T, c command, refused *refusal) string {
	t.Helper()
	if refused != nil {
		return string(refused.reason)
	}
	if c.binary {
		return c.method.Name + " " + describePublication(c)
	}
	request, err := json.Marshal(c.request)
	if err != nil {
		t.Fatal(err)
	}
	return c.method.Name + " " + string(request)
}

// describePublication returns the request of the publication data mode.
func describePublication(c command) string {
	var text string
	var p api.Publication
	switch r := c.request.(type) {
	case *api.PublishRequest:
		text, p = r.Channel, r.Publication
	case *api.BroadcastRequest:
		text, p = fmt.Sprintf("%q", r.Channels), r.Publication
	}
	text += " " + string(p.Data)
	if p.IdempotencyKey != "" {
		text += " key=" + p.IdempotencyKey
	}
	if p.Delta {
		text += " delta"
	}
	if p.Version != 0 || p.VersionEpoch != "" {
		text += fmt.Sprintf(" version=%d/%s", p.Version, p.VersionEpoch)
	}
	if p.Tags != nil {
		text += fmt.Sprintf(" tags=%v", p.Tags)
	}
	return text
}

// normal decodes the request of a text and encodes it as describe does.
func normal(t *testing.T, text string) string {
	t.Helper()
	name, request, _ := strings.Cut(text, " ")
	if !strings.HasPrefix(request, "{") {
		return text
	}
	method := methods[name]
	decoded := method.NewRequest()
	if err := json.Unmarshal([]byte(request), decoded); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(decoded)
	if err != nil {
		t.Fatal(err)
	}
	return name + " " + string(encoded)
}

// Each type of source names its attributes by keys of its own.
func TestFormats(t *testing.T) {
	want := PublicationFormat{true, "a", "b", "c", "d", "e", "f"}
	for name, got := range map[string]PublicationFormat{
		"headers":    Headers(config.PublicationDataHeaders{Enabled: true, ChannelsHeader: "a", IdempotencyKeyHeader: "b", DeltaHeader: "c", VersionHeader: "d", VersionEpochHeader: "e", TagsHeaderPrefix: "f"}),
		"values":     Values(config.PublicationDataValues{Enabled: true, ChannelsValue: "a", IdempotencyKeyValue: "b", DeltaValue: "c", VersionValue: "d", VersionEpochValue: "e", TagsValuePrefix: "f"}),
		"attributes": Attributes(config.PublicationDataAttributes{Enabled: true, ChannelsAttribute: "a", IdempotencyKeyAttribute: "b", DeltaAttribute: "c", VersionAttribute: "d", VersionEpochAttribute: "e", TagsAttributePrefix: "f"}),
		"properties": Properties(config.PublicationDataProperties{Enabled: true, ChannelsProperty: "a", IdempotencyKeyProperty: "b", DeltaProperty: "c", VersionProperty: "d", VersionEpochProperty: "e", TagsPropertyPrefix: "f"}),
	} {
		if got != want {
			t.Errorf("%s = %+v; want %+v", name, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("", `{"method":"publish","payload":{"channel":"a","data":1}}`, "ch", "a,b")
	f.Add("publish", `"{\"channel\":\"a\"}"`, "v", "7")
	f.Add("broadcast", `{"channels":[]}`, "tag-", "x")
	f.Fuzz(func(t *testing.T, method, body, name, value string) {
		for _, format := range []Format{{}, inAttributes, inPublications} {
			c, refused := format.decode(&Message{Method: method, Body: []byte(body), Attributes: []Attribute{{name, value}}})
			if (refused == nil) != (c.method != nil && c.request != nil) {
				t.Errorf("decode(%q, %q) = %+v, %+v; want a command or a refusal", method, body, c, refused)
			}
			if refused != nil && fmt.Sprint(refused.err) == "" {
				t.Errorf("decode(%q, %q): a refusal without a text; want one", method, body)
			}
		}
	})
}
