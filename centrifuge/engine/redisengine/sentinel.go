package redisengine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/redis/rueidis"
)

// sentinels asks sentinels for the master. It is used by one goroutine.
type sentinels struct {
	// Static after construction.
	config  ShardConfig
	members []*sentinel
}

// sentinel is one of them.
type sentinel struct {
	address string
	client  rueidis.Client // nil while not connected
}

func newSentinels(c ShardConfig) *sentinels {
	s := &sentinels{config: c}
	for _, address := range c.Sentinels {
		s.members = append(s.members, &sentinel{address: address})
	}
	return s
}

// master returns the address that most of the reachable sentinels name: one that is cut
// off from the others may name a former master.
func (s *sentinels) master(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.ConnectTimeout)
	defer cancel()
	answers, errs := make([]string, len(s.members)), make([]error, len(s.members))
	var all sync.WaitGroup
	for i, m := range s.members {
		all.Go(func() { answers[i], errs[i] = m.ask(ctx, s.config) })
	}
	all.Wait()
	votes, best := make(map[string]int), ""
	for _, address := range answers {
		if address == "" {
			continue
		}
		votes[address]++
		if votes[address] > votes[best] {
			best = address
		}
	}
	if best == "" {
		return "", fmt.Errorf("asking sentinels for the master: %w", errors.Join(errs...))
	}
	return best, nil
}

func (m *sentinel) ask(ctx context.Context, c ShardConfig) (string, error) {
	if m.client == nil {
		option := c.option()
		option.InitAddress, option.ForceSingleClient, option.SelectDB = []string{m.address}, true, 0
		option.Username, option.Password, option.ClientName = c.SentinelUser, c.SentinelPassword, c.SentinelClientName
		option.TLSConfig, option.PipelineMultiplex = c.SentinelTLS, -1
		client, err := rueidis.NewClient(option)
		if err != nil {
			return "", fmt.Errorf("sentinel %s: %w", m.address, err)
		}
		m.client = client
	}
	at, err := m.client.Do(ctx, m.client.B().SentinelGetMasterAddrByName().Master(c.MasterName).Build()).AsStrSlice()
	switch {
	case rueidis.IsRedisNil(err):
		return "", fmt.Errorf("sentinel %s: unknown master %q", m.address, c.MasterName)
	case err != nil:
		m.client.Close()
		m.client = nil
		return "", fmt.Errorf("sentinel %s: %w", m.address, err)
	case len(at) != 2:
		return "", fmt.Errorf("sentinel %s: answer of %d parts, want host and port", m.address, len(at))
	}
	return net.JoinHostPort(at[0], at[1]), nil
}

func (s *sentinels) close() {
	for _, m := range s.members {
		if m.client != nil {
			m.client.Close()
		}
	}
}
