package config

import (
	"reflect"
	"strings"
	"testing"
)

// Every form of a list works in every source.
func TestListForms(t *testing.T) {
	two := []string{"http://a", "http://b"}
	tests := []struct {
		text string
		want []string
	}{
		{"http://a http://b", two},
		{"  http://a \t http://b ", two},
		{"http://a,http://b", two},
		{"http://a, http://b", two},
		{"http://a,,http://b,", two},
		{"http://a\nhttp://b", two},
		{`["http://a","http://b"]`, two},
		{` [ "http://a" , "http://b" ] `, two},
		{"http://a", two[:1]},
		{`["http://a"]`, two[:1]},
		{"*", []string{"*"}},
		{`["*"]`, []string{"*"}},
		{"http://{a,b},http://[cd].e", []string{"http://{a,b}", "http://[cd].e"}},
		{"http://{a,{b,c}} http://d", []string{"http://{a,{b,c}}", "http://d"}},
		{"[a-z]*://x,http://b", []string{"[a-z]*://x", "http://b"}},
	}
	for _, tt := range tests {
		variable := "CENTRIFUGO_CLIENT_ALLOWED_ORIGINS=" + tt.text
		for source, o := range map[string]Options{
			"environment": {Environ: []string{variable}},
			".env":        {DotEnv: writeFile(t, ".env", "CENTRIFUGO_CLIENT_ALLOWED_ORIGINS='"+tt.text+"'")},
			"JSON":        {File: writeFile(t, "c.json", `{"client": {"allowed_origins": `+string(compactJSON(tt.text))+`}}`)},
			"YAML":        {File: writeFile(t, "c.yaml", `client: {allowed_origins: `+string(compactJSON(tt.text))+`}`)},
			"TOML":        {File: writeFile(t, "c.toml", "[client]\nallowed_origins = "+string(compactJSON(tt.text))+"\n")},
		} {
			cfg, _, err := Load(o)
			if err != nil {
				t.Errorf("%s %q: %v", source, tt.text, err)
			} else if !reflect.DeepEqual(cfg.Client.AllowedOrigins, tt.want) {
				t.Errorf("%s %q: %q, want %q", source, tt.text, cfg.Client.AllowedOrigins, tt.want)
			}
		}
	}
	// Items of these hold commas themselves: a list of seeds each.
	cfg, _ := mustLoad(t, "", "CENTRIFUGO_ENGINE_REDIS_CLUSTER_ADDRESS=a:1,b:1 c:1,d:1", "CENTRIFUGO_ENGINE_REDIS_SENTINEL_ADDRESS=e:1,f:1",
		"CENTRIFUGO_PROXIES=pp", "CENTRIFUGO_PROXIES_PP_HTTP_HEADERS=X-A,X-B")
	r := cfg.Engine.Redis
	if !reflect.DeepEqual(r.ClusterAddress, []string{"a:1,b:1", "c:1,d:1"}) || !reflect.DeepEqual(r.SentinelAddress, []string{"e:1,f:1"}) ||
		!reflect.DeepEqual(cfg.Proxies[0].HTTPHeaders, []string{"X-A", "X-B"}) {
		t.Errorf("%q %q %q; want \"a:1,b:1\" \"c:1,d:1\", \"e:1,f:1\", \"X-A\" \"X-B\"",
			r.ClusterAddress, r.SentinelAddress, cfg.Proxies[0].HTTPHeaders)
	}
}

// An origin that can never match is an error that shows what would match.
func TestOriginNeverMatches(t *testing.T) {
	tests := []struct{ pattern, want string }{
		{"https://A.b", `write "https://a.b"`},
		{"HTTPS://a.b", `write "https://a.b"`},
		{"https://{a,B}.c", `write "https://{a,b}.c"`},
		{"https://a.b/", `write "https://a.b"`},
		{"https://a.b/path", "has no path"},
		{"https://*.a.b/*", "has no path"},
		{"a.b", `such as "https://a.b"`},
		{"localhost:3000", "has a scheme"},
		{"localhost:*", "has a scheme"},
		{"//a.b", "has a scheme"},
		{"a.b*", "has a scheme"},
		{"https:/a.b", "has a scheme"},
		{"http://a,http://b", "several origins"},
		{"http://a;http://b", "several origins"},
		{"https://a.b http://c.d", "several origins"},
		{`"*"`, "quotes"},
		{"", "is empty"},
		{"http://[::1]:8000", `write "http://\\[::1\\]:8000"`},
		{"http://[fe80::1]", `write "http://\\[fe80::1\\]"`},
		{"[a", "not a valid pattern"},

		{"https://a.b", ""}, {"http://localhost:3000", ""}, {"http://localhost:*", ""}, {"https://*.a.b", ""}, {"*.a.b", ""},
		{"*", ""}, {"*://a.b", ""}, {"http*://a.b", ""}, {"{http,https}://a.b", ""}, {"https://[abC].d", ""}, {"null", ""},
		{"file://", ""}, {"file://*", ""}, {"capacitor://localhost", ""}, {"com.example.app://x", ""}, {"http?://a.b", ""},
		{`https://\[::1\]:8000`, ""}, {"http:*", ""}, {"https://xn--bcher-kva.example", ""}, {"**", ""}, {"chrome-extension://*", ""},
	}
	for _, tt := range tests {
		t.Run(tt.pattern, func(t *testing.T) {
			_, warnings, err := Load(Options{File: writeFile(t, "c.json", `{"client": {"allowed_origins": [`+string(compactJSON(tt.pattern))+`]}}`)})
			if tt.want == "" {
				if err != nil || len(ofKind(warnings, NoEffect)) != 0 {
					t.Errorf("%v %v; want 0", err, warnings)
				}
			} else if err == nil || !strings.Contains(err.Error(), "client.allowed_origins: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	// Browsers leave out the port of the scheme; other clients may write it.
	for _, pattern := range []string{"https://a.b:443", "http://a.b:80"} {
		if _, warnings := mustLoad(t, `{"client": {"allowed_origins": ["`+pattern+`"]}}`); len(ofKind(warnings, NoEffect)) != 1 {
			t.Errorf("%s: %v; want 1", pattern, warnings)
		}
	}
	if _, warnings := mustLoad(t, `{"client": {"allowed_origins": ["https://a.b:80", "http://a.b:443", "https://a.b:4433"]}}`); len(warnings) != 0 {
		t.Errorf("%v; want none", warnings)
	}
}
