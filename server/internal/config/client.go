package config

import "time"

// Client is section client.
type Client struct {
	// Origins that browsers may connect from: glob patterns (`*`, `?`, `[abc]`, `{a,b}`) matched against the
	// lower-cased Origin header. Empty: only requests without an Origin. `["*"]`: every origin.
	AllowedOrigins []string `key:"allowed_origins" reload:"yes"`
	// Verification of connection tokens, and of subscription tokens unless subscription_token is enabled.
	Token Token `key:"token" reload:"yes"`
	// Verification of subscription tokens with settings of their own.
	SubscriptionToken SubscriptionToken `key:"subscription_token" reload:"yes"`
	// Events of a connection that are decided by the application backend.
	Proxy ClientProxy `key:"proxy"`
	// Accept connections without a token as anonymous (empty user ID).
	AllowAnonymousConnectWithoutToken bool `key:"allow_anonymous_connect_without_token" reload:"yes"`
	// Refuse tokens whose user ID is empty.
	DisallowAnonymousConnectionTokens bool `key:"disallow_anonymous_connection_tokens" reload:"yes"`
	// How often a client is pinged; must exceed pong_timeout.
	PingInterval time.Duration `key:"ping_interval" default:"25s"`
	// How long the answer to a ping is waited for.
	PongTimeout time.Duration `key:"pong_timeout" default:"8s"`
	// Time after the expiry of a connection before it is closed (3005).
	ExpiredCloseDelay time.Duration `key:"expired_close_delay" default:"25s"`
	// Time after the expiry of a subscription before it is ended (2501).
	ExpiredSubCloseDelay time.Duration `key:"expired_sub_close_delay" default:"25s"`
	// Time a connection may stay unauthenticated before it is closed (3502).
	StaleCloseDelay time.Duration `key:"stale_close_delay" default:"10s"`
	// Subscriptions allowed on one connection.
	ChannelLimit int `key:"channel_limit" default:"128"`
	// Bytes that one connection may leave unread before it is closed as slow (3008). A single larger message is sent all
	// the same, and replies do not count: while half of this is unread, the connection's commands wait.
	QueueMaxSize int `key:"queue_max_size" default:"1048576"`
	// Bytes queued for all connections of the node whose sockets are full, counted for each connection. A connection
	// that exceeds the limit is closed as slow (3008). 0: a quarter of the memory limit, 268435456 where there is none.
	QueueMaxTotalSize int `key:"queue_max_total_size"`
	// Bytes of publications in one reply: of a recovery, of all recoveries of a connect, of a history command. A larger
	// recovery is answered as not recovered, a longer history is cut. 0: no limit.
	ReplyMaxSize int `key:"reply_max_size" default:"16777216"`
	// How long a connection that got something to send waits for more, at most 1s; less than pong_timeout. Replies and
	// pings wait too. What gathers leaves in one write, at once when max_messages_in_frame messages or 64 KiB wait. 0: no wait.
	WriteDelay time.Duration `key:"write_delay"`
	// Messages joined at most in one frame of the transport, up to 65535. 1: none are joined, and write_delay has no
	// effect. 0: the default. -1: as many as there are, 65535 at most.
	MaxMessagesInFrame int `key:"max_messages_in_frame" default:"64"`
	// How often the presence of a connection is renewed and the expiry of its subscriptions checked.
	PresenceUpdateInterval time.Duration `key:"presence_update_interval" default:"27s"`
	// Commands of one client processed at the same time when greater than 1.
	Concurrency int `key:"concurrency"`
	// How often the position of a positioned subscription is compared with its stream.
	ChannelPositionCheckDelay time.Duration `key:"channel_position_check_delay" default:"40s"`
	// Lag of a position behind the top of its stream that is still tolerated. 0: none.
	ChannelPositionMaxTimeLag time.Duration `key:"channel_position_max_time_lag"`
	// Connections allowed on this node; more are refused with HTTP status 503. 0: no limit.
	ConnectionLimit int `key:"connection_limit"`
	// Connections of one user allowed on this node; more are closed with 3504. 0: no limit.
	UserConnectionLimit int `key:"user_connection_limit"`
	// New connections per second allowed on this node; more are refused with HTTP status 503. 0: no limit.
	ConnectionRateLimit int `key:"connection_rate_limit"`
	// New connections are refused with HTTP status 503 while the server is so busy that work waits longer than this for a
	// processor; fewer are admitted until it does not. 0: never refused.
	ConnectionMaxDelay time.Duration `key:"connection_max_delay" default:"1s"`
	// Put the server time into the reply to connect.
	ConnectIncludeServerTime bool `key:"connect_include_server_time"`
	// Publications returned at most by one history command of a client.
	HistoryMaxPublicationLimit int `key:"history_max_publication_limit" default:"300"`
	// Publications recovered at most by one subscribe command.
	RecoveryMaxPublicationLimit int `key:"recovery_max_publication_limit" default:"300"`
	// INSECURE, for development: no authentication, and clients may do everything.
	Insecure bool `key:"insecure" reload:"yes"`
	// INSECURE, for tests: token signatures are not verified (claims still are).
	InsecureSkipTokenSignatureVerify bool `key:"insecure_skip_token_signature_verify" reload:"yes"`
	// HTTP header with the user ID set by an authenticating proxy in front of this server. Empty: not used.
	UserIDHTTPHeader string `key:"user_id_http_header"`
	// Automatic subscription of each user to a channel of its own.
	SubscribeToUserPersonalChannel UserPersonalChannel `key:"subscribe_to_user_personal_channel" reload:"yes"`
	// Overrides how errors of connect become disconnects on unidirectional transports.
	ConnectCodeToUnidirectionalDisconnect ConnectCodeToUnidirectionalDisconnect `key:"connect_code_to_unidirectional_disconnect"`
}

