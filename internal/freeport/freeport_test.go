package freeport

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// asOther makes this test binary a process that reserves ports from a given pair on, until
// its input ends.
const asOther = "FREEPORT_OTHER"

const ports = 50

func TestMain(m *testing.M) {
	var from uint32
	if _, err := fmt.Sscan(os.Getenv(asOther), &from); err != nil {
		os.Exit(m.Run())
	}
	next.Store(from)
	for range ports {
		port, _, err := Reserve()
		fmt.Println(port, err)
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// Processes that look for ports in the same place get different ones, on which they can listen.
func TestReserve(t *testing.T) {
	from := next.Load()
	seen := map[string]bool{}
	for range 2 {
		other := exec.Command(os.Args[0])
		other.Env = append(os.Environ(), fmt.Sprintf("%s=%d", asOther, from))
		input, err := other.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		output, err := other.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = input.Close()
			_ = other.Wait()
		})
		for range ports {
			var port, result string
			if _, err := fmt.Fscan(output, &port, &result); err != nil {
				t.Fatal(err)
			}
			seen[port+" "+result] = true
		}
	}
	for range ports {
		port, release, err := Reserve()
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		seen[fmt.Sprint(port, " ", err)] = true
		l, err := net.Listen("tcp", address(port))
		if err != nil {
			t.Fatalf("listening on a port that was reserved: %v", err)
		}
		_ = l.Close()
	}
	if len(seen) != 3*ports || strings.Contains(fmt.Sprint(seen), "no port") {
		t.Errorf("three processes have %d different answers of %d: %v", len(seen), 3*ports, seen)
	}
}

func TestIsFree(t *testing.T) {
	port, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if !isFree(port) {
		t.Error("a port that nothing uses is not free")
	}
	for network, listen := range map[string]func() (io.Closer, error){
		"TCP": func() (io.Closer, error) { return net.Listen("tcp", address(port)) },
		"UDP": func() (io.Closer, error) { return net.ListenPacket("udp", address(port)) },
	} {
		l, err := listen()
		if err != nil {
			t.Fatal(err)
		}
		if isFree(port) {
			t.Errorf("a port that is used over %s is free", network)
		}
		_ = l.Close()
	}
}

// A port that was released can be reserved again.
func TestRelease(t *testing.T) {
	for range 10 { // another process may reserve it at once
		port, release, err := Reserve()
		if err != nil {
			t.Fatal(err)
		}
		release()
		next.Store(uint32(port-first)/2 - 1 + pairs) //nolint:gosec // below pairs
		again, release, err := Reserve()
		if err != nil {
			t.Fatal(err)
		}
		release()
		if again == port {
			return
		}
	}
	t.Error("no port comes again after its release")
}
