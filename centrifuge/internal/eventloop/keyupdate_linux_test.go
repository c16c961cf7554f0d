//go:build linux

package eventloop

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
)

// Go's client cannot ask for new keys, so that this one seals its own records
// (RFC 8446 5, 7.2, 7.3), with TLS_AES_128_GCM_SHA256.

const (
	recordHandshake   = 22
	recordApplication = 23
	// keyUpdate is a handshake message that asks for one in return.
	keyUpdate = "\x18\x00\x00\x01\x01"
	// keyUpdated is the return.
	keyUpdated = "\x18\x00\x00\x01\x00"
)

// direction of a connection: its keys.
type direction struct {
	t      testing.TB
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func expandLabel(t testing.TB, secret []byte, label string, length int) []byte {
	t.Helper()
	label = "tls13 " + label
	info := append(binary.BigEndian.AppendUint16(nil, uint16(length)), byte(len(label)))
	key, err := hkdf.Expand(sha256.New, secret, string(info)+label+"\x00", length)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newDirection(t testing.TB, secret []byte) *direction {
	t.Helper()
	block, err := aes.NewCipher(expandLabel(t, secret, "key", 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return &direction{t: t, secret: secret, aead: aead, iv: expandLabel(t, secret, "iv", 12)}
}

func (d *direction) update() { *d = *newDirection(d.t, expandLabel(d.t, d.secret, "traffic upd", 32)) }

func (d *direction) nonce() []byte {
	nonce := bytes.Clone(d.iv)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^d.seq)
	d.seq++
	return nonce
}

func (d *direction) seal(kind byte, payload string) string {
	size := len(payload) + 1 + d.aead.Overhead()
	header := []byte{recordApplication, 3, 3, byte(size >> 8), byte(size)}
	return string(d.aead.Seal(header, d.nonce(), append([]byte(payload), kind), header))
}

// open reads a record from r.
func (d *direction) open(r io.Reader) (kind byte, payload string) {
	d.t.Helper()
	header := make([]byte, 5)
	if _, err := io.ReadFull(r, header); err != nil {
		d.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(r, body); err != nil {
		d.t.Fatal(err)
	}
	plain, err := d.aead.Open(nil, d.nonce(), body, header)
	if err != nil {
		d.t.Fatal(err)
	}
	return plain[len(plain)-1], string(plain[:len(plain)-1])
}

// sealing connects a client that seals its own records to r.
func sealing(t *testing.T, r *recorder) (tcp net.Conn, out, in *direction) {
	t.Helper()
	return sealingWith(t, func(server net.Conn) {
		var err error
		if r.socket, err = newLoop(t, Config{}).Add(server, r); err != nil {
			t.Fatal(err)
		}
		start(t, r, "")
	})
}

// sealingWith connects a client that seals its own records to a server that add puts
// into a loop.
func sealingWith(t *testing.T, add func(server net.Conn)) (tcp net.Conn, out, in *direction) {
	t.Helper()
	s, c := pair(t)
	var log strings.Builder
	server, client := securePair(t, s, c, func(server, client *tls.Config) {
		server.SessionTicketsDisabled = true // they would be records too
		client.KeyLogWriter = &log
	})
	if suite := client.(*tls.Conn).ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("cipher suite is %s", tls.CipherSuiteName(suite))
	}
	add(server)
	secrets := map[string]*direction{}
	for line := range strings.Lines(log.String()) {
		f := strings.Fields(line)
		secret, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f[0], "_TRAFFIC_SECRET_0") {
			secrets[f[0]] = newDirection(t, secret)
		}
	}
	_ = c.SetDeadline(time.Now().Add(waitLimit))
	return c, secrets["CLIENT_TRAFFIC_SECRET_0"], secrets["SERVER_TRAFFIC_SECRET_0"]
}

// The peer may change its keys and ask for new ones, in pieces of any size.
func TestKeyUpdate(t *testing.T) {
	for name, piece := range map[string]int{"whole": 1 << 20, "bytes": 1} {
		t.Run(name, func(t *testing.T) {
			r := newRecorder()
			client, out, in := sealing(t, r)
			for _, text := range []string{"first", "second", "third"} {
				message := out.seal(recordApplication, text) + out.seal(recordHandshake, keyUpdate[:2]) + out.seal(recordHandshake, keyUpdate[2:])
				out.update()
				message += out.seal(recordApplication, "/"+text)
				for len(message) > 0 {
					n := min(piece, len(message))
					send(t, client, message[:n])
					message = message[n:]
				}
				r.expect(t, text+"/"+text)
				if n, err := r.socket.Write([]byte(text)); n != len(text) || err != nil {
					t.Fatalf("Write: %d, %v; want %v", n, err, len(text))
				}
				if kind, payload := in.open(client); kind != recordHandshake || payload != keyUpdated {
					t.Fatalf("record %d %q is not a key update; want %v and %v", kind, payload, recordHandshake, keyUpdated)
				}
				in.update()
				if kind, payload := in.open(client); kind != recordApplication || payload != text {
					t.Fatalf("record %d %q, want %q", kind, payload, text)
				}
			}
		})
	}
}

// A peer that asks for keys and reads nothing gets no memory for it: when a
// record and its answers are as much as is kept, the connection ends.
func TestKeyUpdateFlood(t *testing.T) {
	r := newRecorder()
	r.hook = func(b []byte) (int, bool) { return 0, true } // "x" is not kept
	client, out, _ := sealing(t, r)
	s := r.socket.(*secureSocket)
	chunk := make([]byte, 64<<10)
	n := len(chunk)
	var err error
	for n == len(chunk) {
		if n, err = s.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	const answer = 5 + 5 + 1 + 16 // bytes
	for range 2 * maxSealed / answer {
		message := out.seal(recordApplication, "x") + out.seal(recordHandshake, keyUpdate)
		out.update()
		if _, err := io.WriteString(client, message); err != nil {
			break // it has ended already
		}
		for len(r.data) > 0 {
			<-r.data
		}
	}
	if err := await.Receive(t, r.closed, "end"); isEOF(err) {
		t.Fatalf("closed with %v; want no end of the stream", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sealed) < maxSealed-100 || len(s.sealed) > maxSealed {
		t.Fatalf("%d bytes were kept, want nearly %d", len(s.sealed), maxSealed)
	}
}
