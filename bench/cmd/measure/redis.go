//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// redisServer is a Redis that keeps nothing on disk.
type redisServer struct {
	cmd  *exec.Cmd
	port string
}

// startRedis starts a server on a free port and waits until it answers.
func startRedis(ctx context.Context, dir string) (*redisServer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &redisServer{port: port, cmd: exec.CommandContext(ctx, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir)}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting redis-server, which internal/redistest/setup.sh installs: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if _, err = s.stats(ctx); err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			s.stop()
			return nil, fmt.Errorf("waiting for redis-server: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *redisServer) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed
}

// engine is the configuration of a node on the server.
func (s *redisServer) engine() settings {
	return settings{"engine": settings{"type": "redis", "redis": settings{"address": []string{"127.0.0.1:" + s.port}}}}
}

// stats returns the processor time that the server has used, in seconds, and the calls of
// each command.
func (s *redisServer) stats(ctx context.Context) (sample, error) {
	text, err := exec.CommandContext(ctx, "redis-cli", "-p", s.port, "info", "cpu", "commandstats").Output()
	if err != nil {
		return nil, fmt.Errorf("redis-cli: %w", err)
	}
	return parseInfo(text)
}

// parseInfo reads the answer to INFO: used_cpu_user and used_cpu_sys as cpu, and the calls
// of cmdstat lines by the name of the command.
func parseInfo(text []byte) (sample, error) {
	s := make(sample)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if !ok {
			continue
		}
		if command, ok := strings.CutPrefix(key, "cmdstat_"); ok {
			key, value = command, strings.TrimPrefix(strings.Split(value, ",")[0], "calls=")
		} else if key == "used_cpu_user" || key == "used_cpu_sys" {
			key = "cpu"
		} else {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("answer to INFO: %s: %w", key, err)
		}
		s[key] += v
	}
	if _, ok := s["cpu"]; !ok {
		return nil, fmt.Errorf("answer to INFO without processor time: %.200q", text)
	}
	return s, nil
}

// startCluster starts nodes on a Redis of their own.
func (m *measurement) startCluster(ctx context.Context, s subject, count int) (*redisCluster, error) {
	redis, err := startRedis(ctx, m.dir)
	if err != nil {
		return nil, err
	}
	c := &redisCluster{redis: redis}
	s.config = merge(s.config, redis.engine())
	for range count {
		p, err := m.start(ctx, s)
		if err != nil {
			c.stop()
			return nil, err
		}
		c.nodes = append(c.nodes, p)
	}
	return c, nil
}

type redisCluster struct {
	redis *redisServer
	nodes []*process
}

func (c *redisCluster) stop() {
	for _, p := range c.nodes {
		p.stop()
	}
	c.redis.stop()
}

// onRedis is against with one or several nodes on a Redis of their own. The load goes to
// the first. It adds what Redis has done meanwhile.
func onRedis(s subject, nodes int, args ...string) runner {
	return func(ctx context.Context, m *measurement) (sample, error) {
		c, err := m.startCluster(ctx, s, nodes)
		if err != nil {
			return nil, err
		}
		defer c.stop()
		before, err := c.redis.stats(ctx)
		if err != nil {
			return nil, err
		}
		got, err := m.load(ctx, c.nodes[0], args...)
		if err != nil {
			return nil, err
		}
		after, err := c.redis.stats(ctx)
		if err != nil {
			return nil, err
		}
		got.derive("redis.cpu_us_per_publication", (after["cpu"]-before["cpu"])*1e6, got["publish.count"])
		got.derive("redis.cpu_us_per_client", (after["cpu"]-before["cpu"])*1e6, got["clients"])
		got["redis.reads"] = after["xrange"] - before["xrange"] + after["xrevrange"] - before["xrevrange"]
		return got, nil
	}
}
