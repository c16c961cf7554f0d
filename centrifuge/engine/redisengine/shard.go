package redisengine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge"

	"github.com/redis/rueidis"
)

const (
	// pingInterval is how often a shard is tested, and the sentinels are asked for the master.
	pingInterval = time.Second
	// minBackoff is the pause after the first failed attempt to connect. It doubles up to
	// maxBackoff.
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
	// clusterInterval is how often the members of a cluster are asked which slots they have,
	// beside after errors.
	clusterInterval = 5 * time.Second
	// retryPause is the time before a command is repeated that a cluster has refused
	// because a slot is moving.
	retryPause = 20 * time.Millisecond
)

// errNotConnected is the error of commands while a shard has no connection.
var errNotConnected = errors.New("not connected")

// errConnectionLost is the reason why a link is broken whose connection for commands has
// ended.
var errConnectionLost = errors.New("connection lost")

// shard is a part of the channels, and how their server is reached. It always has at most
// one link; what finds the link useless breaks it, and run makes another one, to whatever
// server is the master then.
type shard struct {
	// Static after construction.
	redis     *Redis
	index     int
	config    ShardConfig
	sentinels *sentinels // nil without

	reconnects atomic.Uint64

	// Guarded by mu.
	mu      sync.Mutex
	link    *link         // nil while there is none
	err     error         // why there is none
	changed chan struct{} // closed when link changes
}

// link is a set of connections to one server or cluster. Its connections to a server all
// lead to the same run of it: if the one for commands ends, the link is broken instead of
// connected again, since another run may have lost data.
type link struct {
	// Static after construction.
	client  rueidis.Client
	address string // of the server, empty for a cluster
	run     string // the id of the server's run, empty if it is not known

	dialling sync.Mutex   // held while connections for messages are made
	permits  atomic.Int64 // number of connections that may be made now

	once   sync.Once
	broken chan struct{} // closed by breakLink
	reason error         // static after broken is closed

	pinging atomic.Bool           // a ping has no answer yet
	answer  atomic.Pointer[error] // of the last ping, nil without an error
}

func newShard(r *Redis, index int, config ShardConfig) *shard {
	s := &shard{redis: r, index: index, config: config, changed: make(chan struct{}), err: errNotConnected}
	if len(config.Cluster) == 0 && len(config.Sentinels) > 0 {
		s.sentinels = newSentinels(config)
	}
	return s
}

// breakLink makes the shard replace l. Its commands that have no answer yet fail.
func (l *link) breakLink(reason error) {
	l.once.Do(func() {
		l.reason = reason
		close(l.broken)
	})
}

// run keeps the shard connected until the engine is closed.
func (s *shard) run() {
	ctx := s.redis.ctx
	if s.sentinels != nil {
		defer s.sentinels.close()
	}
	backoff := minBackoff
	for ctx.Err() == nil {
		l, err := s.connect(ctx)
		if err != nil {
			s.set(nil, err)
			if !pause(ctx, backoff) {
				break
			}
			backoff = min(2*backoff, maxBackoff)
			continue
		}
		backoff = minBackoff
		s.set(l, nil)
		s.watch(ctx, l)
		if ctx.Err() == nil {
			s.reconnects.Add(1)
			s.set(nil, l.reason)
		}
		l.client.Close()
	}
	s.set(nil, errClosed)
}

// watch returns when l is broken or ctx is done. It tests the link, and asks the sentinels
// whether the server is still the master.
func (s *shard) watch(ctx context.Context, l *link) {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	var pings sync.WaitGroup
	defer pings.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.broken:
			return
		case <-ticker.C:
			if l.pinging.CompareAndSwap(false, true) {
				pings.Go(func() { s.ping(ctx, l) })
			}
			if s.sentinels == nil {
				continue
			}
			if master, err := s.sentinels.master(ctx); err == nil && master != l.address {
				l.breakLink(fmt.Errorf("%s is no longer the master, %s is", l.address, master))
			}
		}
	}
}

