package redisengine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	defaultPort         = "6379"
	defaultSentinelPort = "26379"
)

// ShardConfig says how to reach one shard: a server, a group of servers that sentinels
// watch, or a Redis Cluster.
type ShardConfig struct {
	// Address of a server: host:port, or the path of a Unix socket, which begins with a
	// slash.
	Address string
	// Cluster has the addresses of some nodes of a Redis Cluster, the others are found
	// through them. It takes precedence over Sentinels.
	Cluster []string
	// Sentinels has the addresses of sentinels. It takes precedence over Address.
	Sentinels []string
	// MasterName is the name of the group that the sentinels watch.
	MasterName string
	// SentinelUser, SentinelPassword, SentinelClientName and SentinelTLS are for the
	// connections to the sentinels.
	SentinelUser, SentinelPassword, SentinelClientName string
	SentinelTLS                                        *tls.Config
	// DB is the number of the database; a cluster has only database zero.
	DB int
	// User, Password and ClientName are for the connections to the servers.
	User, Password, ClientName string
	// ForceRESP2 makes connections speak version 2 of the protocol.
	ForceRESP2 bool
	// ConnectTimeout bounds connecting, default 1 second. IOTimeout bounds the time in
	// which a server must answer, default 4 seconds.
	ConnectTimeout, IOTimeout time.Duration
	// TLS of the connections to the servers, nil for none.
	TLS *tls.Config
}

// withDefaults returns c complete, or why it cannot be used.
func (c ShardConfig) withDefaults() (ShardConfig, error) {
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = time.Second
	}
	if c.IOTimeout <= 0 {
		c.IOTimeout = 4 * time.Second
	}
	switch {
	case len(c.Cluster) > 0:
		if c.DB != 0 {
			return c, fmt.Errorf("database %d: a cluster has only database 0", c.DB)
		}
	case len(c.Sentinels) > 0:
		if c.MasterName == "" {
			return c, errors.New("sentinels without the name of the master that they watch")
		}
	case c.Address == "":
		return c, errors.New("no address")
	}
	if c.DB < 0 {
		return c, fmt.Errorf("database %d is below 0", c.DB)
	}
	return c, nil
}

// String names the shard in logs, without credentials.
func (c ShardConfig) String() string {
	switch {
	case len(c.Cluster) > 0:
		return "cluster " + strings.Join(c.Cluster, ",")
	case len(c.Sentinels) > 0:
		return "master " + c.MasterName + " of sentinels " + strings.Join(c.Sentinels, ",")
	}
	return c.Address
}

// ParseAddress returns base with what text says of one shard. The forms are
//
//	host:port
//	tcp://host:port, redis://[user:password@]host:port[/db]
//	rediss://…, with TLS
//	unix://[user:password@]/path/of/socket
//	redis+sentinel://[user:password@]host:port[/db]?sentinel_master_name=name
//	redis+cluster://[user:password@]host:port
//	rediss+sentinel://, rediss+cluster://, with TLS
//
// The parameters of a URL are addr (another address, repeatable), connect_timeout,
// io_timeout, tls_enabled, force_resp2, sentinel_master_name, sentinel_user,
// sentinel_password, sentinel_tls_enabled and replica_client_enabled, which has no
// effect (server.md 10.4). Errors do not contain credentials.
func ParseAddress(text string, base ShardConfig) (ShardConfig, error) {
	c := base
	if !strings.Contains(text, "://") {
		if strings.HasPrefix(text, "/") {
			c.Address = text
			return c, nil
		}
		address, err := hostPort(text, defaultPort)
		c.Address = address
		return c, err
	}
	u, err := url.Parse(text)
	if err != nil {
		return c, errors.New("address is no valid URL") // the cause would contain the password
	}
	if u.User != nil {
		c.User = u.User.Username()
		c.Password, _ = u.User.Password()
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, errors.New("address has an invalid query")
	}
	if err := c.setPlace(u, query["addr"]); err != nil {
		return c, err
	}
	for name, values := range query {
		if err := c.setParameter(name, values[len(values)-1]); err != nil {
			return c, fmt.Errorf("parameter %q of the address: %w", name, err)
		}
	}
	return c, nil
}