// UserPersonalChannel is section client.subscribe_to_user_personal_channel.
type UserPersonalChannel struct {
	// Subscribe every non-anonymous connection to the channel `[namespace:]#<user>`.
	Enabled bool `key:"enabled"`
	// Namespace of the personal channels. Empty: without namespace.
	PersonalChannelNamespace string `key:"personal_channel_namespace"`
	// Keep only the newest connection of a user; needs presence in the namespace.
	SingleConnection bool `key:"single_connection"`
}

// ConnectCodeToUnidirectionalDisconnect is section client.connect_code_to_unidirectional_disconnect.
type ConnectCodeToUnidirectionalDisconnect struct {
	// Apply the transforms.
	Enabled bool `key:"enabled"`
	// First entry with the code of the error decides.
	Transforms []UnidirectionalCodeTransform `key:"transforms"`
}

// UnidirectionalCodeTransform turns one error code of connect into a disconnect.
type UnidirectionalCodeTransform struct {
	// Error code to match.
	Code uint32 `key:"code"`
	// Disconnect used instead.
	To TransformDisconnect `key:"to"`
}

// TokenKeys are where the keys of tokens come from.
type TokenKeys struct {
	// Secret for HS256, HS384 and HS512.
	HMACSecretKey string `key:"hmac_secret_key"`
	// Former secret, tried when a signature does not match hmac_secret_key.
	HMACPreviousSecretKey string `key:"hmac_previous_secret_key"`
	// Unix time in seconds after which the former secret is no longer tried. 0: no end.
	HMACPreviousSecretKeyValidUntil int64 `key:"hmac_previous_secret_key_valid_until"`
	// Public key (PKIX) or certificate for RS256, RS384 and RS512.
	RSAPublicKey PEM `key:"rsa_public_key"`
	// Public key (PKIX) or certificate for ES256, ES384 and ES512; the curve must match the algorithm.
	ECDSAPublicKey PEM `key:"ecdsa_public_key"`
	// Public key (PKIX) or certificate for EdDSA (Ed25519). An addition of this server.
	ED25519PublicKey PEM `key:"ed25519_public_key"`
	// URL of a JSON Web Key Set; when set, the keys above are ignored. `{{name}}` in it stands for what the group with that name
	// in issuer_regex or audience_regex matches; an entry of issuers has no variables.
	JWKSPublicEndpoint string `key:"jwks_public_endpoint"`
	// TLS of the connections to jwks_public_endpoint and to an OpenID Connect provider. Without it https URLs are verified with
	// the authorities of the system. An addition of this server.
	JWKSTLS TLS `key:"jwks_tls"`
}

