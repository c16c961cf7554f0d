package middleware

import (
	"net/http"
	"net/netip"
	"strings"
)

// maxForwarders bounds the addresses of X-Forwarded-For that are looked at, from the last.
const maxForwarders = 32

// ClientAddress sets RemoteAddr of requests that come through trusted proxies to the address
// that X-Forwarded-For has for the client: the last one that is not of a trusted network. What
// is before it was written by the client and proves nothing. Requests from elsewhere are left
// as they are. The port is 0, because the header has none.
func ClientAddress(trusted []netip.Prefix, next http.Handler) http.Handler {
	if len(trusted) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client, ok := forwardedFor(r, trusted); ok {
			changed := *r
			changed.RemoteAddr = netip.AddrPortFrom(client, 0).String()
			r = &changed
		}
		next.ServeHTTP(w, r)
	})
}

// forwardedFor returns the address of the client, if a trusted proxy tells one.
func forwardedFor(r *http.Request, trusted []netip.Prefix) (client netip.Addr, ok bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !within(trusted, peer.Addr()) {
		return client, false
	}
	looked := 0
	lines := r.Header.Values("X-Forwarded-For")
	for n := len(lines) - 1; n >= 0; n-- {
		for rest, more := lines[n], true; more; {
			var entry string
			if at := strings.LastIndexByte(rest, ','); at >= 0 {
				rest, entry = rest[:at], rest[at+1:]
			} else {
				entry, more = rest, false
			}
			address, valid := forwarder(strings.TrimSpace(entry))
			if looked++; !valid || looked > maxForwarders {
				return client, ok
			}
			if client, ok = address, true; !within(trusted, address) {
				return client, true
			}
		}
	}
	return client, ok
}

// forwarder parses an address with or without a port.
func forwarder(text string) (netip.Addr, bool) {
	if address, err := netip.ParseAddr(text); err == nil {
		return address.Unmap().WithZone(""), true
	}
	pair, err := netip.ParseAddrPort(text)
	return pair.Addr().Unmap().WithZone(""), err == nil
}

func within(networks []netip.Prefix, address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(address) {
			return true
		}
	}
	return false
}
