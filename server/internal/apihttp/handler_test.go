package apihttp

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/revocation"
)

// testRules has a namespace for each case of the tests; channels without one
// have no features.
func testRules(t testing.TB) *channels.Rules {
	t.Helper()
	history := func(o config.ChannelOptions) config.ChannelOptions {
		o.HistorySize, o.HistoryTTL = 10, time.Minute
		return o
	}
	rules, err := channels.New(config.Channel{
		MaxLength: 255, PrivatePrefix: "$", NamespaceBoundary: ":", UserBoundary: "#", UserSeparator: ",",
		HistoryMetaTTL: time.Hour,
		Namespaces: []config.Namespace{
			{Name: "hist", ChannelOptions: history(config.ChannelOptions{})},
			{Name: "pres", ChannelOptions: config.ChannelOptions{Presence: true}},
			{Name: "delta", ChannelOptions: history(config.ChannelOptions{DeltaPublish: true})},
			{Name: "json", ChannelOptions: config.ChannelOptions{PublicationDataFormat: "json"}},
			{Name: "object", ChannelOptions: config.ChannelOptions{PublicationDataFormat: "json_object"}},
			{Name: "bin", ChannelOptions: config.ChannelOptions{PublicationDataFormat: "binary"}},
			{Name: "map", ChannelOptions: config.ChannelOptions{SubscriptionType: "map"}},
			{Name: "stream", ChannelOptions: config.ChannelOptions{SubscriptionType: "stream"}},
			{Name: "poll", ChannelOptions: config.ChannelOptions{SubscriptionType: "shared_poll"}},
			{Name: "re", ChannelOptions: config.ChannelOptions{ChannelRegex: "^[a-z]+$"}},
			{Name: "join", ChannelOptions: history(config.ChannelOptions{
				Presence: true, JoinLeave: true, ForcePushJoinLeave: true, ForceRecovery: true,
			})},
			{Name: "all", ChannelOptions: history(config.ChannelOptions{
				Presence: true, JoinLeave: true, ForcePushJoinLeave: true, ForcePositioning: true, ForceRecovery: true,
				ForceRecoveryMode: "cache", AutoCacheRecover: true, AllowedDeltaTypes: []string{"fossil"},
				AllowTagsFilter: true, HistoryMetaTTL: 2 * time.Hour,
			})},
		},
	}, channels.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// newHandler returns a handler that needs the key "K".
func newHandler(t testing.TB, node api.Node, change func(*Options)) *Handler {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	rules := testRules(t)
	opts := Options{
		API:    api.New(api.Options{Protocol: "http", Node: node, Rules: func() *channels.Rules { return rules }, Revocations: revocation.New(revocation.Options{}), Log: log}),
		Config: config.HTTPAPI{HandlerPrefix: "/api", Key: "K"},
		Log:    log,
	}
	if change != nil {
		change(&opts)
	}
	return New(opts)
}

func post(h http.Handler, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("X-API-Key", "K")
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRouting(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
		body         string
	}{
		{"POST", "/api/info", 200, `{"result":{}}`},
		{"GET", "/api/info", 405, ""},
		{"OPTIONS", "/api/info", 405, ""},
		{"PUT", "/api", 405, ""},
		{"POST", "/api", 200, `{"result":{}}`},
		{"POST", "/api/", 404, "404 page not found\n"},
		{"POST", "/api/nothing", 404, "404 page not found\n"},
		{"POST", "/api/Info", 404, "404 page not found\n"},
		{"POST", "/api/info/", 404, "404 page not found\n"},
		{"POST", "/api/connections", 200, `{"result":{"connections":{}}}`},
		{"POST", "/api/update_user_status", 404, "404 page not found\n"},
		{"POST", "/api/device_list", 404, "404 page not found\n"},
		{"POST", "/apiinfo", 404, "404 page not found\n"},
		{"POST", "/other", 404, "404 page not found\n"},
	}
	h := newHandler(t, &apitest.Node{}, nil)
	for _, test := range tests {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			body := "{}"
			if test.path == "/api" {
				body = `{"method":"info"}`
			}
			r := httptest.NewRequest(test.method, test.path, strings.NewReader(body))
			r.Header.Set("X-API-Key", "K")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, test.status, test.body)
			}
		})
	}
}

