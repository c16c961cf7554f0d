package redistest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Apart is a server in a network namespace of its own. Each link to it can drop all packets,
// so that neither side sees the end of a connection, and nothing is acknowledged.
type Apart struct {
	*Server
	namespace string
	links     []link
}

// link is a pair of interfaces: near is ours, far that of the server.
type link struct{ near, far, nearAddress, farAddress string }

// nowhere is a hardware address that no interface has.
const nowhere = "02:00:00:00:00:01"

// StartApart starts a server without persistence that is reached over n links. It skips the
// test where network namespaces cannot be made: that takes root and the command ip.
func StartApart(t testing.TB, n int) *Apart {
	t.Helper()
	id := rand.IntN(1 << 14)
	a := &Apart{Server: prepare(t, "--save", "", "--appendonly", "no", "--protected-mode", "no"), namespace: fmt.Sprint("redis", id)}
	if _, err := run("netns", "add", a.namespace); err != nil {
		t.Skipf("no network namespaces here: %v", err)
	}
	t.Cleanup(func() { a.ip("netns", "del", a.namespace) }) // its interfaces go with it
	a.far("link", "set", "lo", "up")
	for i := range n {
		subnet := fmt.Sprintf("10.%d.%d.", 192+id>>8, id&0xff) // of a private network, with 4 addresses for each link
		l := link{fmt.Sprintf("rn%d-%d", id, i), fmt.Sprintf("rf%d-%d", id, i), subnet + strconv.Itoa(4*i+1), subnet + strconv.Itoa(4*i+2)}
		a.links = append(a.links, l)
		if _, err := run("link", "add", l.near, "type", "veth", "peer", "name", l.far, "netns", a.namespace); err != nil {
			t.Skipf("no virtual interfaces here: %v", err)
		}
		a.ip("addr", "add", l.nearAddress+"/30", "dev", l.near)
		a.ip("link", "set", l.near, "up")
		a.far("addr", "add", l.farAddress+"/30", "dev", l.far)
		a.far("link", "set", l.far, "up")
	}
	a.wrapper = []string{"ip", "netns", "exec", a.namespace}
	a.host = a.links[0].farAddress
	for _, l := range a.links[1:] {
		a.args = append(a.args, "--bind", a.host, l.farAddress)
	}
	a.start()
	return a
}

// AddressOver is the address of the server over a link.
func (a *Apart) AddressOver(i int) string {
	return net.JoinHostPort(a.links[i].farAddress, strconv.Itoa(a.Port))
}

// SetDropping makes a link drop all packets, or deliver them again.
func (a *Apart) SetDropping(i int, dropping bool) {
	a.t.Helper()
	l := a.links[i]
	near := hardware(a.ip("-br", "link", "show", "dev", l.near))
	far := hardware(a.far("-br", "link", "show", "dev", l.far))
	if dropping {
		near, far = nowhere, nowhere
	}
	a.ip("neigh", "replace", l.farAddress, "lladdr", far, "dev", l.near, "nud", "permanent")
	a.far("neigh", "replace", l.nearAddress, "lladdr", near, "dev", l.far, "nud", "permanent")
}

// hardware returns the hardware address in a brief line about an interface.
func hardware(line string) string { return strings.Fields(line)[2] }

// far runs ip for the namespace of the server.
func (a *Apart) far(args ...string) string {
	a.t.Helper()
	return a.ip(append([]string{"-n", a.namespace}, args...)...)
}

func (a *Apart) ip(args ...string) string {
	a.t.Helper()
	out, err := run(args...)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

// run runs the command ip.
func run(args ...string) (string, error) {
	out, err := exec.Command("ip", args...).CombinedOutput() //nolint:gosec // the test says what to run
	if err != nil {
		return "", fmt.Errorf("ip %q: %w: %s", args, err, out)
	}
	return string(out), nil
}