// ping notes whether the server answers. A server that is silent makes all connections
// useless; one that cannot be connected to is tried again by the next command.
func (s *shard) ping(ctx context.Context, l *link) {
	defer l.pinging.Store(false)
	limited, cancel := context.WithTimeout(ctx, s.config.IOTimeout)
	defer cancel()
	err := l.client.Do(limited, l.client.B().Ping().Build()).Error()
	switch {
	case ctx.Err() != nil:
		return
	case err == nil:
		l.answer.Store(nil)
		return
	}
	l.answer.Store(&err)
	if limited.Err() != nil && !s.redis.layout.cluster {
		l.breakLink(fmt.Errorf("no answer for %v", s.config.IOTimeout))
	}
}

// set makes l the link, or err the reason why there is none.
func (s *shard) set(l *link, err error) {
	s.mu.Lock()
	before, beforeErr := s.link, s.err
	s.link, s.err = l, err
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	switch {
	case l != nil:
		s.redis.logf(centrifuge.LogInfo, "redis connected", "shard", s.config.String(), "address", l.address)
	case errors.Is(err, errClosed):
	case before != nil || beforeErr == nil || err == nil || beforeErr.Error() != err.Error():
		s.redis.logf(centrifuge.LogError, "redis not connected", "shard", s.config.String(), "error", err)
	}
}

// wait returns the link. While there is none, it waits at most the connect timeout.
func (s *shard) wait(ctx context.Context) (*link, error) {
	var timeout <-chan time.Time
	for {
		s.mu.Lock()
		l, err, changed := s.link, s.err, s.changed
		s.mu.Unlock()
		if l != nil {
			return l, nil
		}
		if errors.Is(err, errClosed) {
			return nil, err
		}
		if timeout == nil {
			timer := time.NewTimer(s.config.ConnectTimeout)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-changed:
		case <-timeout:
			return nil, fmt.Errorf("redis shard %s: %w", s.config, err)
		case <-ctx.Done():
			return nil, fmt.Errorf("redis shard %s: %w", s.config, errors.Join(ctx.Err(), err))
		}
	}
}

// health returns why the shard cannot be used, if so.
func (s *shard) health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return fmt.Errorf("redis shard %s: %w", s.config, s.err)
	}
	if err := s.link.answer.Load(); err != nil {
		return fmt.Errorf("redis shard %s: %w", s.config, *err)
	}
	return nil
}

// do executes a command. It is repeated while a cluster refuses it because its slot is
// moving: it has had no effect then.
func (s *shard) do(ctx context.Context, command func(l *link) rueidis.RedisResult) (rueidis.RedisResult, error) {
	var deadline time.Time
	for {
		l, err := s.wait(ctx)
		if err != nil {
			return rueidis.RedisResult{}, err
		}
		result := command(l)
		err = result.Error()
		if err == nil || rueidis.IsRedisNil(err) {
			return result, nil
		}
		e, answered := rueidis.IsRedisErr(err)
		if answered && strings.HasPrefix(e.Error(), "READONLY") {
			l.breakLink(fmt.Errorf("%s is no longer the master: %w", l.address, err))
		}
		if !answered || !e.IsTryAgain() && !e.IsClusterDown() {
			return result, fmt.Errorf("redis shard %s: %w", s.config, err)
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(s.config.IOTimeout)
		}
		if time.Now().After(deadline) || !pause(ctx, retryPause) {
			return result, fmt.Errorf("redis shard %s: %w", s.config, err)
		}
	}
}

// exec executes a script.
func (s *shard) exec(ctx context.Context, script *script, keys, args []string) (rueidis.RedisResult, error) {
	return s.do(ctx, func(l *link) rueidis.RedisResult { return script.exec(ctx, l.client, keys, args) })
}

// execAt executes a script that gets the id of the server's run as its last argument, and
// returns it as well.
func (s *shard) execAt(ctx context.Context, script *script, keys, args []string) (result rueidis.RedisResult, run string, err error) {
	args = append(args, "")
	result, err = s.do(ctx, func(l *link) rueidis.RedisResult {
		run = l.run
		args[len(args)-1] = run
		return script.exec(ctx, l.client, keys, args)
	})
	return result, run, err
}

