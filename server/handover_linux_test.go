package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/redistest"
	"centrifugo/internal/testprocess"
	"centrifugo/server/internal/app/apptest"
)

// supervisor stands for systemd: it has a socket for notifications.
type supervisor struct {
	path string

	// Guarded by mu.
	mu     sync.Mutex
	states []string
}

func newSupervisor(t *testing.T) *supervisor {
	t.Helper()
	s := &supervisor{path: filepath.Join(t.TempDir(), "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	t.Cleanup(func() {
		_ = conn.Close()
		reader.Wait()
	})
	reader.Go(func() {
		for buffer := make([]byte, 4096); ; {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.states = append(s.states, string(buffer[:n]))
			s.mu.Unlock()
		}
	})
	return s
}

// count returns how many notifications begin with a state.
func (s *supervisor) count(state string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, got := range s.states {
		if strings.HasPrefix(got, state) {
			n++
		}
	}
	return n
}

// launch starts the server as systemd does, with listeners if there are any, and waits until
// it is ready.
func (s *supervisor) launch(t *testing.T, configuration, environment string, files ...*os.File) *process {
	t.Helper()
	ready := s.count("READY=1")
	// The shell knows the number of the process, which LISTEN_PID must have.
	cmd := exec.Command("sh", "-c", fmt.Sprintf("NOTIFY_SOCKET=%s LISTEN_PID=$$ LISTEN_FDS=%d %s exec %s", s.path, len(files), environment, binary))
	cmd.ExtraFiles = files
	p := launchCommand(t, configuration, cmd)
	p.awaitAddress(p.path("stderr"))
	await.Until(t, "READY=1", func() bool { return s.count("READY=1") > ready })
	return p
}

// listenOn opens a listener and returns its file, as systemd would pass it.
func listenOn(t *testing.T, network, address string) (*os.File, net.Addr) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	_ = l.Close()
	t.Cleanup(func() { _ = file.Close() })
	return file, l.Addr()
}

// Sockets from systemd are used by address, or by name, which may be Unix sockets; one that
// fits no listener is named in the log.
func TestSocketActivation(t *testing.T) {
	s := newSupervisor(t)
	byAddress, address := listenOn(t, "tcp", "127.0.0.1:0")
	unix := filepath.Join(t.TempDir(), "internal")
	byName, _ := listenOn(t, "unix", unix)
	useless, _ := listenOn(t, "tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(address.String())
	p := s.launch(t, fmt.Sprintf(`{"client": {"allow_anonymous_connect_without_token": true}, "health": {"enabled": true},
		"http_server": {"address": "127.0.0.1", "port": %s, "internal_port": 1}}`, port), "LISTEN_FDNAMES=a:internal:useless", byAddress, byName, useless)
	p.address = address.String()
	p.connect(t)
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", unix) }}}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://unix/health")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("health over the Unix socket: %v, %v; want 200", response, err)
	}
	_ = response.Body.Close()
	if log := p.output(); !strings.Contains(log, "socket useless from systemd has neither") {
		t.Errorf("the log does not name the socket without use; want it in: %s", log)
	}
}

// systemd is told of a reload, of the watchdog, and of the end.
func TestNotifications(t *testing.T) {
	s := newSupervisor(t)
	p := s.launch(t, `{"http_server": {"address": "127.0.0.1", "port": 0}}`, "WATCHDOG_USEC=200000")
	await.Until(t, "WATCHDOG=1", func() bool { return s.count("WATCHDOG=1") > 1 })
	p.signal(syscall.SIGHUP)
	await.Until(t, "RELOADING=1 and READY=1", func() bool { return s.count("RELOADING=1\nMONOTONIC_USEC=") == 1 && s.count("READY=1") == 2 })
	p.signal(syscall.SIGTERM)
	if code := p.exitCode(); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
	await.Until(t, "STOPPING=1", func() bool { return s.count("STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000") == 1 })
}

// TestHandover: a new process takes over the port of an old one, which then releases its
// clients. They lose nothing, and no client that connects meanwhile is refused.
func TestHandover(t *testing.T) {
	for name, inherit := range map[string]bool{"reuse_port": false, "sockets from systemd": true} {
		t.Run(name, func(t *testing.T) { handOver(t, inherit) })
	}
}

func handOver(t *testing.T, inherit bool) {
	redis := redistest.Start(t)
	s := newSupervisor(t)
	port := testprocess.FreePort(t)
	var files []*os.File
	if inherit {
		file, address := listenOn(t, "tcp", "127.0.0.1:0")
		files, port = []*os.File{file}, address.(*net.TCPAddr).Port
	}
	settings := fmt.Sprintf(`{"client": {"insecure": true, "recovery_max_publication_limit": 100000}, "http_api": {"insecure": true},
		"http_server": {"address": "127.0.0.1", "port": %d, "reuse_port": %v}, "shutdown": {"release_rate": 50, "timeout": "60s"},
		"channel": {"without_namespace": {"history_size": 100000, "history_ttl": "10m", "force_recovery": true}}, %s}`, port, !inherit, addressOf(redis))
	old := s.launch(t, settings, "", files...)
	c := &faultCluster{t: t, nodes: []*process{old}}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	watchers := make([]*watcher, 100)
	for i := range watchers {
		watchers[i] = &watcher{addresses: c.addresses, channel: "x", stop: ctx}
		tasks.Go(watchers[i].run)
	}
	p := &publisher{cluster: c, rate: 50 * time.Millisecond}
	tasks.Go(func() { p.run(ctx) })
	var refused, tried atomic.Int64
	tasks.Go(func() {
		for ctx.Err() == nil {
			conn, err := net.DialTimeout("tcp", old.address, apptest.Timeout)
			if tried.Add(1); errors.Is(err, syscall.ECONNREFUSED) {
				refused.Add(1)
			} else if err == nil {
				_ = conn.Close()
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	awaitNumber(t, watchers, 3)

	s.launch(t, settings, "", files...)
	old.signal(syscall.SIGTERM)
	if code := old.exitCode(); code != 0 {
		t.Errorf("exit code of the old process = %d; want 0", code)
	}
	if s.count("STOPPING=1") != 1 {
		t.Errorf("STOPPING=1 was sent %d times; want 1", s.count("STOPPING=1"))
	}
	awaitNumber(t, watchers, int(p.next.Load())+2)
	cancel()
	tasks.Wait()
	sum := verdict(t, watchers)
	if n := refused.Load(); n > 0 {
		t.Errorf("%d connections were refused; want none", n)
	}
	t.Logf("%d clients, %d publications: %d lost; %d connections tried, %d refused", len(watchers), p.next.Load(), sum.lost, tried.Load(), refused.Load())
}
