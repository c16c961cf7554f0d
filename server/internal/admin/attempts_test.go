package admin

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

func address(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// admitted counts how many of n attempts are admitted.
func (a *attempts) admitted(n int, from netip.Prefix, at time.Time) (admitted int) {
	for range n {
		if _, ok := a.take(from, at); ok {
			admitted++
		}
	}
	return admitted
}

func TestAttemptsOfAnAddress(t *testing.T) {
	var a attempts
	one, other := address("192.0.2.1/32"), address("192.0.2.2/32")
	for _, step := range []struct {
		from  netip.Prefix
		after time.Duration
		want  int
	}{
		{one, 0, addressBurst},
		{one, 0, 0},
		{other, 0, addressBurst},
		{one, addressInterval - 1, 0},
		{one, addressInterval, 1},
		{one, 3 * addressInterval, 2},
		{one, 100 * addressInterval, addressBurst},
	} {
		if got := a.admitted(20, step.from, now.Add(step.after)); got != step.want {
			t.Errorf("%v after %v: admitted %d, want %d", step.from, step.after, got, step.want)
		}
	}
	at := now.Add(100 * addressInterval)
	if wait, ok := a.take(one, at); ok || wait != addressInterval {
		t.Errorf("take = %v, %v; want to wait %v", wait, ok, addressInterval)
	}
}

func TestAttemptsOfAllAddresses(t *testing.T) {
	var a attempts
	admitted := 0
	for i := range 1000 {
		admitted += a.admitted(1, address(fmt.Sprintf("10.0.%d.%d/32", i/256, i%256)), now)
	}
	if admitted != commonBurst {
		t.Errorf("admitted %d of 1000 addresses, want %d", admitted, commonBurst)
	}
	if got := a.admitted(5, address("192.0.2.1/32"), now.Add(2*commonInterval)); got != 2 {
		t.Errorf("after two intervals: admitted %d, want 2", got)
	}
}

// The table does not grow without bounds, and a full one does not stop the limits.
func TestAttemptsAreBounded(t *testing.T) {
	var a attempts
	at := now
	for i := range 3 * maxAddresses {
		a.admitted(1, address(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255)), at)
		at = at.Add(commonInterval)
		if len(a.byAddress) > maxAddresses {
			t.Fatalf("%d addresses are kept, want at most %d", len(a.byAddress), maxAddresses)
		}
	}
	a = attempts{byAddress: map[netip.Prefix]time.Time{}}
	for i := range maxAddresses {
		a.byAddress[address(fmt.Sprintf("10.0.%d.%d/32", i/256, i%256))] = now.Add(time.Hour)
	}
	if got := a.admitted(1000, address("192.0.2.1/32"), now); got != commonBurst {
		t.Errorf("with a full table: admitted %d, want %d", got, commonBurst)
	}
}

func TestAddressOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:5":              "192.0.2.1/32",
		"[::ffff:192.0.2.1]:5":     "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:5": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5":         "fe80::/64",
		"@":                        "invalid Prefix",
		"":                         "invalid Prefix",
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr = remote
		if got := addressOf(r).String(); got != want {
			t.Errorf("addressOf(%q) = %s, want %s", remote, got, want)
		}
	}
}
