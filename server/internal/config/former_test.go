package config

import (
	"strings"
	"testing"
)

// Keys of former versions, in a file.
func TestFormerKeys(t *testing.T) {
	const mark = "(Centrifugo v5 and earlier had this key)"
	tests := []struct{ file, want string }{
		{`{"secret": "x"}`, "secret: unknown key, did you mean client.token.hmac_secret_key? " + mark},
		{`{"token_hmac_secret_key": "x"}`, "did you mean client.token.hmac_secret_key? " + mark},
		{`{"api_key": "x"}`, "did you mean http_api.key? " + mark},
		{`{"api_insecure": true}`, "did you mean http_api.insecure? " + mark},
		{`{"api_disable": true}`, "did you mean http_api.disabled? " + mark},
		{`{"admin_password": "x"}`, "did you mean admin.password? " + mark},
		{`{"allowed_origins": []}`, "did you mean client.allowed_origins? " + mark},
		{`{"namespaces": []}`, "did you mean channel.namespaces? " + mark},
		{`{"rpc_namespaces": []}`, "did you mean rpc.namespaces? " + mark},
		{`{"presence": true}`, "did you mean channel.without_namespace.presence? " + mark},
		{`{"publish": true}`, "did you mean channel.without_namespace.allow_publish_for_client? " + mark},
		{`{"history_lifetime": 60}`, "did you mean channel.without_namespace.history_ttl? " + mark},
		{`{"redis_address": "x"}`, "did you mean engine.redis.address? " + mark},
		{`{"redis_url": "x"}`, "did you mean engine.redis.address? " + mark},
		{`{"global_history_meta_ttl": "1h"}`, "did you mean channel.history_meta_ttl? " + mark},
		{`{"client_channel_limit": 5}`, "did you mean client.channel_limit? " + mark},
		{`{"tls": true}`, "did you mean http_server.tls.enabled? " + mark},
		{`{"tls_cert": "x"}`, "did you mean http_server.tls.cert_pem? " + mark},
		{`{"websocket_disable": true}`, "did you mean websocket.disabled? " + mark},
		{`{"proxy_connect_endpoint": "http://x"}`, "did you mean client.proxy.connect.endpoint? " + mark},
		{`{"sockjs": true}`, "sockjs: unknown key: Centrifugo v5 and earlier had it, nothing replaces it"},
		{`{"admin": true}`, "admin: want an object, did you mean admin.enabled? " + mark},
		{`{"engine": "redis"}`, "engine: want an object, did you mean engine.type? " + mark},
		{`{"broker": "nats"}`, "broker: want an object, did you mean broker.type? " + mark},
		{`{"log": 5}`, "log: want an object\x00"},
		{`{"channel": {"namespaces": [{"name": "news", "publish": true}]}}`, "channel.namespaces[news].publish: unknown key, did you mean channel.namespaces[news].allow_publish_for_client? " + mark},
		{`{"channel": {"namespaces": [{"name": "news", "recover": true}]}}`, "did you mean channel.namespaces[news].force_recovery? " + mark},
		{`{"channel": {"without_namespace": {"anonymous": true}}}`, "did you mean channel.without_namespace.allow_subscribe_for_anonymous? " + mark},
		{`{"channel": {"namespaces": [{"name": "news", "proxy_subscribe": true}]}}`, "did you mean channel.namespaces[news].subscribe_proxy_enabled? " + mark},
		{`{"consumers": [{"name": "cc", "type": "kafka", "disabled": true}]}`, "did you mean consumers[cc].enabled? " + mark},
		// Not of a former version, and nothing that is only alike.
		{`{"key": "x"}`, "key: unknown key, did you mean one of http_api.key, grpc_api.key?\x00"},
		{`{"client": {"hmac_secret_key": "x"}}`, "client.hmac_secret_key: unknown key, did you mean one of client.token.hmac_secret_key, client.subscription_token.hmac_secret_key?\x00"},
		{`{"handler_prefix": "/x"}`, "handler_prefix: unknown key\x00"},
		{`{"log": {"prefix": "x"}}`, "log.prefix: unknown key"},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			_, _, err := Load(Options{File: writeFile(t, "c.json", tt.file)})
			if err == nil {
				t.Fatal("accepted; want an error")
			}
			if text := strings.ReplaceAll(err.Error()+"\n", "\n", "\x00"); !strings.Contains(text, tt.want) {
				t.Errorf("error %q, want %q", err, tt.want)
			}
			old := strings.Contains(tt.want, "v5")
			if named := strings.Contains(err.Error(), "c.json: a configuration of Centrifugo v5 or earlier"); named != old {
				t.Errorf("named as old: %v, want %v: %v", named, old, err)
			}
		})
	}
}

