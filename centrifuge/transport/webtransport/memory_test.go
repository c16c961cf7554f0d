package webtransport

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/internal/await"
	"centrifugo/internal/memtest"
	"centrifugo/protocol"

	wt "github.com/quic-go/webtransport-go"
)

// clientsVariable makes a process of this test run the clients of
// TestIdleConnectionMemory: the number of them and the address of the server.
const clientsVariable = "WEBTRANSPORT_TEST_CLIENTS"

// TestIdleConnectionMemory measures what an idle connection costs the process, QUIC and
// the node's part included. The clients are another process.
func TestIdleConnectionMemory(t *testing.T) {
	if clients := os.Getenv(clientsVariable); clients != "" {
		runClients(t, clients)
		return
	}
	const budget = 192 << 10 // bytes of heap and stacks
	connections := 500
	if testing.Short() || memtest.Race { // the race detector's own memory is not looked at
		connections = 50
	}
	n := transporttest.RunNode(t, centrifuge.Config{PingInterval: -1})
	s := serve(t, n, Config{})
	before, goroutines := used(), runtime.NumGoroutine()
	clients := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$") //nolint:gosec // this program
	clients.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", clientsVariable, connections, s.address))
	end, err := clients.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output := new(strings.Builder)
	clients.Stdout, clients.Stderr = output, output
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = end.Close()
		if err := clients.Wait(); err != nil {
			t.Errorf("the clients: %v\n%s", err, output)
		}
	}()
	await.Until(t, "all connections are there", func() bool { return n.NumClients() == connections })
	each := (used() - before) / connections
	t.Logf("%d idle connections: %d bytes of heap and stacks each, %.1f goroutines each",
		connections, each, float64(runtime.NumGoroutine()-goroutines)/float64(connections))
	if each > budget && !memtest.Race {
		t.Errorf("%d bytes each; want at most %d", each, budget)
	}
}

// used returns the bytes of heap and stacks in use.
func used() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse) //nolint:gosec // far below 2^63
}

// runClients connects clients and keeps them until the input ends.
func runClients(t *testing.T, asked string) {
	var number int
	var address string
	if _, err := fmt.Sscan(asked, &number, &address); err != nil {
		t.Fatal(err)
	}
	for range number {
		client := &wt.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the test's own server
		ctx, cancel := context.WithTimeout(t.Context(), transporttest.WaitLimit)
		_, session, err := client.Dial(ctx, "https://"+address+path, nil)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = session.CloseWithError(0, "") }()
		stream, err := session.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(stream, `{"id":1,"connect":{}}`+"\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stream).ReadString('\n'); !strings.HasPrefix(line, `{"id":1,"connect":{`) {
			t.Fatalf("received %q, %v; want a connect result", line, err)
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestAllocations: joining messages and reading commands allocate nothing.
func TestAllocations(t *testing.T) {
	if memtest.Race {
		t.Skip("the race detector allocates")
	}
	batch := []*protocol.Encoded{{Bytes: []byte(`{"push":{}}`)}, {Bytes: []byte(`{}`)}}
	for _, protobuf := range []bool{false, true} {
		f := framing{protobuf: protobuf}
		out := make([]byte, 0, 1<<10)
		if got := testing.AllocsPerRun(100, func() { out = f.appendBatch(out[:0], batch) }); got != 0 {
			t.Errorf("appendBatch allocates %v times; want 0", got)
		}
		in := incoming{framing: f}
		in.free(100)
		if got := testing.AllocsPerRun(100, func() {
			messages, err := in.received(copy(in.free(100), out), 100)
			if len(messages) != len(out) || err != nil {
				t.Fatalf("received %d bytes, %v; want %d", len(messages), err, len(out))
			}
			in.consume(len(messages))
		}); got != 0 {
			t.Errorf("reading allocates %v times; want 0", got)
		}
	}
}
