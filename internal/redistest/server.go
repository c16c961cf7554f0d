// Package redistest starts Redis servers for tests: single ones, clusters, and groups that
// sentinels watch. They listen on free ports of the loopback interface and are stopped when
// the test that started them ends.
package redistest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"centrifugo/internal/testprocess"
)

// program is the server. It is also the sentinel.
const program = "redis-server"

// Server is a Redis process. Its methods are for the goroutine of the test.
type Server struct {
	// Static after construction.
	t       testing.TB
	dir     string
	args    []string
	process *testprocess.Process
	host    string   // where it listens
	wrapper []string // command that runs the program, if any
	// Port on the loopback interface, or on the addresses of an Apart.
	Port int
}

// Start starts a server without persistence, with more arguments of its command line.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, append([]string{"--save", "", "--appendonly", "no"}, args...)...)
}

// StartDurable starts a server that writes every command to disk before it answers, so
// that nothing is lost when it is killed.
func StartDurable(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, append([]string{"--save", "", "--appendonly", "yes", "--appendfsync", "always"}, args...)...)
}

func start(t testing.TB, args ...string) *Server {
	t.Helper()
	return prepare(t, args...).start()
}

func (s *Server) start() *Server {
	s.t.Helper()
	s.Port = testprocess.FreePort(s.t)
	if i := slices.Index(s.args, "--cluster-port"); i >= 0 {
		s.args[i+1] = strconv.Itoa(testprocess.FreePort(s.t))
	}
	s.launch()
	return s
}

// prepare makes a server that does not run yet, and has it removed when the test ends.
func prepare(t testing.TB, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is not installed; internal/redistest/setup.sh installs it: %v", program, err)
	}
	dir, err := os.MkdirTemp("", "redis") // short, since the path of a socket is limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &Server{t: t, dir: dir, args: args, host: "127.0.0.1", process: testprocess.New(t, syscall.SIGKILL)}
}

// launch starts the process and waits until it answers.
func (s *Server) launch() {
	s.t.Helper()
	args := append([]string{
		"--port", strconv.Itoa(s.Port), "--bind", s.host, "--dir", s.dir, "--daemonize", "no",
		"--unixsocket", s.Socket(), "--enable-debug-command", "yes",
	}, s.args...)
	if s.args[0] == "--sentinel" {
		args = []string{filepath.Join(s.dir, "sentinel.conf"), "--sentinel", "--port", strconv.Itoa(s.Port), "--bind", "127.0.0.1"}
	}
	command := append(append(s.wrapper[:len(s.wrapper):len(s.wrapper)], program), args...)
	s.process.Start(exec.Command(command[0], command[1:]...)) //nolint:gosec // the test says what to start
	s.process.Await("the server to answer", func() bool {
		_, err := s.try("PING")
		var answer Error
		return err == nil || errors.As(err, &answer) && answer.code() != "LOADING"
	})
}

// Address is host and port.
func (s *Server) Address() string { return net.JoinHostPort(s.host, strconv.Itoa(s.Port)) }

// Socket is the path of the server's Unix socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, "s") }

// Kill ends the process at once, as kill -9 does.
func (s *Server) Kill() { s.process.End() }

// Restart starts the process again after Kill, on the same port. What was not persisted is
// lost.
func (s *Server) Restart() {
	s.t.Helper()
	s.launch()
}

// Pause stops the process without closing its connections; Resume continues it.
func (s *Server) Pause() { s.process.Signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (s *Server) Resume() { s.process.Signal(syscall.SIGCONT) }

// Do executes a command over a connection of its own. The result is a string, an int64, a
// []any or nil.
func (s *Server) Do(args ...string) any {
	s.t.Helper()
	reply, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("redis %.200q: %v", args, err)
	}
	return reply
}

// Text is Do for commands that return a string.
func (s *Server) Text(args ...string) string {
	s.t.Helper()
	text, ok := s.Do(args...).(string)
	if !ok {
		s.t.Fatalf("redis %.200q: the result is no string; want one", args)
	}
	return text
}

// Number returns a number of INFO.
func (s *Server) Number(name string) int {
	s.t.Helper()
	text, ok := s.info(name + ":")
	n, err := strconv.Atoi(text)
	if !ok || err != nil {
		s.t.Fatalf("INFO has %q for %s; want a number", text, name)
	}
	return n
}

// Calls returns how often a command was executed, also by scripts, since the server has
// started or CONFIG RESETSTAT.
func (s *Server) Calls(command string) int {
	s.t.Helper()
	text, ok := s.info("cmdstat_" + command + ":calls=")
	if !ok {
		return 0
	}
	text, _, _ = strings.Cut(text, ",")
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatalf("INFO has %q calls of %s; want a number", text, command)
	}
	return n
}

// info returns the rest of the line of INFO that begins with prefix.
func (s *Server) info(prefix string) (rest string, ok bool) {
	s.t.Helper()
	_, rest, ok = strings.Cut("\r\n"+s.Text("INFO", "everything"), "\r\n"+prefix)
	rest, _, _ = strings.Cut(rest, "\r\n")
	return rest, ok
}

func (s *Server) try(args ...string) (any, error) { return Call(s.Address(), args...) }

// Call executes a command on any server.
func Call(address string, args ...string) (any, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	if err := writeCommand(conn, args); err != nil {
		return nil, fmt.Errorf("writing: %w", err)
	}
	return readReply(conn)
}
