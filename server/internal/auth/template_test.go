package auth

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"centrifugo/server/internal/auth/authtest"
	"centrifugo/server/internal/config"
)

// Which templates and expressions are safe (server.md 3.3).
func TestTemplateSafety(t *testing.T) {
	tests := []struct {
		name, template, issuer, audience string
		skip                             bool
		want                             string // part of the error; empty: none
	}{
		{name: "no variables", template: "https://x/jwks"},
		{name: "alternation", template: "https://x/{{t}}/jwks", issuer: `^https://id/(?P<t>one|two)$`},
		{name: "alternation of the audience", template: "https://x/{{t}}/jwks", audience: `^(?P<t>one|two)$`},
		{name: "short form of a group", template: "https://x/{{t}}/jwks", issuer: `^(?<t>one|two)$`},
		{name: "one literal", template: "https://x/{{t}}/jwks", issuer: `^(?P<t>one)$`},
		{name: "escaped dot", template: "https://{{t}}/jwks", issuer: `^(?P<t>a\.test|b\.test)$`},
		{name: "two variables", template: "https://{{h}}/{{t}}", issuer: `^(?P<h>a|b)/(?P<t>c|d)$`},
		{name: "variable used twice", template: "https://{{h}}/{{h}}", issuer: `^(?P<h>a|b)$`},
		{name: "dot", template: "https://x/{{t}}", issuer: `^(?P<t>a.b)$`, want: "must list literal texts"},
		{name: "anything", template: "https://x/{{t}}", issuer: `^(?P<t>.*)$`, want: "must list literal texts"},
		{name: "class", template: "https://x/{{t}}", issuer: `^(?P<t>[ab])$`, want: "must list literal texts"},
		{name: "perl class", template: "https://x/{{t}}", issuer: `^(?P<t>\w)$`, want: "must list literal texts"},
		{name: "quantifier", template: "https://x/{{t}}", issuer: `^(?P<t>a+)$`, want: "must list literal texts"},
		{name: "counted quantifier", template: "https://x/{{t}}", issuer: `^(?P<t>a{2})$`, want: "must list literal texts"},
		{name: "group within", template: "https://x/{{t}}", issuer: `^(?P<t>(a|b))$`, want: "must list literal texts"},
		{name: "empty alternative", template: "https://x/{{t}}", issuer: `^(?P<t>a|)$`, want: "must list literal texts"},
		{name: "empty", template: "https://x/{{t}}", issuer: `^(?P<t>)$`, want: "must list literal texts"},
		{name: "anything, not checked", template: "https://x/{{t}}", issuer: `^(?P<t>.*)$`, skip: true},
		{name: "unsafe group that is not used", template: "https://x/{{t}}", issuer: `^(?P<t>a|b)/(?P<u>.*)$`},
		{name: "no such group", template: "https://x/{{t}}", issuer: `^(?P<u>a)$`, want: "{{t}} must be a group of"},
		{name: "no such group, not checked", template: "https://x/{{t}}", skip: true, want: "{{t}} must be a group of"},
		{name: "group of both", template: "https://x/{{t}}", issuer: `(?P<t>a)`, audience: `(?P<t>b)`, want: "{{t}} must be a group of either"},
		{name: "malformed variable", template: "https://x/{{t-u}}", issuer: `(?P<t>a)`, want: "variables are written"},
		{name: "not closed", template: "https://x/{{t", issuer: `(?P<t>a)`, want: "variables are written"},
		{name: "other scheme", template: "ftp://x/", want: "http or https"},
		{name: "scheme of a variable", template: "{{t}}://x/", issuer: `(?P<t>https)`, want: "http or https"},
	}
	for _, tt := range tests {
		_, err := NewVerifier(config.Token{
			TokenKeys: config.TokenKeys{JWKSPublicEndpoint: tt.template}, IssuerRegex: tt.issuer, AudienceRegex: tt.audience, InsecureSkipJWKSEndpointSafetyCheck: tt.skip,
		}, Options{})
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v; want no error", tt.name, err)
		case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "jwks_public_endpoint: ") || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v; want jwks_public_endpoint: … %s", tt.name, err, tt.want)
		}
	}
}