// setPlace sets what the scheme, the host and the path of an address say.
func (c *ShardConfig) setPlace(u *url.URL, more []string) error {
	scheme, kind, _ := strings.Cut(u.Scheme, "+")
	switch scheme {
	case "redis", "tcp", "unix":
	case "rediss":
		if c.TLS == nil {
			c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	default:
		return fmt.Errorf("address has the unknown scheme %q", u.Scheme)
	}
	if scheme == "unix" {
		if u.Host != "" || u.Path == "" || kind != "" || len(more) > 0 {
			return errors.New("address of a Unix socket: want unix:///path")
		}
		c.Address = u.Path
		return nil
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		n, err := strconv.Atoi(db)
		if err != nil {
			return fmt.Errorf("database %q of the address is no number", db)
		}
		c.DB = n
	}
	port := defaultPort
	if kind == "sentinel" {
		port = defaultSentinelPort
	}
	var addresses []string
	for _, one := range append(strings.Split(u.Host, ","), more...) {
		address, err := hostPort(one, port)
		if err != nil {
			return err
		}
		addresses = append(addresses, address)
	}
	switch {
	case kind == "sentinel":
		c.Sentinels = addresses
	case kind == "cluster", kind == "" && len(addresses) > 1:
		c.Cluster = addresses
	case kind == "" && scheme != "tcp" || u.Scheme == "tcp":
		c.Address = addresses[0]
	default:
		return fmt.Errorf("address has the unknown scheme %q", u.Scheme)
	}
	return nil
}

func (c *ShardConfig) setParameter(name, value string) (err error) {
	yes, noBool := strconv.ParseBool(value)
	duration, noDuration := time.ParseDuration(value)
	switch name {
	case "addr":
	case "connect_timeout":
		c.ConnectTimeout, err = duration, noDuration
	case "io_timeout":
		c.IOTimeout, err = duration, noDuration
	case "force_resp2":
		c.ForceRESP2, err = yes, noBool
	case "tls_enabled":
		c.TLS, err = onOrOff(c.TLS, yes), noBool
	case "sentinel_tls_enabled":
		c.SentinelTLS, err = onOrOff(c.SentinelTLS, yes), noBool
	case "replica_client_enabled":
		err = noBool
	case "sentinel_master_name":
		c.MasterName = value
	case "sentinel_user":
		c.SentinelUser = value
	case "sentinel_password":
		c.SentinelPassword = value
	default:
		err = errors.New("unknown")
	}
	return err
}

func onOrOff(c *tls.Config, on bool) *tls.Config {
	switch {
	case !on:
		return nil
	case c == nil:
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return c
}

// ParseAddresses returns the addresses of the members of a cluster or of sentinels in a
// comma-separated list.
func ParseAddresses(list string, sentinels bool) ([]string, error) {
	port := defaultPort
	if sentinels {
		port = defaultSentinelPort
	}
	var addresses []string
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		if one == "" {
			continue
		}
		address, err := hostPort(one, port)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, address)
	}
	if len(addresses) == 0 {
		return nil, errors.New("no address")
	}
	return addresses, nil
}

// hostPort completes an address with the default host and port.
func hostPort(text, port string) (string, error) {
	host := text
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	} else if strings.Contains(strings.Trim(text, "[]"), ":") && !strings.HasPrefix(text, "[") {
		return "", errors.New("address: want host:port") // it may contain a password
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("port %q of the address is no number from 1 to 65535", port)
	}
	host = strings.Trim(host, "[]")
	if host == "" {
		host = "127.0.0.1"
	}
	if strings.ContainsAny(host, "/@ ") {
		return "", errors.New("host of the address is invalid: want host:port")
	}
	return net.JoinHostPort(host, port), nil
}
