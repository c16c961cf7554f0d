package config

import (
	"slices"
	"testing"
)

func TestChanges(t *testing.T) {
	tests := []struct {
		name   string
		change func(c *Config)
		want   []string
	}{
		{"nothing", func(*Config) {}, nil},
		{"text", func(c *Config) { c.HTTPAPI.Key = "new" }, []string{"http_api.key"}},
		{"in the order of declaration", func(c *Config) { c.HTTPAPI.Key, c.HTTPServer.Port = "new", 9 }, []string{"http_server.port", "http_api.key"}},
		{"a section in a section", func(c *Config) { c.Client.Token.HMACSecretKey = "new" }, []string{"client.token.hmac_secret_key"}},
		{"an embedded section", func(c *Config) { c.Client.SubscriptionToken.HMACSecretKey = "new" }, []string{"client.subscription_token.hmac_secret_key"}},
		{"a list", func(c *Config) { c.Client.AllowedOrigins = []string{"*"} }, []string{"client.allowed_origins"}},
		{"an empty list is none", func(c *Config) { c.Client.AllowedOrigins = []string{} }, nil},
		{"a list of sections", func(c *Config) { c.Channel.Namespaces = []Namespace{{Name: "a"}} }, []string{"channel.namespaces"}},
		{"a duration", func(c *Config) { c.Client.PingInterval++ }, []string{"client.ping_interval"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, b := Default(), Default()
			test.change(b)
			if got := Changes(a, b); !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func TestReloadable(t *testing.T) {
	for key, want := range map[string]bool{
		"channel.namespaces": true, "channel.without_namespace.presence": true, "channel.history_meta_ttl": false,
		"channel.max_length": false, "rpc.ping.enabled": true, "log.level": true, "log.file": false,
		"client.token.hmac_secret_key": true, "client.subscription_token.hmac_secret_key": true, "client.subscription_token.enabled": true,
		"client.allowed_origins": true, "client.insecure": true, "client.ping_interval": false, "client.proxy.connect.enabled": false,
		"client.subscribe_to_user_personal_channel.enabled": true, "http_api.key": true, "http_api.insecure": true,
		"http_api.handler_prefix": false, "grpc_api.key": true, "grpc_api.port": false, "nothing": false, "log.level.x": false, "": false,
	} {
		if got := Reloadable(key); got != want {
			t.Errorf("Reloadable(%q) = %v; want %v", key, got, want)
		}
	}
}
