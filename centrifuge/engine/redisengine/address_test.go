package redisengine

import (
	"crypto/tls"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseAddress(t *testing.T) {
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	base := ShardConfig{User: "base", ConnectTimeout: time.Minute}
	with := func(change func(c *ShardConfig)) ShardConfig {
		c := base
		change(&c)
		return c
	}
	for _, c := range []struct {
		text string
		want ShardConfig
	}{
		{"example.com:1", with(func(c *ShardConfig) { c.Address = "example.com:1" })},
		{"example.com", with(func(c *ShardConfig) { c.Address = "example.com:6379" })},
		{":7000", with(func(c *ShardConfig) { c.Address = "127.0.0.1:7000" })},
		{"[::1]:7000", with(func(c *ShardConfig) { c.Address = "[::1]:7000" })},
		{"/run/redis.sock", with(func(c *ShardConfig) { c.Address = "/run/redis.sock" })},
		{"tcp://a:1", with(func(c *ShardConfig) { c.Address = "a:1" })},
		{"redis://a", with(func(c *ShardConfig) { c.Address = "a:6379" })},
		{"redis://u:p%40@a:1/3", with(func(c *ShardConfig) { c.Address, c.User, c.Password, c.DB = "a:1", "u", "p@", 3 })},
		{"redis://:p@a:1", with(func(c *ShardConfig) { c.Address, c.User, c.Password = "a:1", "", "p" })},
		{"rediss://a:1", with(func(c *ShardConfig) { c.Address, c.TLS = "a:1", secure })},
		{"unix:///run/redis.sock", with(func(c *ShardConfig) { c.Address = "/run/redis.sock" })},
		{"unix://u:p@/run/redis.sock?force_resp2=true", with(func(c *ShardConfig) { c.Address, c.User, c.Password, c.ForceRESP2 = "/run/redis.sock", "u", "p", true })},
		{"redis+sentinel://u:p@a:1/2?sentinel_master_name=m&addr=b:2&addr=c", with(func(c *ShardConfig) {
			c.Sentinels, c.MasterName, c.User, c.Password, c.DB = []string{"a:1", "b:2", "c:26379"}, "m", "u", "p", 2
		})},
		{"rediss+sentinel://a?sentinel_master_name=m&sentinel_user=su&sentinel_password=sp&sentinel_tls_enabled=1", with(func(c *ShardConfig) {
			c.Sentinels, c.MasterName, c.SentinelUser, c.SentinelPassword = []string{"a:26379"}, "m", "su", "sp"
			c.TLS, c.SentinelTLS = secure, secure
		})},
		{"redis+cluster://a:1?addr=b:2", with(func(c *ShardConfig) { c.Cluster = []string{"a:1", "b:2"} })},
		{"rediss+cluster://a", with(func(c *ShardConfig) { c.Cluster, c.TLS = []string{"a:6379"}, secure })},
		{"redis://a?connect_timeout=2s&io_timeout=3s&tls_enabled=true&replica_client_enabled=false", with(func(c *ShardConfig) {
			c.Address, c.ConnectTimeout, c.IOTimeout, c.TLS = "a:6379", 2*time.Second, 3*time.Second, secure
		})},
	} {
		got, err := ParseAddress(c.text, base)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("ParseAddress(%q) = %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"a:b":                        "port",
		"a:0":                        "port",
		"a:70000":                    "port",
		"a:1:2":                      "host:port",
		"http://a":                   "scheme",
		"redis+other://a":            "scheme",
		"tcp+cluster2://a":           "scheme",
		"redis://a/x":                "database",
		"redis://a?color=red":        `"color"`,
		"redis://a?io_timeout=5":     `"io_timeout"`,
		"redis://a?tls_enabled=x":    `"tls_enabled"`,
		"unix://host/path":           "unix:///path",
		"unix://":                    "unix:///path",
		"redis://user:secret@a:port": "",
		"redis://user:secret@a:1/x":  "database",
		"user:secret@host:1":         "",
	} {
		_, err := ParseAddress(text, ShardConfig{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseAddress(%q): %v, want an error about %q without the password", text, err, want)
		}
	}
}

func TestShardConfigRefuses(t *testing.T) {
	for want, c := range map[string]Config{
		"no shards":      {},
		"no address":     {Shards: []ShardConfig{{}}},
		"name of the m":  {Shards: []ShardConfig{{Sentinels: []string{"a:1"}}}},
		"database":       {Shards: []ShardConfig{{Cluster: []string{"a:1"}, DB: 1}}},
		"below 0":        {Shards: []ShardConfig{{Address: "a:1", DB: -1}}},
		"others are not": {Shards: []ShardConfig{{Address: "a:1"}, {Cluster: []string{"a:1"}}}},
		"needs a Redis":  {Shards: []ShardConfig{{Address: "a:1"}}, ShardedPubSub: 1},
		"0 to 1024":      {Shards: []ShardConfig{{Cluster: []string{"a:1"}}}, ShardedPubSub: 1025},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v): %v, want an error with %q", c, err, want)
		}
	}
}