// The HTTP method is checked before the key.
func TestVerbBeforeKey(t *testing.T) {
	w := httptest.NewRecorder()
	newHandler(t, &apitest.Node{}, nil).ServeHTTP(w, httptest.NewRequest("GET", "/api/info", nil))
	if w.Code != 405 || w.Body.Len() != 0 {
		t.Errorf("%d %q; want 405 and 0", w.Code, w.Body)
	}
}

func TestEveryMethodHasARoute(t *testing.T) {
	for _, m := range api.Methods() {
		if routes[m.Name] == nil {
			t.Errorf("no route for %s; want one", m.Name)
		}
	}
	if got, want := len(routes), len(api.Methods()); got != want {
		t.Errorf("%d routes; want %d", got, want)
	}
}

func TestPrefixes(t *testing.T) {
	for prefix, want := range map[string][]string{
		"/api":    {"/api", "/api/"},
		"/api/":   {"/api", "/api/"},
		"/v1/x//": {"/v1/x", "/v1/x/"},
		"":        {"/"},
		"/":       {"/"},
	} {
		h := newHandler(t, &apitest.Node{}, func(o *Options) { o.Config.HandlerPrefix = prefix })
		if got := h.Patterns(); !slices.Equal(got, want) {
			t.Errorf("prefix %q: patterns %q, want %q", prefix, got, want)
		}
		mux := http.NewServeMux()
		for _, pattern := range h.Patterns() {
			mux.Handle(pattern, h)
		}
		root := want[0]
		if w := post(mux, root, `{"method":"info"}`); w.Code != 200 {
			t.Errorf("prefix %q: legacy endpoint %d; want 200", prefix, w.Code)
		}
		if w := post(mux, strings.TrimRight(root, "/")+"/info", `{}`); w.Code != 200 {
			t.Errorf("prefix %q: method %d; want 200", prefix, w.Code)
		}
	}
}

func TestKeys(t *testing.T) {
	type row struct {
		name   string
		path   string
		header []string
		status int
	}
	none := []string{"X-API-Key", ""}
	authorization := func(value string) []string { return append(slices.Clone(none), "Authorization", value) }
	tests := []row{
		{"X-API-Key", "/api/info", nil, 200},
		{"wrong X-API-Key", "/api/info", []string{"X-API-Key", "k"}, 401},
		{"longer X-API-Key", "/api/info", []string{"X-API-Key", "KK"}, 401},
		{"nothing", "/api/info", none, 401},
		{"Authorization", "/api/info", authorization("apikey K"), 200},
		{"Authorization, scheme in any case", "/api/info", authorization("ApiKey K"), 200},
		{"Authorization, more space", "/api/info", authorization("  apikey \t K "), 200},
		{"Authorization, other scheme", "/api/info", authorization("bearer K"), 401},
		{"Authorization, wrong key", "/api/info", authorization("apikey k"), 401},
		{"Authorization, one field", "/api/info", authorization("apikey"), 401},
		{"Authorization, three fields", "/api/info", authorization("apikey K K"), 401},
		{"wrong X-API-Key hides Authorization", "/api/info", []string{"X-API-Key", "x", "Authorization", "apikey K"}, 401},
		{"query", "/api/info?api_key=K", none, 200},
		{"wrong query", "/api/info?api_key=k", none, 401},
		{"other query", "/api/info?key=K", none, 401},
		{"query rescues from a wrong X-API-Key", "/api/info?api_key=K", []string{"X-API-Key", "x"}, 200},
		{"query rescues from a wrong Authorization", "/api/info?api_key=K", authorization("apikey x"), 200},
		{"legacy endpoint", "/api", none, 401},
	}
	h := newHandler(t, &apitest.Node{}, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := post(h, test.path, `{}`, test.header...)
			if w.Code != test.status {
				t.Errorf("status %d, want %d", w.Code, test.status)
			}
			if w.Code == 401 && w.Body.Len() != 0 {
				t.Errorf("body %q, want none", w.Body)
			}
		})
	}
}

func TestKeyNotSet(t *testing.T) {
	var logged bytes.Buffer
	h := newHandler(t, &apitest.Node{}, func(o *Options) {
		o.Config.Key = ""
		o.Log = slog.New(slog.NewTextHandler(&logged, nil))
	})
	if !strings.Contains(logged.String(), "level=ERROR") {
		t.Error("not logged; want \"level=ERROR\" in it")
	}
	for _, key := range []string{"", "K"} {
		if w := post(h, "/api/info?api_key=", "{}", "X-API-Key", key); w.Code != 401 {
			t.Errorf("key %q: status %d; want 401", key, w.Code)
		}
	}
	insecure := newHandler(t, &apitest.Node{}, func(o *Options) { o.Config.Key, o.Config.Insecure = "", true })
	if w := post(insecure, "/api/info", "{}", "X-API-Key", "wrong"); w.Code != 200 {
		t.Errorf("insecure: status %d; want 200", w.Code)
	}
}

