package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// HTTPServer is section http_server.
type HTTPServer struct {
	// Address the external listener binds to. Empty: all interfaces, or 127.0.0.1 when an insecure mode is on.
	Address string `key:"address"`
	// Port of the external listener.
	Port int `key:"port" default:"8000"`
	// Address of the internal listener (API, metrics, health, debug). Empty: http_server.address.
	InternalAddress string `key:"internal_address"`
	// Port of the internal listener. 0: http_server.port, and then both listeners are one.
	InternalPort int `key:"internal_port,text"`
	// TLS of the listeners.
	TLS TLS `key:"tls"`
	// Certificates obtained by the ACME protocol (Let's Encrypt).
	TLSAutocert TLSAutocert `key:"tls_autocert"`
	// Use TLS on the external listener only.
	TLSExternal bool `key:"tls_external"`
	// Read each TLS connection of a WebSocket with a goroutine of its own instead of the event loop: about 11 KB more for each idle connection, and no dependence on internals of crypto/tls.
	TLSThreaded bool `key:"tls_threaded"`
	// Write to WebSockets and streams on the event loop with ordinary system calls: shorter pauses for garbage collection while many messages are written, and about 13 % more CPU for a delivery.
	ScheduledWrites bool `key:"scheduled_writes"`
	// TLS of the internal listener; overrides http_server.tls there.
	InternalTLS TLS `key:"internal_tls"`
	// HTTP/3 on the external port.
	HTTP3 HTTP3 `key:"http3"`
	// HTTP/2 without TLS on the external listener; needs an internal port of its own and no TLS.
	H2CExternal bool `key:"h2c_external"`
	// Let other processes of the same user listen on the same addresses (SO_REUSEPORT): a new server starts while an old one releases its clients. Linux only, without HTTP/3.
	ReusePort bool `key:"reuse_port"`
	// Addresses and networks of load balancers, such as 10.0.0.0/8, whose connections to the external listener begin with a header of the PROXY protocol, version 1 or 2, that names the client. A connection of theirs without one is closed; those from elsewhere have none.
	ProxyProtocolFrom []string `key:"proxy_protocol_from"`
	// Addresses and networks of reverse proxies whose header X-Forwarded-For is believed: the last address in it that is not one of these is the client's.
	ForwardedForFrom []string `key:"forwarded_for_from"`
}

// Networks parses addresses and networks, such as 10.0.0.1 and 2001:db8::/32.
func Networks(list []string) ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
			networks = append(networks, netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an IP address nor a network such as 10.0.0.0/8", text)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// HTTP3 is section http_server.http3.
type HTTP3 struct {
	// Serve HTTP/3 on the UDP port of http_server.port as well, and announce it in the answers over TCP; needs TLS.
	Enabled bool `key:"enabled"`
}

// TLSAutocert is section http_server.tls_autocert.
type TLSAutocert struct {
	// Obtain the certificates of the listeners by the ACME protocol, and renew them. This accepts the terms of service of the certificate authority. It excludes http_server.tls.enabled.
	Enabled bool `key:"enabled"`
	// Host names for which certificates are obtained; at least one. TLS connections to other names are refused.
	HostWhitelist []string `key:"host_whitelist"`
	// Directory where the account and certificates, with their private keys, are kept; several servers may share it. Without one each start obtains new certificates, which authorities limit.
	CacheDir string `key:"cache_dir"`
	// Contact address given to the certificate authority.
	Email string `key:"email"`
	// Host name assumed when a client sends none; one of host_whitelist.
	ServerName string `key:"server_name"`
	// Answer HTTP-01 challenges on http_addr, and redirect other requests there to HTTPS. TLS-ALPN-01 challenges are always answered, on the TLS listeners.
	HTTP bool `key:"http"`
	// Address of the HTTP-01 challenge listener.
	HTTPAddr string `key:"http_addr" default:":80"`
	// Directory of the ACME server.
	DirectoryURL string `key:"directory_url" default:"https://acme-v02.api.letsencrypt.org/directory"`
	// Authority that the certificate of the ACME server itself is verified with. Empty: those of the system.
	ServerCAPEM PEM `key:"server_ca_pem"`
	// Identifier of an account at the certificate authority, to which the account of ACME is bound. Authorities that require this
	// give it together with external_account_key.
	ExternalAccountID string `key:"external_account_id"`
	// Key of external_account_id, in base64url as the authority gives it.
	ExternalAccountKey string `key:"external_account_key"`
}

// ExternalAccount returns the identifier and the key of the account at the authority, nothing
// if none is set.
func (s TLSAutocert) ExternalAccount() (id string, key []byte, err error) {
	if (s.ExternalAccountID == "") != (s.ExternalAccountKey == "") {
		return "", nil, errors.New("external_account_id and external_account_key belong together")
	}
	key, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(s.ExternalAccountKey, "="))
	if err != nil {
		return "", nil, errors.New("external_account_key is not in base64url") // the error would have a part of it
	}
	return s.ExternalAccountID, key, nil
}

// HostNames returns the names of host_whitelist as DNS has them: in ASCII, in lower case,
// without a final dot.
func (c TLSAutocert) HostNames() ([]string, error) {
	names := make([]string, 0, len(c.HostWhitelist))
	for _, text := range c.HostWhitelist {
		name, err := hostName(text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// FallbackName returns server_name in the form of HostNames, or nothing if it is not set.
func (c TLSAutocert) FallbackName() (string, error) {
	if c.ServerName == "" {
		return "", nil
	}
	return hostName(c.ServerName)
}

// hostName returns the form of a name that TLS clients send. It must be one for which an authority
// can issue a certificate after a challenge over HTTP or TLS.
func hostName(text string) (string, error) {
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(text, "."))
	_, notAddress := netip.ParseAddr(name)
	switch {
	case strings.Contains(text, "*"):
		return "", fmt.Errorf("%q: a wildcard needs a DNS challenge, which is not supported; list each name", text)
	case err != nil || notAddress == nil || !strings.Contains(name, "."):
		return "", fmt.Errorf("%q is not a host name such as rt.example.com", text)
	}
	return name, nil
}

// TLS describes one end of TLS connections, serving or dialling.
// The minimum version is TLS 1.2.
type TLS struct {
	// Use TLS.
	Enabled bool `key:"enabled"`
	// Certificate chain.
	CertPEM PEM `key:"cert_pem"`
	// Private key of the certificate; both or none must be given.
	KeyPEM PEM `key:"key_pem"`
	// Authority that the certificate of a remote server is verified with.
	ServerCAPEM PEM `key:"server_ca_pem"`
	// Authority that client certificates are verified with; when set, a client must present one.
	ClientCAPEM PEM `key:"client_ca_pem"`
	// Do not verify the certificate of the remote server.
	InsecureSkipVerify bool `key:"insecure_skip_verify"`
	// Name expected in the certificate of the remote server.
	ServerName string `key:"server_name"`
}