func TestTemplateResolve(t *testing.T) {
	tests := []struct {
		template, pattern, issuer string
		skip                      bool
		want                      string // empty: an error
	}{
		{"https://x/{{t}}/jwks", `^(?P<t>one|two)$`, "two", false, "https://x/two/jwks"},
		{"https://x/{{t}}/", `^(?P<t>one|two)$`, "one", false, "https://x/one/"},
		{"https://{{t}}.x/", `^(?P<t>a\.b|c)$`, "a.b", false, "https://a.b.x/"},
		{"https://x/{{t}}/{{t}}", `^(?P<t>one)$`, "one", false, "https://x/one/one"},
		{"https://x/{{t}}", `^(?P<t>a/b)$`, "a/b", false, "https://x/a/b"},
		{"https://x/{{t}}/jwks", `^(?P<t>\.\.)$`, "..", false, ""},
		{"https://x/{{t}}/jwks", `^(?P<t>%2e%2e)$`, "%2e%2e", false, ""},
		{"https://x/{{t}}/jwks", `^(?P<t>one)?$`, "", false, ""},
		{"https://x/{{t}}/jwks", `(?i)^(?P<t>one)$`, "ONE", false, ""},
		{"https://x/{{t}}/jwks", `^(?P<t>.*)$`, "any-tenant", true, "https://x/any-tenant/jwks"},
		{"https://x/{{t}}/jwks", `^(?P<t>.*)$`, "..", true, ""},
		{"https://x/{{t}}/jwks", `^(?P<t>.*)$`, "a/../../b", true, ""},
		{"https://x/{{t}}/jwks", `^(?P<t>.*)$`, "a?b", true, ""},
		{"https://{{t}}.x/jwks", `^(?P<t>.*)$`, "evil.test/", true, ""},
		{"https://{{t}}.x/jwks", `^(?P<t>.*)$`, "evil.test#", true, ""},
		{"https://{{t}}.x/jwks", `^(?P<t>.*)$`, "u@evil.test:80", true, ""},
		{"https://{{t}}.x/jwks", `^(?P<t>.*)$`, "", true, ""},
		{"https://x/{{t}}/jwks", `(?s)^(?P<t>.*)$`, "a\nb", true, ""},
	}
	for _, tt := range tests {
		pattern := regexp.MustCompile(tt.pattern)
		template, err := newURLTemplate(tt.template, []*regexp.Regexp{nil, pattern}, tt.skip)
		if err != nil {
			t.Errorf("%s: %v", tt.template, err)
			continue
		}
		groups := map[string]string{}
		if !collectGroups(pattern, tt.issuer, groups) {
			t.Errorf("%s does not match %q; want it to", tt.pattern, tt.issuer)
		}
		got, err := template.resolve(groups)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s with %q: %q, %v; want %q", tt.template, tt.issuer, got, err, tt.want)
		}
	}
}

// Each tenant has a key set, and no token leads to a server that is not configured.
func TestTemplateOfTenants(t *testing.T) {
	p := authtest.NewProvider(t)
	k := authtest.NewKey(t, "k", "ES256")
	p.Publish(k)
	r := newRemote(t, config.Token{
		TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.Issuer + "/{{tenant}}/{{app}}/keys"}, IssuerRegex: `^https://id\.test/(?P<tenant>one|two)$`, AudienceRegex: `^(?P<app>web|phone)$`,
	})
	r.connect(t, "first tenant", k.Sign(t, `{"iss":"https://id.test/one","aud":"web"}`), nil)
	r.connect(t, "first tenant, other audience first", k.Sign(t, `{"iss":"https://id.test/one","aud":["x","web"]}`), nil)
	r.connect(t, "second tenant", k.Sign(t, `{"iss":"https://id.test/two","aud":"phone"}`), nil)
	if got := p.Requests(); got != 2 {
		t.Errorf("%d requests; want 2", got)
	}
	r.connect(t, "unknown tenant", k.Sign(t, `{"iss":"https://id.test/three","aud":"web"}`), ErrInvalidToken)
	r.connect(t, "unknown audience", k.Sign(t, `{"iss":"https://id.test/one","aud":"x"}`), ErrInvalidToken)
	if got := p.Requests(); got != 2 {
		t.Errorf("%d requests after tokens of unknown tenants; want 2", got)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(`^(?P<t>one|two)$`, "one")
	f.Add(`\Q(?P<t>one\E(?P<t>.*)`, "(?P<t>oneevil")
	f.Add(`[(?P<t>a|b)](?P<t>.*)`, "?evil.test/")
	f.Fuzz(func(t *testing.T, pattern, issuer string) {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			t.Skip()
		}
		template, err := newURLTemplate("https://x/{{t}}/jwks", []*regexp.Regexp{compiled}, false)
		if err != nil {
			return
		}
		groups := map[string]string{}
		collectGroups(compiled, issuer, groups)
		got, err := template.resolve(groups)
		if err != nil {
			return
		}
		if u, err := url.Parse(got); err != nil || u.Host != "x" {
			t.Errorf("%q with %q leads to %q; want u.Host \"x\"", pattern, issuer, got)
		}
		if !slices.Contains(template.variables[0].values, groups["t"]) || !strings.Contains(pattern, "(?") {
			t.Errorf("%q with %q: got %q; want a value that is configured", pattern, issuer, groups["t"])
		}
	})
}