func TestErrorModes(t *testing.T) {
	unrecoverable := centrifuge.ErrorUnrecoverablePosition
	tests := []struct {
		name       string
		path, body string
		err        error
		plain      string // body with status 200
		status     int    // in transport mode
		bare       string
	}{
		{"102", "/api/publish", `{"channel":"x:1","data":1}`, nil,
			`{"error":{"code":102,"message":"unknown channel"}}`, 404, `{"code":102,"message":"unknown channel"}`},
		{"104", "/api/rpc", `{"method":"x"}`, nil,
			`{"error":{"code":104,"message":"not found"}}`, 404, `{"code":104,"message":"not found"}`},
		{"107", "/api/publish", `{}`, nil,
			`{"error":{"code":107,"message":"bad request"}}`, 400, `{"code":107,"message":"bad request"}`},
		{"108", "/api/presence", `{"channel":"a"}`, nil,
			`{"error":{"code":108,"message":"not available"}}`, 400, `{"code":108,"message":"not available"}`},
		{"112", "/api/history", `{"channel":"hist:a"}`, unrecoverable,
			`{"error":{"code":112,"message":"unrecoverable position"}}`, 416, `{"code":112,"message":"unrecoverable position"}`},
		{"100", "/api/info", `{}`, errors.New("down"),
			`{"error":{"code":100,"message":"internal server error"}}`, 500, `{"code":100,"message":"internal server error"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			node := &apitest.Node{Err: test.err}
			h := newHandler(t, node, nil)
			byConfig := newHandler(t, node, func(o *Options) { o.Config.ErrorMode = "transport" })
			for _, answer := range []struct {
				name   string
				w      *httptest.ResponseRecorder
				status int
				body   string
			}{
				{"default", post(h, test.path, test.body), 200, test.plain},
				{"other header", post(h, test.path, test.body, "X-Centrifugo-Error-Mode", "body"), 200, test.plain},
				{"header", post(h, test.path, test.body, "X-Centrifugo-Error-Mode", "transport"), test.status, test.bare},
				{"config", post(byConfig, test.path, test.body), test.status, test.bare},
			} {
				if answer.w.Code != answer.status || answer.w.Body.String() != answer.body {
					t.Errorf("%s: %d %s, want %d %s", answer.name, answer.w.Code, answer.w.Body, answer.status, answer.body)
				}
				if got := answer.w.Header().Get("Content-Type"); got != "application/json" {
					t.Errorf("%s: content type %q; want \"application/json\"", answer.name, got)
				}
			}
		})
	}
	if got := transportStatus(113); got != 409 {
		t.Errorf("113: %d; want 409", got)
	}
}

// Transport mode does not apply to the items of a batch or a broadcast, nor to the
// legacy endpoint.
func TestErrorModeDoesNotApply(t *testing.T) {
	h := newHandler(t, &apitest.Node{}, func(o *Options) { o.Config.ErrorMode = "transport" })
	for _, test := range []struct{ path, body, want string }{
		{"/api/batch", `{"commands":[{"publish":{}}]}`, `{"replies":[{"error":{"code":107,"message":"bad request"}}]}`},
		{"/api/broadcast", `{"channels":[""],"data":1}`, `{"result":{"responses":[{"error":{"code":107,"message":"bad request"}}]}}`},
		{"/api", `{"method":"publish","params":{}}`, `{"error":{"code":107,"message":"bad request"}}`},
	} {
		if w := post(h, test.path, test.body); w.Code != 200 || w.Body.String() != test.want {
			t.Errorf("%s: %d %s, want %s", test.path, w.Code, w.Body, test.want)
		}
	}
}

// Malformed bodies are refused as plain text, the same for every method.
func TestMalformedBodies(t *testing.T) {
	bodies := map[string]string{
		"empty":               "",
		"white space":         " \n",
		"text":                "hello",
		"unfinished":          `{"channel":"a"`,
		"unfinished string":   `{"channel":"a`,
		"trailing garbage":    `{"channel":"a","data":1}x`,
		"second value":        `{"channel":"a","data":1}{}`,
		"trailing comma":      `{"channel":"a",}`,
		"no colon":            `{"channel" "a"}`,
		"single quotes":       `{'channel':'a'}`,
		"array":               `[]`,
		"array of requests":   `[{"channel":"a","data":1}]`,
		"string":              `"a"`,
		"number":              `1`,
		"bool":                `true`,
		"control character":   "{\"channel\":\"a\x01\"}",
		"bad escape":          `{"channel":"\q"}`,
		"bad number":          `{"channel":"a","data":01}`,
		"comment":             `{"channel":"a"}//`,
		"nan":                 `{"channel":"a","data":NaN}`,
		"bom":                 "\xef\xbb\xbf{}",
		"nul":                 "{}\x00",
		"control after value": "{\"channel\":\"a\",\"data\":1\x01}",
		"too deep":            `{"channel":"a","data":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
	}
	node := &apitest.Node{}
	h := newHandler(t, node, nil)
	for name, body := range bodies {
		for method := range routes {
			w := post(h, "/api/"+method, body)
			if w.Code != 400 || w.Body.String() != "Bad Request\n" {
				t.Errorf("%s, %s: %d %q; want 400 and \"Bad Request\\n\"", method, name, w.Code, w.Body)
			}
			if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain") {
				t.Errorf("%s, %s: content type %q; want prefix \"text/plain\"", method, name, got)
			}
		}
	}
	if calls := node.Calls(); len(calls) != 0 {
		t.Errorf("the node was asked: %q; want none", calls)
	}
}

// Every field refuses values of every other type.
func TestWrongTypes(t *testing.T) {
	values := map[string]string{"s": `"x"`, "n": `1`, "b": `true`, "a": `[]`, "o": `{}`, "f": `1.5`, "neg": `-1`, "huge": `18446744073709551616`}
	const str, boolean, object, list, unsigned, signed = "s", "b", "o", "a", "n", "n neg"
	publication := map[string]string{"b64data": str, "skip_history": boolean, "tags": object, "idempotency_key": str,
		"delta": boolean, "version": unsigned, "version_epoch": str}
	target := map[string]string{"user": str, "client": str, "session": str, "label_filter": object, "all_users": boolean}
	fields := map[string][]map[string]string{
		"publish":                {publication, {"channel": str}},
		"broadcast":              {publication, {"channels": list}},
		"subscribe":              {target, {"channel": str, "expire_at": signed, "b64info": str, "b64data": str, "recover_since": object, "override": object}},
		"unsubscribe":            {target, {"channel": str}},
		"disconnect":             {target, {"disconnect": object, "whitelist": list}},
		"block_user":             {{"user": str, "expire_at": signed}},
		"unblock_user":           {{"user": str}},
		"revoke_token":           {{"uid": str, "expire_at": signed}},
		"invalidate_user_tokens": {{"user": str, "issued_before": signed, "expire_at": signed}},
		"refresh":                {target, {"expired": boolean, "expire_at": signed}},
		"presence":               {{"channel": str}},
		"presence_stats":         {{"channel": str}},
		"history":                {{"channel": str, "limit": signed, "since": object, "reverse": boolean}},
		"history_remove":         {{"channel": str}},
		"channels":               {{"pattern": str}},
		"connections":            {{"user": str, "client": str, "limit": signed, "cursor": str, "expression": str}},
		"trace_start":            {{"channel": str, "user": str, "client": str, "duration": signed, "data": boolean}},
		"trace_stop":             {{"channel": str, "user": str, "client": str}},
		"trace_query":            {{"channel": str, "offset": unsigned, "from": signed, "to": signed, "user": str, "client": str, "limit": signed}},
		"rpc":                    {{"method": str}},
		"batch":                  {{"commands": list, "parallel": boolean}},
		"map_publish":            {{"channel": str, "key": str, "key_mode": str, "score": signed, "version": unsigned}},
		"map_remove":             {{"channel": str, "key": str}},
		"map_read_state":         {{"channel": str, "limit": signed, "asc": boolean}},
		"map_read_stream":        {{"channel": str, "since_offset": unsigned}},
		"map_stats":              {{"channel": str}},
		"map_clear":              {{"channel": str}},
		"shared_poll_publish":    {{"channel": str, "key": str, "version": unsigned}},
	}
	node := &apitest.Node{}
	h := newHandler(t, node, nil)
	for method, groups := range fields {
		for _, group := range groups {
			for field, own := range group {
				for kind, value := range values {
					want := 400
					if slices.Contains(strings.Fields(own), kind) {
						want = 200
					}
					if w := post(h, "/api/"+method, `{"`+field+`":`+value+`}`); w.Code != want {
						t.Errorf("%s %s=%s: %d, want %d", method, field, value, w.Code, want)
					}
				}
				// Null does not change the field.
				if w := post(h, "/api/"+method, `{"`+field+`":null}`); w.Code != 200 {
					t.Errorf("%s %s=null: %d; want 200", method, field, w.Code)
				}
			}
		}
	}
	for _, nested := range []struct{ method, body string }{
		{"publish", `{"channel":"a","data":1,"tags":{"k":1}}`},
		{"broadcast", `{"channels":[1],"data":1}`},
		{"subscribe", `{"channel":"a","override":{"presence":true}}`},
		{"subscribe", `{"channel":"a","override":{"presence":{"value":1}}}`},
		{"subscribe", `{"channel":"a","recover_since":{"offset":"1"}}`},
		{"disconnect", `{"disconnect":{"code":-1}}`},
		{"disconnect", `{"disconnect":{"code":4294967296}}`},
		{"disconnect", `{"whitelist":[{}]}`},
		{"history", `{"channel":"a","limit":2147483648}`},
		{"history", `{"channel":"a","since":{"offset":-1}}`},
		{"unsubscribe", `{"label_filter":{"op":1}}`},
		{"batch", `{"commands":[1]}`},
		{"batch", `{"commands":[{"publish":[]}]}`},
		{"batch", `{"commands":[{"publish":{"channel":1}}]}`},
	} {
		if w := post(h, "/api/"+nested.method, nested.body); w.Code != 400 {
			t.Errorf("%s %s: %d; want 400", nested.method, nested.body, w.Code)
		}
	}
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, errors.New("connection reset") }
func (brokenBody) Close() error             { return nil }

func TestBodyCannotBeRead(t *testing.T) {
	r := httptest.NewRequest("POST", "/api/info", brokenBody{})
	r.Header.Set("X-API-Key", "K")
	w := httptest.NewRecorder()
	newHandler(t, &apitest.Node{}, nil).ServeHTTP(w, r)
	if w.Code != 500 || w.Body.String() != "Internal Server Error\n" {
		t.Errorf("%d %q; want 500 and \"Internal Server Error\\n\"", w.Code, w.Body)
	}
}

func TestBodyLimit(t *testing.T) {
	h := newHandler(t, &apitest.Node{}, func(o *Options) { o.BodyLimit = 100 })
	server := httptest.NewServer(h)
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	for _, test := range []struct {
		name   string
		size   int
		hidden bool // length not declared
		status int
	}{
		{"at the limit", 100, false, 200},
		{"above", 101, false, 413},
		{"at the limit, chunked", 100, true, 200},
		{"above, chunked", 101, true, 413},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := io.Reader(strings.NewReader(strings.Repeat(" ", test.size-2) + "{}"))
			if test.hidden {
				body = struct{ io.Reader }{body}
			}
			r, err := http.NewRequest("POST", server.URL+"/api/info?api_key=K", body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != test.status {
				t.Errorf("status %d, want %d", resp.StatusCode, test.status)
			}
		})
	}
	if w := post(newHandler(t, &apitest.Node{}, nil), "/api/publish",
		`{"channel":"a","data":"`+strings.Repeat("x", 5<<20)+`"}`); w.Code != 200 {
		t.Errorf("5 MiB with the default limit: %d; want 200", w.Code)
	}
}

func TestTooManyCommands(t *testing.T) {
	h := newHandler(t, &apitest.Node{}, nil)
	for _, test := range []struct {
		commands int
		status   int
	}{{api.MaxCommands, 200}, {api.MaxCommands + 1, 413}} {
		batch := `{"commands":[null` + strings.Repeat(",null", test.commands-1) + `]}`
		if w := post(h, "/api/batch", batch); w.Code != test.status {
			t.Errorf("batch of %d: %d; want %v", test.commands, w.Code, test.status)
		}
		if w := post(h, "/api", strings.Repeat("{}", test.commands)); w.Code != test.status {
			t.Errorf("legacy of %d: %d; want %v", test.commands, w.Code, test.status)
		}
	}
}
