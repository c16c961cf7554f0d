package eventloop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"centrifugo/internal/await"
)

// certificate is self-signed; clients do not verify it.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// securePair makes TLS of both ends of a connection. adapt changes the
// settings, where it is not nil.
func securePair(t testing.TB, s, c net.Conn, adapt func(server, client *tls.Config)) (server net.Conn, client peer) {
	t.Helper()
	serverConfig := &tls.Config{Certificates: []tls.Certificate{certificate()}, MinVersion: tls.VersionTLS12}
	clientConfig := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // its own server
	if adapt != nil {
		adapt(serverConfig, clientConfig)
	}
	accepted := tls.Server(Beneath(s), serverConfig)
	failed := make(chan error, 1)
	go func() { failed <- accepted.HandshakeContext(t.Context()) }()
	dialed := tls.Client(c, clientConfig)
	if err := dialed.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := await.Receive(t, failed, "handshake"); err != nil {
		t.Fatal(err)
	}
	return accepted, dialed
}
