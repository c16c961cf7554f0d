package middleware

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"centrifugo/internal/logsample"
	"centrifugo/server/internal/requestid"
)

// Local keeps web pages away from endpoints that need no authentication. A browser
// on the machine of a developer reaches a loopback address for every page that it
// has open, and a name of a page may be made to resolve to one (DNS rebinding).
//
// Programs other than browsers send neither Origin nor Sec-Fetch-Site and are admitted.
// From browsers, only pages of loopback origins are admitted, and pages that the server
// itself serves under an IP address: such an origin cannot be rebound.
type Local struct {
	// Static after construction.
	open     bool
	names    map[string]bool
	log      *slog.Logger
	refusals *logsample.Sampler
}

// NewLocal returns the guard of one listener. If open is set, other machines reach the
// listener too, and programs may call it by any name. The names are further names of
// the listener, as configured.
func NewLocal(open bool, log *slog.Logger, names ...string) *Local {
	l := &Local{open: open, names: map[string]bool{}, log: log, refusals: logsample.New(1, time.Second)}
	for _, name := range names {
		if name != "" {
			l.names[strings.ToLower(name)] = true
		}
	}
	return l
}

// Middleware refuses with 403 the requests for which Refusal returns a reason.
func (l *Local) Middleware(next http.Handler) http.Handler { return l.guard(next, l.Refusal) }

// HostMiddleware refuses with 403 only requests to a foreign host. It is for endpoints
// that check the origin themselves or return nothing confidential.
func (l *Local) HostMiddleware(next http.Handler) http.Handler { return l.guard(next, l.hostRefusal) }

func (l *Local) guard(next http.Handler, refusal func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reason := refusal(r)
		if reason == "" {
			next.ServeHTTP(w, r)
			return
		}
		l.logRefusal(r, reason)
		http.Error(w, "an insecure mode is on, which serves local pages and programs only: "+reason, http.StatusForbidden)
	})
}

// Refusal returns why a request is refused, and an empty string if it is not.
func (l *Local) Refusal(r *http.Request) string {
	if reason := l.hostRefusal(r); reason != "" {
		return reason
	}
	if _, ok := r.Header["Origin"]; ok {
		if !LocalOrigin(r) {
			return "the Origin is not a loopback address"
		}
		return ""
	}
	// Browsers omit the Origin in some requests of pages, but not Sec-Fetch-Site.
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return ""
	}
	return "Sec-Fetch-Site names a page of another site"
}

func (l *Local) hostRefusal(r *http.Request) string {
	host := hostname(r.Host)
	switch {
	case loopback(host), l.names[host], host == "" && !fromBrowser(r):
		return ""
	case l.open && (isIP(host) || !fromBrowser(r)):
		return ""
	}
	return "the Host is not a loopback address"
}

func fromBrowser(r *http.Request) bool {
	_, origin := r.Header["Origin"]
	_, site := r.Header["Sec-Fetch-Site"]
	return origin || site
}

// LocalOrigin reports whether the Origin of a request is a loopback address, or the
// server itself under an IP address. It returns true for a request without an Origin,
// which does not come from a page of another site.
func LocalOrigin(r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 || len(origins[0]) > MaxOrigin {
		return false
	}
	u, err := url.Parse(origins[0])
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	host := hostname(u.Host)
	return loopback(host) || isIP(host) && strings.EqualFold(u.Host, r.Host)
}

// hostname returns a host without its port, in lower case.
func hostname(host string) string {
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if strings.Trim(port, "0123456789") != "" {
			return "?" // no name: "" stands for a request without a host
		}
		name = h
	} else {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	}
	if name == "" && host != "" {
		return "?"
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// loopback reports whether browsers resolve a name only to this machine.
func loopback(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

func isIP(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// logRefusal logs at most once a second, with the number of suppressed lines.
func (l *Local) logRefusal(r *http.Request, reason string) {
	ok, suppressed := l.refusals.Take(logsample.Key{})
	if !ok {
		return
	}
	l.log.Log(requestid.For(r), slog.LevelWarn, "request refused: an insecure mode serves local pages and programs only", "reason", reason,
		"method", r.Method, "path", short(r.URL.Path), "host", short(r.Host), "origin", short(r.Header.Get("Origin")),
		"sec_fetch_site", short(r.Header.Get("Sec-Fetch-Site")), "suppressed", suppressed)
}

// short bounds a value of a request in the log.
func short(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
