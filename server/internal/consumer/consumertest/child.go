package consumertest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
	"centrifugo/internal/testprocess"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/consumer"
)

// variable of the environment holds the order of a child.
const variable = "CONSUMERTEST_CHILD"

// order says what a child does.
type order struct {
	// Config holds the options of the source.
	Config json.RawMessage
	// Stall, if not zero, is the number of the publication that does not return before the
	// child is told to stop, and the last one until then.
	Stall int
}

// Main runs a consumer, and does not return, if this process is a child of a test. It is
// called first in TestMain. The function newSource makes the source of the options that StartChild was given.
func Main[O any, S consumer.Source](newSource func(o O) (S, error)) {
	text := os.Getenv(variable)
	if text == "" {
		return
	}
	source := func(config []byte) (consumer.Source, error) {
		var o O
		if err := json.Unmarshal(config, &o); err != nil {
			return nil, fmt.Errorf("decoding the options: %w", err)
		}
		return newSource(o)
	}
	if err := run(text, source); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(text string, source func(config []byte) (consumer.Source, error)) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return fmt.Errorf("decoding the order: %w", err)
	}
	s, err := source(o.Config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c, err := New(s, &printer{stall: o.Stall, told: ctx.Done(), out: os.Stdout}, os.Stderr)
	if err != nil {
		return err
	}
	c.Run(ctx)
	return nil
}

// printer is a node that prints publications, one in a line: the time in nanoseconds,
// the channel and the data.
type printer struct {
	apitest.Node

	stall int
	told  <-chan struct{}

	mu      sync.Mutex
	out     io.Writer
	printed int
}

// pauseLocked waits, once the number is reached, until the child is told to stop.
func (p *printer) pauseLocked() {
	if p.stall == 0 || p.printed < p.stall {
		return
	}
	p.mu.Unlock()
	<-p.told
	p.mu.Lock()
}

// Publish implements api.Node.
func (p *printer) Publish(_ context.Context, channel string, data []byte, _ centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pauseLocked()
	_, err := fmt.Fprintf(p.out, "%d %s %s\n", time.Now().UnixNano(), channel, data)
	p.printed++
	p.pauseLocked()
	return centrifuge.PublishResult{}, err
}

// Publication is one that a child has printed.
type Publication struct {
	Time    int64 // nanoseconds
	Channel string
	Number  int
}

// Child is a process that runs a consumer.
type Child struct {
	t     testing.TB
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended and all of its output is read

	mu           sync.Mutex
	publications []Publication
	broken       []string // lines that are none
	log          strings.Builder
}

// StartChild starts a process of the test's program with a source of config. It is killed
// when the test ends.
func StartChild(t testing.TB, config any, stall int) *Child {
	t.Helper()
	encoded, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(order{encoded, stall})
	if err != nil {
		t.Fatal(err)
	}
	c := &Child{t: t, ended: make(chan struct{})}
	c.cmd = exec.CommandContext(context.Background(), os.Args[0]) //nolint:gosec // this program
	c.cmd.Env = append(os.Environ(), variable+"="+string(text))
	c.cmd.Stderr = &c.log
	testprocess.EndWithTest(c.cmd)
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("starting a child: %v", err)
	}
	go func() {
		defer close(c.ended)
		c.read(out)
		_ = c.cmd.Wait()
	}()
	t.Cleanup(c.Kill)
	return c
}

func (c *Child) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p, err := parse(lines.Text())
		c.mu.Lock()
		if err != nil {
			c.broken = append(c.broken, lines.Text())
		} else {
			c.publications = append(c.publications, p)
		}
		c.mu.Unlock()
	}
}

func parse(line string) (p Publication, err error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return p, fmt.Errorf("%d fields", len(fields))
	}
	if p.Time, err = strconv.ParseInt(fields[0], 10, 64); err != nil {
		return p, err
	}
	p.Channel = fields[1]
	p.Number, err = strconv.Atoi(fields[2])
	return p, err
}

// Publications returns what the child has published so far.
func (c *Child) Publications() []Publication {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Publication(nil), c.publications...)
}

// Printed waits until the child has published a number of times.
func (c *Child) Printed(number int) {
	c.t.Helper()
	if !await.Reached(func() bool { return len(c.Publications()) >= number || c.hasEnded() }) || len(c.Publications()) < number {
		c.Kill()
		c.t.Fatalf("the child published %d times; want %d: %s", len(c.Publications()), number, c.Log())
	}
}

func (c *Child) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// Kill ends the child as kill -9 does, and reads the rest of its output.
func (c *Child) Kill() {
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// Stop tells the child to stop and waits for it. It fails the test unless the child ended
// without an error.
func (c *Child) Stop() {
	c.t.Helper()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(await.Limit):
		c.Kill()
		c.t.Fatalf("the child does not stop")
	}
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		c.t.Fatalf("exit code of the child = %d; want 0: %s", code, c.Log())
	}
}

// Log returns what an ended child has written to standard error, and lines that it should not
// have printed.
func (c *Child) Log() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String() + strings.Join(c.broken, "\n")
}
