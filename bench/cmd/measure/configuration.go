//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"time"
)

// settings are a part of the server's configuration.
type settings = map[string]any

// configuration of the server: defaults, with what the load needs to get in.
var configuration = settings{
	"client":   settings{"allow_anonymous_connect_without_token": true},
	"channel":  settings{"without_namespace": open},
	"http_api": settings{"insecure": true},
	"health":   settings{"enabled": true},
}

// open lets everybody subscribe.
var open = settings{"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true}

// positioned makes every subscription to a channel hist:... recoverable.
var positioned = settings{"channel": settings{"namespaces": []settings{
	merge(open, settings{"name": "hist", "history_size": 100, "history_ttl": "60s", "force_recovery": true}),
}}}

// merge returns a with the values of b put in.
func merge(a, b settings) settings {
	c := maps.Clone(a)
	if c == nil {
		c = settings{}
	}
	for name, value := range b {
		inner, ok1 := c[name].(settings)
		over, ok2 := value.(settings)
		if ok1 && ok2 {
			c[name] = merge(inner, over)
			continue
		}
		c[name] = value
	}
	return c
}

// newCertificate makes a self-signed certificate, as a part of the configuration.
func newCertificate() (settings, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return settings{"http_server": settings{"tls": settings{
		"enabled": true, "cert_pem": text("CERTIFICATE", cert), "key_pem": text("EC PRIVATE KEY", private),
	}}}, nil
}