// Token is section client.token: how tokens (JWT) are verified.
type Token struct {
	TokenKeys
	// URL of an OpenID Connect provider, which is also the value that claim iss must have. Its key set is found by discovery;
	// the keys above are ignored. Not together with jwks_public_endpoint, issuer or issuer_regex. An addition of this server.
	OpenIDIssuer string `key:"openid_issuer"`
	// Issuers with keys of their own. A token whose claim iss is that of an entry is verified with that entry, every other token
	// with the keys above. An addition of this server.
	Issuers []TokenIssuer `key:"issuers"`
	// Value that claim aud must have or contain. Not together with audience_regex.
	Audience string `key:"audience"`
	// Regular expression that claim aud, or one element of it, must match.
	AudienceRegex string `key:"audience_regex"`
	// Value that claim iss must have. Not together with issuer_regex.
	Issuer string `key:"issuer"`
	// Regular expression that claim iss must match.
	IssuerRegex string `key:"issuer_regex"`
	// Claim that holds the user ID instead of sub; letters and underscores. A token without it is invalid.
	UserIDClaim string `key:"user_id_claim"`
	// Skip the check at start that the template of jwks_public_endpoint can only lead to known URLs.
	InsecureSkipJWKSEndpointSafetyCheck bool `key:"insecure_skip_jwks_endpoint_safety_check"`
}

// TokenIssuer is an entry of client.token.issuers: the keys for the tokens of one issuer.
type TokenIssuer struct {
	// Value of claim iss.
	Issuer string `key:"issuer"`
	// The issuer is the URL of an OpenID Connect provider, whose key set is found by discovery.
	OpenID bool `key:"openid"`
	TokenKeys
	// Value that claim aud must have or contain. Empty: what the section says.
	Audience string `key:"audience"`
	// Claim that holds the user ID. Empty: what the section says.
	UserIDClaim string `key:"user_id_claim"`
}

// ofIssuer returns an entry as a section of its own. What the entry leaves empty is that of
// the section, which is the receiver; its keys and rules for issuers do not apply.
func (t *Token) ofIssuer(i TokenIssuer) Token {
	own := Token{TokenKeys: i.TokenKeys, Issuer: i.Issuer, Audience: i.Audience, UserIDClaim: i.UserIDClaim}
	if i.OpenID {
		own.Issuer, own.OpenIDIssuer = "", i.Issuer
	}
	if own.Audience == "" {
		own.Audience, own.AudienceRegex = t.Audience, t.AudienceRegex
	}
	if own.UserIDClaim == "" {
		own.UserIDClaim = t.UserIDClaim
	}
	return own
}

// ByIssuer returns the entries of issuers, each as a section of its own, in order.
// The value of claim iss is Issuer or OpenIDIssuer.
func (t *Token) ByIssuer() []Token {
	sections := make([]Token, len(t.Issuers))
	for i, issuer := range t.Issuers {
		sections[i] = t.ofIssuer(issuer)
	}
	return sections
}

// SubscriptionToken is section client.subscription_token.
type SubscriptionToken struct {
	// Verify subscription tokens with this section instead of client.token.
	Enabled bool `key:"enabled"`
	Token
}

// ClientProxy is section client.proxy.
type ClientProxy struct {
	// Asks the backend to authenticate a connection.
	Connect EventProxy `key:"connect"`
	// Asks the backend to prolong a connection.
	Refresh EventProxy `key:"refresh"`
}
