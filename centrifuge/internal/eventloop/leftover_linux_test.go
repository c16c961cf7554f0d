//go:build linux

package eventloop

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
)

// TestVerifiedReleases: the fields are touched only with a release on the list, and only
// if they are there.
func TestVerifiedReleases(t *testing.T) {
	type noField struct{ rawInput bytes.Buffer }
	type otherType struct {
		rawInput bytes.Buffer
		hand     *bytes.Buffer
	}
	type promoted struct{ noField }
	type both struct {
		_        int64
		rawInput bytes.Buffer
		hand     bytes.Buffer
	}
	_ = []any{noField{}.rawInput, otherType{}.rawInput, otherType{}.hand, promoted{}.rawInput, both{}.rawInput, both{}.hand}
	good := reflect.TypeFor[both]()
	for _, test := range []struct {
		version string
		conn    reflect.Type
		want    bool
	}{
		{"go1.26", good, true},
		{"go1.26.8", good, true},
		{"go1.26.12", good, true},
		{"go1.26", reflect.TypeFor[tls.Conn](), true},
		{"go1.26", reflect.TypeFor[noField](), false},
		{"go1.26", reflect.TypeFor[otherType](), false},
		{"go1.26", reflect.TypeFor[promoted](), false},
		{"go1.25.3", good, false},
		{"go1.27", good, false},
		{"go1.260", good, false},
		{"go2.26", good, false},
		{"go1.26rc1", good, false},
		{"go1.26.8 X:nodwarf5", good, false},
		{"go1.26.8-vendor", good, false},
		{"devel go1.26-0123456789 Thu Nov 26 00:00:00 2026 +0000", good, false},
		{"", good, false},
	} {
		got := findLeftovers(test.version, test.conn)
		if got.verified != test.want {
			t.Errorf("findLeftovers(%q, %v).verified = %v; want %v", test.version, test.conn, got.verified, test.want)
		}
		if test.conn == good && got.verified && (got.records != 8 || got.handshake != 8+reflect.TypeFor[bytes.Buffer]().Size()) {
			t.Errorf("findLeftovers(%q, %v) = %+v; want the offsets of the fields", test.version, test.conn, got)
		}
	}
}

// TestReleaseOfModuleIsVerified: go.mod moves to a new release only together with the
// list.
func TestReleaseOfModuleIsVerified(t *testing.T) {
	text, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindSubmatch(text)
	if m == nil {
		t.Fatal("go.mod has no go directive; want one")
	}
	if version := "go" + string(m[1]); !findLeftovers(version, reflect.TypeFor[tls.Conn]()).verified {
		t.Errorf("%s of go.mod is not in verifiedReleases, or its tls.Conn has other fields; want it verified: leftover_linux.go says how to add it", version)
	}
}

// verified skips a test of leftovers where they are not touched.
func verified(t *testing.T) {
	t.Helper()
	if KeepsTLSBuffers() {
		t.Skip("this Go release is not verified; leftover_linux.go says how to add it")
	}
}

// watched is a polled TLS connection whose buffers a test can look at: its own poller
// serves a second connection, which runs look after it has finished with the first.
type watched struct {
	*recorder
	t      *testing.T
	server *tls.Conn
	other  peer
	found  chan [2]kept
}

// kept is what a buffer holds at one moment.
type kept struct {
	content  string
	capacity int
}

func keptBy(b *bytes.Buffer) kept { return kept{b.String(), b.Cap()} }

// watch adds server to a loop with one poller.
func watch(t *testing.T, server net.Conn) *watched {
	t.Helper()
	w := &watched{recorder: newRecorder(), t: t, server: server.(*tls.Conn), found: make(chan [2]kept, 1)}
	l := newLoop(t, Config{Pollers: 1})
	other := newRecorder()
	other.hook = func(b []byte) (int, bool) {
		w.found <- w.buffers()
		return len(b), true
	}
	w.other = connect(t, l, plain, other)
	start(t, other, "")
	var err error
	if w.socket, err = l.Add(server, w.recorder); err != nil {
		t.Fatal(err)
	}
	start(t, w.recorder, "")
	return w
}

func (w *watched) buffers() [2]kept {
	return [2]kept{keptBy(bufferAt(w.server, tlsLeftovers.records)), keptBy(bufferAt(w.server, tlsLeftovers.handshake))}
}

