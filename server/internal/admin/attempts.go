package admin

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limits of the attempts to log in. Five may come at once from an address, then ten per
// minute; all addresses together have fifty at once, then ten per second, so that many
// addresses do not help to guess a password.
const (
	addressInterval, addressBurst = 6 * time.Second, 5
	commonInterval, commonBurst   = 100 * time.Millisecond, 50
	// maxAddresses bounds the table. While it is full, the attempts of further addresses
	// count for all of them together only.
	maxAddresses = 4096
)

// attempts limits log-ins by the address they come from. The zero value is ready for use.
//
// A limit is kept as the time at which the attempts so far are paid off, each of which
// costs an interval. An attempt is admitted while this time is less than a burst away.
type attempts struct {
	mu        sync.Mutex
	common    time.Time
	byAddress map[netip.Prefix]time.Time
}

// take reports whether an attempt is admitted, and if not, after what time one will be.
func (a *attempts) take(address netip.Prefix, now time.Time) (wait time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	paid, known := a.byAddress[address]
	next, wait, ok := admit(paid, now, addressInterval, addressBurst)
	if !ok {
		return wait, false
	}
	common, wait, ok := admit(a.common, now, commonInterval, commonBurst)
	if !ok {
		return wait, false
	}
	a.common = common
	if known || a.makeSpaceLocked(now) {
		a.byAddress[address] = next
	}
	return 0, true
}

// admit returns the time at which the attempts are paid off, with the present one.
func admit(paid, now time.Time, interval time.Duration, burst int) (next time.Time, wait time.Duration, ok bool) {
	if paid.Before(now) {
		paid = now
	}
	next = paid.Add(interval)
	if wait = next.Sub(now) - time.Duration(burst)*interval; wait > 0 {
		return paid, wait, false
	}
	return next, 0, true
}

// makeSpaceLocked makes space for an address by removing those without recent attempts.
func (a *attempts) makeSpaceLocked(now time.Time) bool {
	if a.byAddress == nil {
		a.byAddress = make(map[netip.Prefix]time.Time)
	}
	if len(a.byAddress) < maxAddresses {
		return true
	}
	for address, paid := range a.byAddress {
		if paid.Before(now) {
			delete(a.byAddress, address)
		}
	}
	return len(a.byAddress) < maxAddresses
}

// addressOf returns the address that a request comes from. A host with IPv6 has a whole
// network of 64 bits to choose from.
func addressOf(r *http.Request) netip.Prefix {
	source, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{} // as with a Unix socket
	}
	address, bits := source.Addr().Unmap().WithZone(""), 32
	if address.Is6() {
		bits = 64
	}
	prefix, _ := address.Prefix(bits) // the number fits the kind of address
	return prefix
}