// Every key of the table leads to one that exists.
func TestFormerKeysLeadSomewhere(t *testing.T) {
	for old, now := range formerKeys() {
		if now == "" {
			continue
		}
		if _, ok := keyAt(now); !ok {
			t.Errorf("%s: no key %s; want one", old, now)
		}
	}
	for old, now := range formerOptions {
		if _, ok := keyAt("channel.without_namespace." + now); !ok {
			t.Errorf("%s: no option %s; want one", old, now)
		}
	}
}

// What is wrong inside of a section in the wrong place is told with it.
func TestErrorsInsideOfMisplacedSections(t *testing.T) {
	tests := []struct{ file, want string }{
		{`{"namespaces": [{"name": "news", "presense": true}]}`, "namespaces[news].presense: unknown key, did you mean namespaces[news].presence?"},
		{`{"namespaces": [{"name": "news", "history_size": "many"}]}`, "namespaces[news].history_size: want a whole number"},
		{`{"namespaces": [{"name": "news", "publish": true}]}`, "did you mean namespaces[news].allow_publish_for_client?"},
		{`{"clinet": {"chanel_limit": 5}}`, "clinet.chanel_limit: unknown key, did you mean clinet.channel_limit?"},
		{`{"client": {"tokn": {"hmac_secret_key": 5, "x1": 1}}}`, "client.tokn.x1: unknown key"},
		{`{"token": {"x1": 1}}`, "token.x1: unknown key"},
	}
	for _, tt := range tests {
		_, _, err := Load(Options{File: writeFile(t, "c.json", tt.file)})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.file, err, tt.want)
		}
	}
}

// Variables of former versions stop the server: it would run on a part of what they say.
func TestFormerEnviron(t *testing.T) {
	tests := []struct{ pair, want string }{
		{"CENTRIFUGO_ENGINE=redis", "CENTRIFUGO_ENGINE_TYPE"},
		{"CENTRIFUGO_NAMESPACES=[]", "CENTRIFUGO_CHANNEL_NAMESPACES"},
		{"CENTRIFUGO_RPC_NAMESPACE=x", ""},
		{"CENTRIFUGO_SECRET=x", "CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY"},
		{"CENTRIFUGO_TOKEN_HMAC_SECRET_KEY=x", "CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY"},
		{"CENTRIFUGO_API_KEY=x", "CENTRIFUGO_HTTP_API_KEY"},
		{"CENTRIFUGO_ALLOWED_ORIGINS=*", "CENTRIFUGO_CLIENT_ALLOWED_ORIGINS"},
		{"CENTRIFUGO_ADMIN=true", "CENTRIFUGO_ADMIN_ENABLED"},
		{"CENTRIFUGO_PORT=8000", "CENTRIFUGO_HTTP_SERVER_PORT"},
		{"CENTRIFUGO_PRESENCE=true", "CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_PRESENCE"},
		{"CENTRIFUGO_REDIS_ADDRESS=x", "CENTRIFUGO_ENGINE_REDIS_ADDRESS"},
		{"CENTRIFUGO_PORT=tcp://10.0.0.1:8000", ""},
		{"CENTRIFUGO_REDIS_PORT=tcp://10.0.0.1:6379", ""},
		{"CENTRIFUGO_SERVICE_PORT=8000", ""},
		{"CENTRIFUGO_SECRET=", ""},
		{"CENTRIFUGO_VAR_SECRET=x", ""},
		{"CENTRIFUGO_SOCKJS=true", "nothing replaces it"},
	}
	for _, tt := range tests {
		for source, o := range map[string]Options{"process": {Environ: []string{tt.pair}}, ".env": {DotEnv: writeFile(t, ".env", tt.pair)}} {
			_, _, err := Load(o)
			name, _, _ := strings.Cut(tt.pair, "=")
			if tt.want == "" && err != nil {
				t.Errorf("%s %s: %v; want no error", source, tt.pair, err)
			} else if tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), name+": ") || !strings.HasSuffix(err.Error(), tt.want) || !strings.Contains(err.Error(), "v5") || !strings.Contains(err.Error(), "centrifugo migrate")) {
				t.Errorf("%s %s: %v, want %q", source, tt.pair, err, tt.want)
			}
		}
	}
	// A hint needs more than the prefix that all variables share.
	_, warnings := mustLoad(t, "", "CENTRIFUGO_URL=x", "CENTRIFUGO_LOGLEVEL=info")
	got := strings.Join(ofKind(warnings, UnknownEnv), "\n")
	if !strings.Contains(got, "CENTRIFUGO_LOGLEVEL: unknown environment variable, did you mean CENTRIFUGO_LOG_LEVEL?") || !strings.Contains(got, "CENTRIFUGO_URL: unknown environment variable\n") && !strings.HasSuffix(got, "CENTRIFUGO_URL: unknown environment variable") {
		t.Errorf("%q; want a hint at LOG_LEVEL, and none for URL", got)
	}
}