// look returns the buffers after the poller has read what was sent before. The kernel may
// report the second connection first, so it asks until want is satisfied.
func (w *watched) look(what string, want func(records, handshake kept) bool) {
	w.t.Helper()
	var found [2]kept
	for end := time.Now().Add(waitLimit); time.Now().Before(end); {
		send(w.t, w.other, "x")
		if found = await.Receive(w.t, w.found, "other event"); want(found[0], found[1]) {
			return
		}
	}
	w.t.Errorf("%s: the record buffer has %d of %d bytes, the handshake buffer %d of %d", what,
		len(found[0].content), found[0].capacity, len(found[1].content), found[1].capacity)
}

func (w *watched) wantFreed(what string) {
	w.t.Helper()
	w.look(what, func(records, handshake kept) bool {
		return records.content == "" && records.capacity <= keptRecord && handshake.capacity == 0
	})
}

// TestLeftovers: the fields are the buffers that they are taken for, and an idle
// connection keeps neither.
func TestLeftovers(t *testing.T) {
	verified(t)
	for name, adapt := range map[string]func(server, client *tls.Config){
		"1.3": func(server, _ *tls.Config) { server.MinVersion = tls.VersionTLS13 },
		"1.2": func(_, client *tls.Config) { client.MaxVersion = tls.VersionTLS12 },
	} {
		t.Run(name, func(t *testing.T) {
			s, c := pair(t)
			server, client := securePair(t, s, c, adapt)
			for i, b := range []*bytes.Buffer{
				bufferAt(server.(*tls.Conn), tlsLeftovers.records), bufferAt(server.(*tls.Conn), tlsLeftovers.handshake),
			} {
				if b.Cap() == 0 {
					t.Fatalf("buffer %d has no memory after a handshake; want the buffer of the connection", i)
				}
			}
			w := watch(t, server)
			w.wantFreed("after the handshake")
			long := strings.Repeat("0123456789", 3000)
			send(t, client, long)
			w.expect(t, long)
			w.wantFreed("after two records")
			send(t, client, "pong")
			w.expect(t, "pong")
		})
	}
}

// TestLeftoversOfUnverified: a release that is not on the list keeps its buffers.
func TestLeftoversOfUnverified(t *testing.T) {
	verified(t)
	server, _ := secure.pair(t)
	c := server.(*tls.Conn)
	records, handshake := bufferAt(c, tlsLeftovers.records), bufferAt(c, tlsLeftovers.handshake)
	before := [2]int{records.Cap(), handshake.Cap()}
	leftovers{records: tlsLeftovers.records, handshake: tlsLeftovers.handshake}.drop(c)
	if after := [2]int{records.Cap(), handshake.Cap()}; after != before || before[0] == 0 {
		t.Errorf("capacities %v after drop; want %v", after, before)
	}
}

// TestPartialRecordIsKept: the record buffer holds the bytes of an unfinished record and
// is not freed while it does.
func TestPartialRecordIsKept(t *testing.T) {
	verified(t)
	var w *watched
	client, out, _ := sealingWith(t, func(server net.Conn) { w = watch(t, server) })
	text := strings.Repeat("a long text ", 1000)
	message := out.seal(recordApplication, text)
	for _, n := range []int{3, 5, 2000, len(message) - 1} { // within the header, behind it, within the record
		send(t, client, message[:n])
		w.look("partial record", func(records, _ kept) bool { return records.content == message[:n] })
		send(t, client, message[n:])
		w.expect(t, text)
		w.wantFreed("after the record")
		message = out.seal(recordApplication, text)
	}
}

// TestPartialHandshakeMessageIsKept: the handshake buffer holds the bytes of an unfinished
// message and is not freed while it does.
func TestPartialHandshakeMessageIsKept(t *testing.T) {
	verified(t)
	var w *watched
	client, out, in := sealingWith(t, func(server net.Conn) { w = watch(t, server) })
	for n := 1; n < len(keyUpdate); n++ {
		send(t, client, out.seal(recordHandshake, keyUpdate[:n]))
		w.look("partial message", func(records, handshake kept) bool {
			return records.content == "" && handshake.content == keyUpdate[:n]
		})
		send(t, client, out.seal(recordHandshake, keyUpdate[n:]))
		out.update()
		if kind, payload := in.open(client); kind != recordHandshake || payload != keyUpdated {
			t.Fatalf("record of kind %d with %q; want a key update", kind, payload)
		}
		in.update()
		w.wantFreed("after the key update")
		send(t, client, out.seal(recordApplication, "text"))
		w.expect(t, "text")
	}
}

