// Package pgtest starts PostgreSQL servers for tests. They listen on free ports of the
// loopback interface and are stopped when the test that started them ends.
package pgtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"centrifugo/internal/testprocess"
)

// Server is a PostgreSQL process with a data directory of its own. Its methods are for the
// goroutine of the test.
type Server struct {
	// Static after construction.
	t       testing.TB
	dir     string
	account *account
	args    []string
	process *testprocess.Process
	refuses bool // connections without TLS
	// Port on 127.0.0.1. A restart keeps it.
	Port int
}

// Options of a server.
type Options struct {
	// Settings are those of postgresql.conf, such as "max_connections=30".
	Settings []string
	// Files are written into a directory that Settings may name as FILES, readable for the
	// server only.
	Files map[string][]byte
}

// Start starts a server that trusts every connection of the user postgres.
func Start(t testing.TB) *Server {
	t.Helper()
	return StartWith(t, Options{})
}

// StartWith starts a server with options.
func StartWith(t testing.TB, o Options) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{t: t, dir: dir, account: unprivileged(t), process: testprocess.New(t, syscall.SIGQUIT), refuses: o.Files != nil}
	s.give(dir)
	for name, content := range o.Files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		s.give(filepath.Join(dir, name))
	}
	initdb := s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	// A killed process loses nothing that the kernel has, so nothing needs to reach the disk.
	s.args = []string{"-c", "fsync=off", "-c", "unix_socket_directories=", "-c", "listen_addresses=127.0.0.1"}
	for _, setting := range o.Settings {
		s.args = append(s.args, "-c", strings.ReplaceAll(setting, "FILES", dir))
	}
	s.Port = testprocess.FreePort(t)
	s.launch()
	return s
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// give makes the account of the server own a file. The server refuses to run as root.
func (s *Server) give(name string) {
	s.t.Helper()
	if s.account == nil {
		return
	}
	if err := os.Chown(name, s.account.uid, s.account.gid); err != nil {
		s.t.Fatal(err)
	}
}

// DSN returns the connection string of the database postgres, without TLS.
func (s *Server) DSN() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.Port)
}

// Stop ends the process at once without a checkpoint, as a crash does.
func (s *Server) Stop() { s.process.End() }

// Restart starts the process again after Stop, on the same port.
func (s *Server) Restart() {
	s.t.Helper()
	s.launch()
}

// launch starts the process and waits until it answers.
func (s *Server) launch() {
	s.t.Helper()
	cmd := s.command("postgres", append([]string{"-D", s.data(), "-p", strconv.Itoa(s.Port)}, s.args...)...)
	s.process.Start(cmd)
	s.process.Await("postgres to answer", s.answers)
}

// answers reports whether the server accepts connections. A server that starts up answers
// with an error whose code begins with 57P.
func (s *Server) answers() bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)), time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	message := []byte("\x00\x00\x00\x00\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00")
	message[3] = byte(len(message)) //nolint:gosec // short
	if _, err := conn.Write(message); err != nil {
		return false
	}
	kind := make([]byte, 1)
	if _, err := conn.Read(kind); err != nil {
		return false
	}
	return kind[0] == 'R' || s.refuses // authentication, or an error that says that TLS is needed
}

// command returns a command that runs a program of PostgreSQL.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	s.t.Helper()
	cmd := exec.CommandContext(context.Background(), s.program(name), args...) //nolint:gosec // the test says what to start
	if s.account != nil {
		runAs(cmd, s.account)
	}
	testprocess.EndWithTest(cmd)
	cmd.Dir = s.dir
	return cmd
}

// program returns the path of a program. Debian has the server's outside of PATH.
func (s *Server) program(name string) string {
	s.t.Helper()
	if file, err := exec.LookPath(name); err == nil {
		return file
	}
	files, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is valid
	if len(files) == 0 {
		s.t.Fatalf("%s is not installed; internal/pgtest/setup.sh installs it", name)
	}
	return slices.Max(files)
}

// account is a user of the system other than root.
type account struct{ uid, gid int }

// unprivileged returns nil if the test does not run as root.
func unprivileged(t testing.TB) *account {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil {
			return &account{uid, gid}
		}
	}
	t.Fatal("there is no user postgres or nobody, as which the server could run")
	return nil
}
