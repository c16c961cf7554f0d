package listener

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
)

// Inherited are the sockets that systemd has opened for the process (socket activation, man
// sd_listen_fds). Its methods must not be called concurrently. A nil Inherited has none.
type Inherited struct {
	files []*os.File
}

// Inherit takes the sockets of the process. It may be called once: the variables that describe
// them are removed from the environment.
func Inherit() *Inherited { return &Inherited{activation.Files(true)} }

// Listener returns the inherited listener with a name (FileDescriptorName= of the unit), or else
// one that has an address, and removes it. It returns nil if there is none.
func (i *Inherited) Listener(name, address string) (net.Listener, error) {
	for n, file := range i.all() {
		if l, err := net.FileListener(file); err == nil {
			if file.Name() == name || sameAddress(l.Addr(), address) {
				i.remove(n)
				return l, nil
			}
			_ = l.Close() // of a duplicate
		} else if file.Name() == name && !isPackets(file) {
			return nil, fmt.Errorf("socket %s from systemd: %w", name, err)
		}
	}
	return nil, nil //nolint:nilnil // none is not an error
}

// Packets does the same for a UDP socket.
func (i *Inherited) Packets(name, address string) (*net.UDPConn, error) {
	for n, file := range i.all() {
		conn, err := net.FilePacketConn(file)
		if err != nil {
			continue // it is a listener
		}
		udp, ok := conn.(*net.UDPConn)
		if ok && (file.Name() == name || sameAddress(udp.LocalAddr(), address)) {
			i.remove(n)
			return udp, nil
		}
		_ = conn.Close() // of a duplicate
	}
	return nil, nil //nolint:nilnil // none is not an error
}

// Close closes the sockets that were not asked for. It returns an error that names them.
func (i *Inherited) Close() error {
	var errs []error
	for _, file := range i.all() {
		errs = append(errs, fmt.Errorf("socket %s from systemd has neither the address nor the name of a listener", file.Name()))
		_ = file.Close()
	}
	if i != nil {
		i.files = nil
	}
	return errors.Join(errs...)
}

func (i *Inherited) all() []*os.File {
	if i == nil {
		return nil
	}
	return i.files
}

// remove forgets a socket of which a duplicate is in use.
func (i *Inherited) remove(n int) {
	_ = i.files[n].Close()
	i.files = append(i.files[:n:n], i.files[n+1:]...)
}

func isPackets(file *os.File) bool {
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// sameAddress reports whether a socket is bound to a configured address. One for all interfaces
// does not count as one for a single address, which may be a loopback address on purpose.
func sameAddress(bound net.Addr, configured string) bool {
	boundHost, boundPort, err := net.SplitHostPort(bound.String())
	if err != nil {
		return false // a Unix socket
	}
	host, port, err := net.SplitHostPort(configured)
	if err != nil || port != boundPort || port == "0" {
		return false
	}
	a, b := net.ParseIP(boundHost), net.ParseIP(host)
	all := host == "" || b != nil && b.IsUnspecified()
	return all && a.IsUnspecified() || a != nil && a.Equal(b)
}