// TestRenegotiationIsRefused: a TLS 1.2 client that starts another handshake, in two
// records, is disconnected with an alert.
func TestRenegotiationIsRefused(t *testing.T) {
	s, c := pair(t)
	recorded := &recording{TCPConn: c}
	var log strings.Builder
	server, _ := securePair(t, s, recorded, func(_, client *tls.Config) {
		client.MaxVersion, client.KeyLogWriter = tls.VersionTLS12, &log
		client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	})
	w := watch(t, server)
	seal := sealer12(t, log.String(), recorded.read.Bytes())
	send(t, c, seal(recordApplication, "text"))
	w.expect(t, "text")
	hello := "\x01\x00\x00\x29\x03\x03" + strings.Repeat("r", 32) + "\x00" + "\x00\x02\xc0\x2b" + "\x01\x00"
	send(t, c, seal(recordHandshake, hello[:10]))
	if !KeepsTLSBuffers() {
		w.look("half of a hello", func(_, handshake kept) bool { return handshake.content == hello[:10] })
	}
	send(t, c, seal(recordHandshake, hello[10:]))
	if err := await.Receive(t, w.closed, "end"); !isTLS(err) {
		t.Errorf("closed with %v; want an error of TLS", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(waitLimit))
	if rest, err := io.ReadAll(c); err != nil || len(rest) == 0 || rest[0] != recordAlert {
		t.Errorf("ReadAll = %x, %v; want an alert and the end", rest, err)
	}
}

const recordAlert = 21

// recording keeps a copy of what is read.
type recording struct {
	*net.TCPConn
	read bytes.Buffer
}

func (r *recording) Read(b []byte) (int, error) {
	n, err := r.TCPConn.Read(b)
	r.read.Write(b[:n])
	return n, err
}

// sealer12 returns a function that seals records as the client of a TLS 1.2 connection
// with AES-128-GCM (RFC 5246 5, 6.3; RFC 5288 3). log is its key log, stream what the
// server has sent.
func sealer12(t *testing.T, log string, stream []byte) func(kind byte, payload string) string {
	t.Helper()
	line := strings.Fields(log) // CLIENT_RANDOM, random, master secret
	if len(line) != 3 || len(stream) < 43 || stream[5] != 2 {
		t.Fatalf("key log %q, stream of %d bytes; want one line and a server hello", log, len(stream))
	}
	clientRandom, err := hex.DecodeString(line[1])
	if err != nil {
		t.Fatal(err)
	}
	master, err := hex.DecodeString(line[2])
	if err != nil {
		t.Fatal(err)
	}
	seed := append([]byte("key expansion"), stream[11:43]...)
	seed = append(seed, clientRandom...)
	keys := prf12(master, seed, 40)
	block, err := aes.NewCipher(keys[:16])
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	iv, seq := keys[32:36], uint64(0)
	return func(kind byte, payload string) string {
		seq++ // the Finished message was 0
		explicit := binary.BigEndian.AppendUint64(nil, seq)
		additional := append(bytes.Clone(explicit), kind, 3, 3, byte(len(payload)>>8), byte(len(payload)))
		nonce := append(bytes.Clone(iv), explicit...)
		size := len(explicit) + len(payload) + aead.Overhead()
		record := append([]byte{kind, 3, 3, byte(size >> 8), byte(size)}, explicit...)
		return string(aead.Seal(record, nonce, []byte(payload), additional))
	}
}

// prf12 is the pseudorandom function of TLS 1.2 (RFC 5246 5).
func prf12(secret, seed []byte, n int) []byte {
	hash := func(b ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, part := range b {
			h.Write(part)
		}
		return h.Sum(nil)
	}
	var out []byte
	for a := hash(seed); len(out) < n; a = hash(a) {
		out = append(out, hash(a, seed)...)
	}
	return out[:n]
}
