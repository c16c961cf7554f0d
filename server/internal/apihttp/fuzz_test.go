package apihttp

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"centrifugo/server/internal/api"
	"centrifugo/server/internal/api/apitest"
)

// FuzzMethods sends any body to every method: the answer is a JSON object with
// status 200, or one of the refusals, and never anything else.
func FuzzMethods(f *testing.F) {
	for _, body := range []string{
		`{"channel":"hist:1","data":{"a":1},"tags":{"k":"v"},"version":5}`, `{"channels":["a","x:1"],"b64data":"aGk="}`,
		`{"channel":"all:1","user":"u","override":{"presence":{"value":true}},"recover_since":{"offset":1,"epoch":"e"}}`,
		`{"user":"","disconnect":{"code":4001,"reason":"x"},"whitelist":["a"]}`, `{"channel":"hist:1","limit":-1,"since":{}}`,
		`{"commands":[null,{"publish":{"channel":"a","data":1}},{"info":{}}],"parallel":true}`, `{"pattern":"[a-z]*"}`, `{}`, `null`, `[`,
		`{"channel":"map:1","key":"k","key_mode":"if_new"}`, `{"method":"x","params":null}`,
	} {
		f.Add([]byte(body))
	}
	h := newHandler(f, &apitest.Node{}, nil)
	methods := make([]string, 0, len(routes))
	for method := range routes {
		methods = append(methods, method)
	}
	slices.Sort(methods)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, method := range methods {
			checkAnswer(t, h, "/api/"+method, body)
		}
	})
}

// FuzzLegacy does the same with the legacy endpoint.
func FuzzLegacy(f *testing.F) {
	for _, body := range []string{
		`{"id":1,"method":"info"}` + "\n" + `{"method":0,"params":{"channel":"a","data":1}}`, `{"method":"BROADCAST","params":{}}`,
		`{"method":13}{"method":-5}`, `{"params":{}}x`, `[]`, ``,
	} {
		f.Add([]byte(body))
	}
	h := newHandler(f, &apitest.Node{}, nil)
	f.Fuzz(func(t *testing.T, body []byte) { checkAnswer(t, h, "/api", body) })
}

func checkAnswer(t *testing.T, h http.Handler, path string, body []byte) {
	t.Helper()
	w := post(h, path, string(body))
	switch w.Code {
	case 200:
		dec := json.NewDecoder(w.Body)
		for dec.More() {
			var answer map[string]any
			if err := dec.Decode(&answer); err != nil {
				t.Fatalf("%s %q: answer is no JSON object: %v", path, body, err)
			}
		}
	case 400, 413:
	default:
		t.Fatalf("%s %q: status %d; want 200, 400 or 413", path, body, w.Code)
	}
}

// publishBodies are bodies of publish requests in every spelling that decoders
// may treat differently.
var publishBodies = []string{
	`{"channel":"a","data":{"a":[1,"}",{"b":"\""}]},"skip_history":true}`, `{"data":null,"channel":"a"}`, `{"channel":"a","data":1 }`,
	`{"b64data":"aGk=","idempotency_key":"i","delta":false}`, `{}`, ` { } `, `null`, ` null `, `[]`, `1`, ``, `{"channel":"a",}`, `{"data":"\ud800"}`,
	`{"data":{"a":1}}}`, `{"data":-}`, `{"data":1,2}`, "{\"data\":1\x0b}", `{"data":[}]}`, `{"channel":"a"}x`, `{"channel":"a"} {}`,
	// keys
	`{"channel":"a","channel":"b"}`, `{"channel":"a","CHANNEL":"b"}`, `{"Channel":"a","DATA":1}`, `{"channel":"a","channel":null}`, `{"ch\u0061nnel":"a"}`,
	`{"\u017fkip_history":true}`, `{"s\u212aip_history":true}`, "{\"\u017fkip_history\":true}", `{"unknown":{"channel":"b"},"channel":"a"}`, `{"":1}`,
	`{"unknown":1,"Unknown":[2,{}]}`, `{"THE_KEY_OF_A_FIELD_THAT_DOES_NOT_EXIST_ANYWHERE":"x"}`,
	// values
	`{"channel":null,"b64data":null,"idempotency_key":null,"version":null,"version_epoch":null,"delta":null,"skip_history":null,"tags":null}`,
	`{"channel":"é\u00e9\ud83d\ude00"}`, "{\"channel\":\"\xff\"}", "{\"data\":\"\xff\"}", `{"channel":"\ud800x"}`, `{"channel":1}`, `{"channel":["a"]}`, "{\"channel\":\"\t\"}",
	`{"version":18446744073709551615,"version_epoch":"e"}`, `{"version":18446744073709551616}`, `{"version":-1}`, `{"version":1.0}`, `{"version":1e2}`,
	`{"version":"1"}`, `{"version":01}`, `{"delta":1}`, `{"delta":"true"}`, `{"skip_history":truex}`,
	`{"tags":{}}`, `{"tags":{"a":"1","b":"\u0062","a":"2"}}`, `{"tags":{"a":null}}`, `{"tags":{"a":1}}`, `{"tags":[]}`, `{"tags":{"a":"1"},"tags":{"b":"2"}}`,
	`{"data":` + strings.Repeat("[", 1025) + strings.Repeat("]", 1025) + `}`, `{"x":` + strings.Repeat("[", 1100) + strings.Repeat("]", 1100) + `}`,
}

// FuzzDecodePublish compares decodePublish with encoding/json: what it accepts,
// encoding/json decodes to the same.
func FuzzDecodePublish(f *testing.F) {
	for _, body := range publishBodies {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		original := bytes.Clone(body)
		var fast, slow api.PublishRequest
		if !decodePublish(body, &fast) {
			return
		}
		if err := json.Unmarshal(original, &slow); err != nil {
			t.Fatalf("decodePublish accepts %q; json.Unmarshal fails: %v", original, err)
		}
		clear(body) // the request must not refer to it
		if !reflect.DeepEqual(fast, slow) {
			t.Fatalf("decodePublish(%q) = %+v; want %+v", original, fast, slow)
		}
	})
}

// TestDecodePublishIsUsed checks which bodies decodePublish decodes itself: every
// field in every spelling, but for those that its comment names.
func TestDecodePublishIsUsed(t *testing.T) {
	for body, want := range map[string]bool{
		`{"channel":"news:1","data":{"a":[1,2,{"b":"}"}]}}`:                        true,
		`{"channel":"a","data":null,"skip_history":true}`:                          true,
		` {"b64data" : "aGk=" , "delta" : false } `:                                true,
		`{"channel":"a","idempotency_key":"k","data":"é"}`:                         true,
		`{"channel":"a","data":1,"tags":{}}`:                                       true,
		`{"channel":"a","data":1,"tags":{"k":"v"},"version":7,"version_epoch":""}`: true,
		`{"channel":"é"}`:                  true,
		`{"channel":"\u00e9","data":null}`: true,
		`{"Channel":"a"}`:                  true,
		`{"channel":"a","unknown":[{}]}`:   true,
		`null`:                             true,
		`{"channel":"a","Channel":"b"}`:    false,
		`{"unbekannter_schlüssel":1}`:      false,
		"{\"data\":\"\xff\"}":              false,
		`{"channel":"a"}x`:                 false,
		`{"channel":1}`:                    false,
	} {
		if got := decodePublish([]byte(body), new(api.PublishRequest)); got != want {
			t.Errorf("decodePublish(%q) = %t; want %t", body, got, want)
		}
	}
}
