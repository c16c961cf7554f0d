package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Client returns the settings of connections to other servers, nil if TLS is not enabled.
// The error names the key that cannot be used.
func (c TLS) Client() (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil //nolint:nilnil // off
	}
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: c.ServerName,
		InsecureSkipVerify: c.InsecureSkipVerify, //nolint:gosec // the operator has asked for it
	}
	ca, err := c.ServerCAPEM.Bytes()
	if err != nil {
		return nil, fmt.Errorf("server_ca_pem: %w", err)
	}
	if ca != nil {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("server_ca_pem: no certificate in it")
		}
	}
	if (c.CertPEM == "") != (c.KeyPEM == "") {
		return nil, errors.New("cert_pem and key_pem: set both or none")
	}
	if c.CertPEM == "" {
		return t, nil
	}
	cert, err := c.CertPEM.Bytes()
	if err != nil {
		return nil, fmt.Errorf("cert_pem: %w", err)
	}
	private, err := c.KeyPEM.Bytes()
	if err != nil {
		return nil, fmt.Errorf("key_pem: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, private)
	if err != nil {
		return nil, err //nolint:wrapcheck // says which of them is wrong
	}
	t.Certificates = []tls.Certificate{pair}
	return t, nil
}
