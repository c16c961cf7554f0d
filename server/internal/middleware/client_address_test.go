package middleware

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for name, c := range map[string]struct {
		peer  string
		lines []string
		want  string
	}{
		"not trusted":             {"192.0.2.1:1", []string{"203.0.113.7"}, "192.0.2.1:1"},
		"no header":               {"10.0.0.1:1", nil, "10.0.0.1:1"},
		"one":                     {"10.0.0.1:1", []string{"203.0.113.7"}, "203.0.113.7:0"},
		"IPv4 in IPv6":            {"[::ffff:10.0.0.1]:1", []string{"::ffff:203.0.113.7"}, "203.0.113.7:0"},
		"IPv6":                    {"[::1]:1", []string{"2001:db8::7"}, "[2001:db8::7]:0"},
		"with ports":              {"10.0.0.1:1", []string{"[2001:db8::7]:55, 10.0.0.2:66"}, "[2001:db8::7]:0"},
		"two proxies":             {"10.0.0.1:1", []string{"203.0.113.7, 10.0.0.2"}, "203.0.113.7:0"},
		"two lines":               {"10.0.0.1:1", []string{"203.0.113.7", "10.0.0.2"}, "203.0.113.7:0"},
		"written by the client":   {"10.0.0.1:1", []string{"1.2.3.4", "203.0.113.7"}, "203.0.113.7:0"},
		"trusted ones alone":      {"10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3:0"},
		"no address":              {"10.0.0.1:1", []string{"unknown"}, "10.0.0.1:1"},
		"no address further left": {"10.0.0.1:1", []string{"unknown, 10.0.0.2"}, "10.0.0.2:0"},
		"empty":                   {"10.0.0.1:1", []string{""}, "10.0.0.1:1"},
		"too many":                {"10.0.0.1:1", []string{"203.0.113.7" + strings.Repeat(",10.0.0.2", maxForwarders)}, "10.0.0.2:0"},
		"Unix socket":             {"@", []string{"203.0.113.7"}, "@"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			h := ClientAddress(trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr, r.Header["X-Forwarded-For"] = c.peer, slices.Clone(c.lines)
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != c.want {
				t.Errorf("RemoteAddr %s; want %s", got, c.want)
			}
			if r.RemoteAddr != c.peer {
				t.Errorf("the address of the request is %s; want %s, as before", r.RemoteAddr, c.peer)
			}
		})
	}
}
