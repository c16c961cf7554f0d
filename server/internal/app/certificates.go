package app

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/server/internal/config"
)

// certificates holds the TLS configuration of a listener. It follows changes of the
// files, because certificates are renewed on disk while the server runs.
type certificates struct {
	// Static after construction.
	log *slog.Logger

	current atomic.Pointer[tls.Config]

	// Guarded by mu.
	mu      sync.Mutex
	section config.TLS
	digest  [sha256.Size]byte // of the files that current was made from
	failed  string            // error of the last attempt; it is logged once
}

// newCertificates returns nil if TLS is off.
func newCertificates(section config.TLS, log *slog.Logger) (*certificates, error) {
	if !section.Enabled {
		return nil, nil //nolint:nilnil // no TLS is not an error
	}
	c := &certificates{log: log}
	return c, c.replace(section)
}

// serverConfig returns the configuration of a listener. Each handshake uses the
// certificates that are current then.
func (c *certificates) serverConfig() *tls.Config {
	t := c.current.Load().Clone()
	t.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil }
	return t
}

// replace applies another section, or the same one with the present content of its
// files. If it returns an error, the old configuration remains in use.
func (c *certificates) replace(section config.TLS) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.replaceLocked(section)
}

func (c *certificates) replaceLocked(section config.TLS) error {
	digest, err := digestOf(section)
	if err != nil {
		return err
	}
	if c.current.Load() != nil && digest == c.digest {
		c.section = section
		return nil
	}
	t, err := serverTLS(section)
	if err != nil {
		return err
	}
	if c.current.Swap(t) != nil {
		c.log.Info("TLS certificate replaced", "not_after", c.end().UTC().Format(time.RFC3339))
	}
	c.section, c.digest = section, digest
	return nil
}

// refresh reads the files again. It logs an error once.
func (c *certificates) refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.replaceLocked(c.section)
	switch {
	case err == nil:
		c.failed = ""
	case err.Error() != c.failed:
		c.failed = err.Error()
		c.log.Error("TLS certificate not replaced, the old one stays in use", "error", err)
	}
}

// watchCertificates refreshes the certificates of the servers until ctx is done.
func (a *App) watchCertificates(ctx context.Context, servers []*server) {
	ticker := time.NewTicker(a.timeouts.certificates)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			refreshAll(servers)
		}
	}
}

func refreshAll(servers []*server) {
	for _, s := range servers {
		if s.certificates != nil {
			s.certificates.refresh()
		}
	}
}

// end returns when the present certificate ends.
func (c *certificates) end() time.Time { return c.current.Load().Certificates[0].Leaf.NotAfter }

// digestOf returns a digest of the certificates and keys of a section.
func digestOf(section config.TLS) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	for _, part := range []struct {
		key string
		pem config.PEM
	}{{"cert_pem", section.CertPEM}, {"key_pem", section.KeyPEM}, {"client_ca_pem", section.ClientCAPEM}} {
		raw, err := part.pem.Bytes()
		if err != nil {
			return sum, fmt.Errorf("tls.%s: %w", part.key, err)
		}
		_ = binary.Write(h, binary.BigEndian, uint64(len(raw))) // never fails for a hash
		_, _ = h.Write(raw)
	}
	h.Sum(sum[:0])
	return sum, nil
}

// externalTLS returns the section that applies to the external listener.
func externalTLS(c *config.Config) config.TLS { return c.HTTPServer.TLS }

// internalTLS returns the section that applies to the internal listener.
func internalTLS(c *config.Config) config.TLS {
	switch {
	case c.HTTPServer.InternalTLS.Enabled:
		return c.HTTPServer.InternalTLS
	case c.HTTPServer.TLSExternal:
		return config.TLS{}
	}
	return c.HTTPServer.TLS
}

// serverTLS returns nil if TLS is off.
func serverTLS(c config.TLS) (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil //nolint:nilnil // no TLS is not an error
	}
	cert, err := c.CertPEM.Bytes()
	if err != nil {
		return nil, fmt.Errorf("tls.cert_pem: %w", err)
	}
	key, err := c.KeyPEM.Bytes()
	if err != nil {
		return nil, fmt.Errorf("tls.key_pem: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
		NextProtos: []string{"h2", "http/1.1"}, // HTTP/2 by ALPN (server.md 6.5)
	}
	if c.ClientCAPEM != "" {
		ca, err := c.ClientCAPEM.Bytes()
		if err != nil {
			return nil, fmt.Errorf("tls.client_ca_pem: %w", err)
		}
		t.ClientCAs = x509.NewCertPool()
		if !t.ClientCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("tls.client_ca_pem: no certificate in it")
		}
		t.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return t, nil
}