// connect finds the server and connects to it.
func (s *shard) connect(ctx context.Context) (*link, error) {
	c := s.config
	option := c.option()
	l := &link{broken: make(chan struct{})}
	switch {
	case len(c.Cluster) > 0:
		option.InitAddress, option.ShuffleInit = slices.Clone(c.Cluster), true // the client shuffles it
		option.ClusterOption.ShardsRefreshInterval = clusterInterval
	case s.sentinels != nil:
		master, err := s.sentinels.master(ctx)
		if err != nil {
			return nil, err
		}
		l.address = master
	default:
		l.address = c.Address
	}
	if l.address != "" {
		option.InitAddress, option.ForceSingleClient = []string{l.address}, true
	}
	if !s.redis.layout.cluster {
		option.DialCtxFn = l.dial
		l.permits.Store(1)
	}
	var err error
	if l.client, err = rueidis.NewClient(option); err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	l.permits.Store(0)
	if !s.redis.layout.cluster {
		l.findRun(ctx)
	}
	if s.sentinels != nil {
		if err := checkMaster(ctx, l.client); err != nil {
			l.client.Close()
			return nil, fmt.Errorf("%s: %w", l.address, err)
		}
	}
	return l, nil
}

// dial makes a connection if that is permitted now.
func (l *link) dial(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	if l.permits.Add(-1) < 0 {
		l.breakLink(errConnectionLost)
		return nil, errConnectionLost
	}
	return Dial(ctx, address, dialer, config)
}

// dedicate returns a connection of its own, for messages if hooks are given. It fails if the
// one for commands has ended, because it might lead to another run of the server.
func (l *link) dedicate(ctx context.Context, hooks rueidis.PubSubHooks) (rueidis.DedicatedClient, <-chan error, error) {
	l.dialling.Lock()
	defer l.dialling.Unlock()
	l.permits.Store(2) // version 2 of the protocol needs another connection for messages
	client, _ := l.client.Dedicate()
	var failed <-chan error
	if hooks.OnMessage != nil {
		failed = client.SetPubSubHooks(hooks)
	}
	l.permits.Store(0)
	if err := l.client.Do(ctx, l.client.B().Ping().Build()).Error(); err != nil {
		client.Close()
		return nil, nil, fmt.Errorf("connecting: %w", err)
	}
	return client, failed, nil
}

// findRun asks for the id of the server's run, which some users may not do.
func (l *link) findRun(ctx context.Context) {
	if info, err := l.client.Do(ctx, l.client.B().Info().Section("server").Build()).ToString(); err == nil {
		l.run = infoField(info, "run_id")
	}
}

// checkMaster returns an error if the server does not consider itself a master: sentinels
// name one before it has been told.
func checkMaster(ctx context.Context, c rueidis.Client) error {
	role, err := c.Do(ctx, c.B().Role().Build()).ToArray()
	if err != nil || len(role) == 0 {
		return fmt.Errorf("asking for the role: %w", err)
	}
	if name, err := role[0].ToString(); err != nil || name != "master" {
		return fmt.Errorf("role is %q, want master", name)
	}
	return nil
}

// option returns the options of a client, but for the addresses.
func (c ShardConfig) option() rueidis.ClientOption {
	return rueidis.ClientOption{
		DialCtxFn: Dial, TLSConfig: c.TLS,
		Dialer:   net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: pingInterval},
		Username: c.User, Password: c.Password, ClientName: c.ClientName, SelectDB: c.DB,
		ConnWriteTimeout: c.IOTimeout, AlwaysRESP2: c.ForceRESP2,
		// Commands that may have taken effect are never repeated here: only the caller knows
		// whether that is harmless.
		DisableCache: true, DisableRetry: true,
		// A connection is always read from, so that its end is noticed before the next command.
		AlwaysPipelining:  true,
		PipelineMultiplex: -1, ReadBufferEachConn: connectionBuffer, WriteBufferEachConn: connectionBuffer,
	}
}

// connectionBuffer is the size of the read buffer and the write buffer of a connection in
// bytes.
const connectionBuffer = 64 << 10

// Dial connects to host:port, or to a Unix socket if the address begins with a slash; over
// TLS if config is not nil. Clients of Redis that are made from a ShardConfig use it.
func Dial(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	if config != nil {
		return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, network, address) //nolint:wrapcheck // names the address
	}
	return dialer.DialContext(ctx, network, address) //nolint:wrapcheck // names the address
}

// pause waits, and returns false if ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
