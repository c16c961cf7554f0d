package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/override"
)

const secret = "test-secret-of-the-table"

// now is the clock of all tests.
var now = time.Unix(1_700_000_000, 500)

func newVerifier(t testing.TB, c config.Token, o Options) *Verifier {
	t.Helper()
	o.Now = func() time.Time { return now }
	v, err := NewVerifier(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// token signs claims given as JSON text, so that a test can write what no library would.
func token(t testing.TB, method jwt.SigningMethod, key any, claims string) string {
	t.Helper()
	return tokenWithHeader(t, method, key, `{"alg":"`+method.Alg()+`","typ":"JWT"}`, claims)
}

func tokenWithHeader(t testing.TB, method jwt.SigningMethod, key any, header, claims string) string {
	t.Helper()
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	sig, err := method.Sign(signed, key)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func hs256(t testing.TB, claims string) string {
	return token(t, jwt.SigningMethodHS256, []byte(secret), claims)
}

// nested is a JSON value with n levels.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// check reports whether an error is of a kind and contains no part of the token.
func check(t *testing.T, name string, err, want error, token string) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: %v, want %v", name, err, want)
	}
	if err != nil {
		for part := range strings.SplitSeq(token, ".") {
			if len(part) > 8 && strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error holds a part of the token: %v; want none", name, err)
			}
		}
	}
}

// The rows of server.md 3.2 and 3.4.
func TestVerifyConnectClaims(t *testing.T) {
	tests := []struct {
		name   string
		config config.Token
		claims string
		want   error
	}{
		{"plain", config.Token{}, `{"sub":"42"}`, nil},
		{"anonymous", config.Token{}, `{"sub":""}`, nil},
		{"no sub", config.Token{}, `{}`, nil},
		{"sub is a number", config.Token{}, `{"sub":42}`, ErrInvalidToken},
		{"claims are case-sensitive", config.Token{}, `{"sub":"42","CHANNEL":"x","Exp":1}`, nil},
		{"claims are an array", config.Token{}, `[]`, ErrInvalidToken},
		{"claims are null", config.Token{}, `null`, ErrInvalidToken},
		{"claims are not JSON", config.Token{}, `{`, ErrInvalidToken},
		{"claims are empty", config.Token{}, ``, ErrInvalidToken},
		{"aud is a number", config.Token{}, `{"aud":1}`, ErrInvalidToken},
		{"aud of numbers", config.Token{}, `{"aud":[1]}`, ErrInvalidToken},
		{"iss is a number", config.Token{}, `{"iss":1}`, ErrInvalidToken},
		{"exp is a text", config.Token{}, `{"exp":"soon"}`, ErrInvalidToken},
		{"exp is an empty string", config.Token{}, `{"exp":""}`, ErrInvalidToken},
		{"exp is a quoted date", config.Token{}, `{"exp":"2023-11-14"}`, ErrInvalidToken},
		{"exp is quoted with a space", config.Token{}, `{"exp":" 1700000001"}`, ErrInvalidToken},
		{"exp is a quoted hexadecimal number", config.Token{}, `{"exp":"0x7fffffff"}`, ErrInvalidToken},
		{"exp is quoted and not a number", config.Token{}, `{"exp":"NaN"}`, ErrInvalidToken},
		{"exp is quoted and infinite", config.Token{}, `{"exp":"Inf"}`, ErrInvalidToken},
		{"exp is quoted and beyond all numbers", config.Token{}, `{"exp":"1e300"}`, ErrInvalidToken},
		{"exp is in an array", config.Token{}, `{"exp":["1700000001"]}`, ErrInvalidToken},
		{"exp is quoted", config.Token{}, `{"exp":"1795646406"}`, nil},
		{"exp is quoted with a fraction", config.Token{}, `{"exp":"1700000001.9"}`, nil},
		{"exp is quoted with an exponent", config.Token{}, `{"exp":"1.8e9"}`, nil},
		{"exp is quoted and passed", config.Token{}, `{"exp":"1"}`, ErrTokenExpired},
		{"nbf is quoted and passed", config.Token{}, `{"nbf":"1699999999"}`, nil},
		{"nbf is quoted and in the future", config.Token{}, `{"nbf":"1700000001"}`, ErrTokenExpired},
		{"iat is quoted", config.Token{}, `{"iat":"1699999999"}`, nil},
		{"expire_at is quoted", config.Token{}, `{"expire_at":"1795646406"}`, nil},
		{"sub is not UTF-8", config.Token{}, "{\"sub\":\"\xff\"}", ErrInvalidToken},
		{"info is not UTF-8", config.Token{}, "{\"info\":\"\xff\"}", ErrInvalidToken},
		{"info is not UTF-8, but b64info is used", config.Token{}, "{\"info\":\"\xff\",\"b64info\":\"AQI=\"}", ErrInvalidToken},
		{"info is as deep as can be", config.Token{}, `{"info":` + nested(1024) + `}`, nil},
		{"info is too deep", config.Token{}, `{"info":` + nested(1025) + `}`, ErrInvalidToken},
		{"info of subs is too deep", config.Token{}, `{"subs":{"x":{"info":` + nested(1025) + `}}}`, ErrInvalidToken},
		{"data of subs is too deep", config.Token{}, `{"subs":{"x":{"data":` + nested(1025) + `}}}`, ErrInvalidToken},
		{"data of subs is not UTF-8", config.Token{}, "{\"subs\":{\"x\":{\"data\":\"\xff\"}}}", ErrInvalidToken},
		{"channel is a number", config.Token{}, `{"channel":1}`, ErrInvalidToken},
		{"channels is a string", config.Token{}, `{"channels":"x"}`, ErrInvalidToken},
		{"subs is an array", config.Token{}, `{"subs":[]}`, ErrInvalidToken},
		{"override is a bool", config.Token{}, `{"subs":{"x":{"override":{"presence":true}}}}`, ErrInvalidToken},
		{"meta is a string", config.Token{}, `{"meta":"x"}`, ErrInvalidToken},
		{"iat and jti are not looked at", config.Token{}, `{"iat":99999999999,"jti":1}`, nil},

		{"exp in the future", config.Token{}, `{"exp":1700000001}`, nil},
		{"exp with a fraction", config.Token{}, `{"exp":1700000001.9}`, nil},
		{"exp is now", config.Token{}, `{"exp":1700000000}`, ErrTokenExpired},
		{"exp passed", config.Token{}, `{"exp":1699999999}`, ErrTokenExpired},
		{"exp zero", config.Token{}, `{"exp":0}`, ErrTokenExpired},
		{"exp is the largest number", config.Token{}, `{"exp":9223372036854775807}`, nil},
		{"exp beyond all numbers", config.Token{}, `{"exp":1e300}`, ErrInvalidToken},
		{"exp null", config.Token{}, `{"exp":null}`, nil},
		{"nbf passed", config.Token{}, `{"nbf":1699999999}`, nil},
		{"nbf in the future", config.Token{}, `{"nbf":1700000001}`, ErrTokenExpired},
		{"expire_at does not replace the check of exp (server.md 3.2)", config.Token{}, `{"exp":1,"expire_at":0}`, ErrTokenExpired},
		{"expire_at passed is not this package's error", config.Token{}, `{"expire_at":1}`, nil},
		{"invalid beats expired", config.Token{Audience: "a"}, `{"exp":1}`, ErrInvalidToken},

		{"subscription token (server.md 3.2)", config.Token{}, `{"sub":"42","channel":"x"}`, ErrInvalidToken},
		{"subscription token beats expired", config.Token{}, `{"channel":"x","exp":1}`, ErrInvalidToken},
		{"empty channel claim", config.Token{}, `{"channel":""}`, nil},

		{"audience", config.Token{Audience: "a"}, `{"aud":"a"}`, nil},
		{"audience in an array", config.Token{Audience: "a"}, `{"aud":["b","a"]}`, nil},
		{"other audience", config.Token{Audience: "a"}, `{"aud":"aa"}`, ErrInvalidToken},
		{"no audience", config.Token{Audience: "a"}, `{}`, ErrInvalidToken},
		{"audience regex", config.Token{AudienceRegex: "^a.$"}, `{"aud":["b","ab"]}`, nil},
		{"audience regex does not match", config.Token{AudienceRegex: "^a.$"}, `{"aud":"a"}`, ErrInvalidToken},
		{"audience regex, no audience", config.Token{AudienceRegex: ".*"}, `{}`, ErrInvalidToken},
		{"issuer", config.Token{Issuer: "i"}, `{"iss":"i"}`, nil},
		{"other issuer", config.Token{Issuer: "i"}, `{"iss":"I"}`, ErrInvalidToken},
		{"issuer regex", config.Token{IssuerRegex: "^i+$"}, `{"iss":"ii"}`, nil},
		{"issuer regex does not match", config.Token{IssuerRegex: "^i+$"}, `{"iss":"x"}`, ErrInvalidToken},

		{"b64info is not base64", config.Token{}, `{"b64info":"!"}`, ErrBase64},
		{"b64info, but expired", config.Token{}, `{"b64info":"!","exp":1}`, ErrTokenExpired},
		{"b64info of subs is not base64", config.Token{}, `{"subs":{"x":{"b64info":"!"}}}`, ErrInvalidToken},
		{"b64data of subs is not base64", config.Token{}, `{"subs":{"x":{"b64data":"!"}}}`, ErrInvalidToken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.HMACSecretKey = secret
			text := hs256(t, tt.claims)
			got, err := newVerifier(t, tt.config, Options{}).VerifyConnect(t.Context(), text)
			check(t, "", err, tt.want, text)
			if err != nil && !reflect.DeepEqual(got, ConnectToken{}) {
				t.Errorf("a token beside an error: %+v; want none", got)
			}
			if tt.want != nil {
				return
			}
			// Whatever is valid with a signature is valid without, and everything but the signature still counts.
			if _, err := newVerifier(t, tt.config, Options{SkipSignature: true}).VerifyConnect(t.Context(), text+"x"); err != nil {
				t.Errorf("without signature: %v", err)
			}
		})
	}
}

func TestSkipSignatureKeepsEverythingElse(t *testing.T) {
	v := newVerifier(t, config.Token{AudienceRegex: "^a$", Issuer: "i"}, Options{SkipSignature: true})
	for claims, want := range map[string]error{
		`{"aud":"a","iss":"i"}`:         nil,
		`{"aud":"b","iss":"i"}`:         ErrInvalidToken,
		`{"aud":"a"}`:                   ErrInvalidToken,
		`{"aud":"a","iss":"i","exp":1}`: ErrTokenExpired,
	} {
		text := token(t, jwt.SigningMethodHS256, []byte("other"), claims)
		_, err := v.VerifyConnect(t.Context(), text)
		check(t, claims, err, want, text)
	}
}

func TestConnectToken(t *testing.T) {
	yes, no := &override.BoolValue{Value: true}, &override.BoolValue{}
	tests := []struct {
		name, claims string
		want         ConnectToken
	}{
		{"everything", `{"sub":"42","exp":1800000000,"info":{"n":1},"meta":{"m":1},"channels":["a","b"]}`,
			ConnectToken{User: "42", ExpireAt: 1800000000, Info: []byte(`{"n":1}`), Meta: []byte(`{"m":1}`), Subs: map[string]SubscribeOptions{"a": {}, "b": {}}}},
		{"expire_at wins", `{"exp":1800000000,"expire_at":1900000000}`, ConnectToken{ExpireAt: 1900000000}},
		{"expire_at zero means never", `{"exp":1800000000,"expire_at":0}`, ConnectToken{}},
		{"expire_at negative means never", `{"exp":1800000000,"expire_at":-1}`, ConnectToken{}},
		{"expire_at in the past", `{"expire_at":5}`, ConnectToken{ExpireAt: 5}},
		{"quoted dates", `{"exp":"1800000000","expire_at":"1900000000"}`, ConnectToken{ExpireAt: 1900000000}},
		{"quoted expire_at zero means never", `{"exp":"1800000000","expire_at":"0"}`, ConnectToken{}},
		{"empty channels", `{"channels":["","a",""]}`, ConnectToken{Subs: map[string]SubscribeOptions{"a": {}}}},
		{"nothing but an empty channel", `{"channels":[""]}`, ConnectToken{}},
		{"empty channel in subs", `{"subs":{"":{},"a":null}}`, ConnectToken{Subs: map[string]SubscribeOptions{"a": {}}}},
		{"b64info wins", `{"info":1,"b64info":"AQI="}`, ConnectToken{Info: []byte{1, 2}}},
		{"null is nothing", `{"sub":null,"info":null,"meta":null,"subs":null,"channels":["a"]}`, ConnectToken{Subs: map[string]SubscribeOptions{"a": {}}}},
		{"subs hide channels", `{"channels":["a"],"subs":{"b":{"info":1,"b64data":"AQI=","override":{
			"presence":{"value":true},"join_leave":{"value":false},"force_push_join_leave":{"value":true},"force_positioning":{"value":false},"force_recovery":{"value":true}}},"c":null}}`,
			ConnectToken{Subs: map[string]SubscribeOptions{
				"b": {Info: []byte("1"), Data: []byte{1, 2}, Override: &override.SubscribeOverride{
					Presence: yes, JoinLeave: no, ForcePushJoinLeave: yes, ForcePositioning: no, ForceRecovery: yes}}, "c": {}}}},
		{"empty subs hide channels", `{"channels":["a"],"subs":{}}`, ConnectToken{}},
	}
	for _, tt := range tests {
		got, err := newVerifier(t, config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: secret}}, Options{}).VerifyConnect(t.Context(), hs256(t, tt.claims))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestUserIDClaim(t *testing.T) {
	tests := []struct {
		claims, want string
		err          error
	}{
		{`{"uid":"a","sub":"b"}`, "a", nil},
		{`{"uid":12}`, "12", nil},
		{`{"uid":-9223372036854775809}`, "-9223372036854775809", nil},
		{`{"uid":1.50}`, "1.5", nil},
		{`{"uid":""}`, "", nil},
		{`{"sub":"b"}`, "", ErrInvalidToken}, // server.md 3.2
		{`{"uid":null}`, "", ErrInvalidToken},
		{`{"uid":{}}`, "", ErrInvalidToken},
		{`{"uid":true}`, "", ErrInvalidToken},
		{`{"UID":"a"}`, "", ErrInvalidToken},
	}
	v := newVerifier(t, config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: secret}, UserIDClaim: "uid"}, Options{})
	for _, tt := range tests {
		text := hs256(t, tt.claims)
		got, err := v.VerifyConnect(t.Context(), text)
		check(t, tt.claims, err, tt.err, text)
		if got.User != tt.want {
			t.Errorf("%s: user %q, want %q", tt.claims, got.User, tt.want)
		}
	}
}

func TestVerifySubscribe(t *testing.T) {
	yes := &override.BoolValue{Value: true}
	tests := []struct {
		name, claims string
		want         SubscribeToken
		err          error
	}{
		{"plain", `{"sub":"42","channel":"x"}`, SubscribeToken{User: "42", Channel: "x"}, nil},
		{"everything", `{"sub":"42","channel":"$x","client":"c","exp":1800000000,"expire_at":1900000000,"info":1,"data":{"d":1},"override":{"force_recovery":{"value":true}}}`,
			SubscribeToken{User: "42", Channel: "$x", Client: "c", ExpireAt: 1900000000,
				SubscribeOptions: SubscribeOptions{Info: []byte("1"), Data: []byte(`{"d":1}`), Override: &override.SubscribeOverride{ForceRecovery: yes}}}, nil},
		{"quoted dates", `{"channel":"x","exp":"1800000000","nbf":"1"}`, SubscribeToken{Channel: "x", ExpireAt: 1800000000}, nil},
		{"info is too deep", `{"channel":"x","info":` + nested(1025) + `}`, SubscribeToken{}, ErrInvalidToken},
		{"data is too deep", `{"channel":"x","data":` + nested(1025) + `}`, SubscribeToken{}, ErrInvalidToken},
		{"data is not UTF-8", "{\"channel\":\"x\",\"data\":\"\xff\"}", SubscribeToken{}, ErrInvalidToken},
		{"base64 wins", `{"channel":"x","info":1,"b64info":"AQ==","data":2,"b64data":"Ag=="}`,
			SubscribeToken{Channel: "x", SubscribeOptions: SubscribeOptions{Info: []byte{1}, Data: []byte{2}}}, nil},
		{"expire_at zero means never", `{"channel":"x","exp":1800000000,"expire_at":0}`, SubscribeToken{Channel: "x"}, nil},
		{"no channel", `{"sub":"42"}`, SubscribeToken{}, ErrInvalidToken},
		{"expired beats no channel", `{"exp":1}`, SubscribeToken{}, ErrTokenExpired},
		{"expired", `{"channel":"x","exp":1}`, SubscribeToken{}, ErrTokenExpired},
		{"b64info is not base64", `{"channel":"x","b64info":"!"}`, SubscribeToken{}, ErrInvalidToken},
		{"client is a number", `{"channel":"x","client":1}`, SubscribeToken{}, ErrInvalidToken},
		{"override is an array", `{"channel":"x","override":[]}`, SubscribeToken{}, ErrInvalidToken},
	}
	v := newVerifier(t, config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: secret}}, Options{})
	for _, tt := range tests {
		text := hs256(t, tt.claims)
		got, err := v.VerifySubscribe(t.Context(), text)
		check(t, tt.name, err, tt.err, text)
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestSubscribeTokenMatches(t *testing.T) {
	any := SubscribeToken{User: "u", Channel: "x"}
	one := SubscribeToken{User: "u", Channel: "x", Client: "c"}
	for _, tt := range []struct {
		token                 SubscribeToken
		user, channel, client string
		want                  bool
	}{
		{any, "u", "x", "c", true}, {any, "v", "x", "c", false}, {any, "u", "y", "c", false},
		{one, "u", "x", "c", true}, {one, "u", "x", "d", false},
	} {
		if got := tt.token.Matches(tt.user, tt.channel, tt.client); got != tt.want {
			t.Errorf("%+v: %v; want %v", tt, got, tt.want)
		}
	}
}

// pair is a private key and the PEM text of its public part.
type pair struct {
	private crypto.Signer
	public  config.PEM
}

func newPair(t testing.TB, private crypto.Signer) pair {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pair{private, config.PEM(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
}

func (p pair) certificate(t testing.TB) config.PEM {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, p.private.Public(), p.private)
	if err != nil {
		t.Fatal(err)
	}
	return config.PEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

type pairs struct{ rsa, rsa2, p256, p384, p521, ed pair }

func newPairs(t testing.TB) pairs {
	t.Helper()
	must := func(key crypto.Signer, err error) pair {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return newPair(t, key)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	r2, err2 := rsa.GenerateKey(rand.Reader, 2048)
	p256, err3 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err4 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, err5 := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, ed, err6 := ed25519.GenerateKey(rand.Reader)
	return pairs{must(r, err), must(r2, err2), must(p256, err3), must(p384, err4), must(p521, err5), must(ed, err6)}
}

func TestAlgorithms(t *testing.T) {
	k := newPairs(t)
	hmac := config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: secret}}
	everything := config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: secret, RSAPublicKey: k.rsa.public, ECDSAPublicKey: k.p256.public, ED25519PublicKey: k.ed.public}}
	tests := []struct {
		name   string
		config config.Token
		method jwt.SigningMethod
		key    any
		want   error
	}{
		{"HS256", everything, jwt.SigningMethodHS256, []byte(secret), nil},
		{"HS384", everything, jwt.SigningMethodHS384, []byte(secret), nil},
		{"HS512", everything, jwt.SigningMethodHS512, []byte(secret), nil},
		{"HS256, other secret", everything, jwt.SigningMethodHS256, []byte("other"), ErrInvalidToken},
		{"HS256, no secret configured", config.Token{TokenKeys: config.TokenKeys{RSAPublicKey: k.rsa.public}}, jwt.SigningMethodHS256, []byte(""), ErrInvalidToken},
		{"RS256", everything, jwt.SigningMethodRS256, k.rsa.private, nil},
		{"RS384", everything, jwt.SigningMethodRS384, k.rsa.private, nil},
		{"RS512", everything, jwt.SigningMethodRS512, k.rsa.private, nil},
		{"RS256, certificate", config.Token{TokenKeys: config.TokenKeys{RSAPublicKey: k.rsa.certificate(t)}}, jwt.SigningMethodRS256, k.rsa.private, nil},
		{"RS256, other key", everything, jwt.SigningMethodRS256, k.rsa2.private, ErrInvalidToken},
		{"RS256, no key", hmac, jwt.SigningMethodRS256, k.rsa.private, ErrInvalidToken},
		{"PS256 is not supported", everything, jwt.SigningMethodPS256, k.rsa.private, ErrInvalidToken},
		{"ES256", everything, jwt.SigningMethodES256, k.p256.private, nil},
		{"ES384", config.Token{TokenKeys: config.TokenKeys{ECDSAPublicKey: k.p384.public}}, jwt.SigningMethodES384, k.p384.private, nil},
		{"ES512", config.Token{TokenKeys: config.TokenKeys{ECDSAPublicKey: k.p521.certificate(t)}}, jwt.SigningMethodES512, k.p521.private, nil},
		{"ES384, curve of ES256", everything, jwt.SigningMethodES384, k.p384.private, ErrInvalidToken},
		{"ES256, no key", hmac, jwt.SigningMethodES256, k.p256.private, ErrInvalidToken},
		{"EdDSA", everything, jwt.SigningMethodEdDSA, k.ed.private, nil},
		{"EdDSA, certificate", config.Token{TokenKeys: config.TokenKeys{ED25519PublicKey: k.ed.certificate(t)}}, jwt.SigningMethodEdDSA, k.ed.private, nil},
		{"EdDSA, no key", hmac, jwt.SigningMethodEdDSA, k.ed.private, ErrInvalidToken},
		{"none", everything, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, ErrInvalidToken},
		// Algorithm confusion: the public key used as an HMAC secret.
		{"HS256 with the RSA public key", config.Token{TokenKeys: config.TokenKeys{RSAPublicKey: k.rsa.public}}, jwt.SigningMethodHS256, []byte(k.rsa.public), ErrInvalidToken},
		{"HS256 with the RSA public key beside a secret", everything, jwt.SigningMethodHS256, []byte(k.rsa.public), ErrInvalidToken},
		{"key set configured: keys are ignored (server.md 3.3)", config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: secret, JWKSPublicEndpoint: "https://x"}}, jwt.SigningMethodHS256, []byte(secret), ErrInvalidToken},
	}
	for _, tt := range tests {
		text := token(t, tt.method, tt.key, `{"sub":"42"}`)
		_, err := newVerifier(t, tt.config, Options{}).VerifyConnect(t.Context(), text)
		check(t, tt.name, err, tt.want, text)
	}
	confused := curveConfusion(t, k.p256)
	_, err := newVerifier(t, everything, Options{}).VerifyConnect(t.Context(), confused)
	check(t, "ES384 with a key for ES256", err, ErrInvalidToken, confused)
}

// curveConfusion returns a token of algorithm ES384 that was signed with a key of ES256.
func curveConfusion(t *testing.T, p pair) string {
	t.Helper()
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES384"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{}`))
	sum := sha512.Sum384([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, p.private.(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestPreviousSecret(t *testing.T) {
	tests := []struct {
		name  string
		until int64
		key   string
		want  error
	}{
		{"main secret", 0, secret, nil},
		{"previous, no end", 0, "previous", nil},
		{"previous, before the end", now.Unix() + 1, "previous", nil},
		{"previous, at the end", now.Unix(), "previous", nil},
		{"previous, after the end", now.Unix() - 1, "previous", ErrInvalidToken},
		{"main secret after the end", now.Unix() - 1, secret, nil},
		{"neither", 0, "neither", ErrInvalidToken},
	}
	for _, tt := range tests {
		v := newVerifier(t, config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: secret, HMACPreviousSecretKey: "previous", HMACPreviousSecretKeyValidUntil: tt.until}}, Options{})
		text := token(t, jwt.SigningMethodHS512, []byte(tt.key), `{}`)
		_, err := v.VerifyConnect(t.Context(), text)
		check(t, tt.name, err, tt.want, text)
	}
	v := newVerifier(t, config.Token{TokenKeys: config.TokenKeys{HMACPreviousSecretKey: "previous"}}, Options{})
	text := token(t, jwt.SigningMethodHS256, []byte("previous"), `{}`)
	_, err := v.VerifyConnect(t.Context(), text)
	check(t, "previous without main", err, ErrInvalidToken, text)
}

func TestMalformed(t *testing.T) {
	valid := hs256(t, `{"sub":"42"}`)
	header, rest, _ := strings.Cut(valid, ".")
	body, sig, _ := strings.Cut(rest, ".")
	tests := []struct{ name, text string }{
		{"empty", ""},
		{"one part", header},
		{"two parts", header + "." + body},
		{"four parts", valid + ".x"},
		{"header is not base64", "!." + rest},
		{"header is not JSON", "e30x." + rest},
		{"no signature", header + "." + body + "."},
		{"signature is not base64", header + "." + body + ".!"},
		{"padding", header + "." + body + "=." + sig},
		{"changed claims", header + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"43"}`)) + "." + sig},
		{"alg is not a string", tokenWithHeader(t, jwt.SigningMethodHS256, []byte(secret), `{"alg":1}`, `{}`)},
		{"no alg", tokenWithHeader(t, jwt.SigningMethodHS256, []byte(secret), `{}`, `{}`)},
		{"unknown alg", tokenWithHeader(t, jwt.SigningMethodHS256, []byte(secret), `{"alg":"HS1"}`, `{}`)},
		{"alg in lower case", tokenWithHeader(t, jwt.SigningMethodHS256, []byte(secret), `{"alg":"hs256"}`, `{}`)},
		{"critical header", tokenWithHeader(t, jwt.SigningMethodHS256, []byte(secret), `{"alg":"HS256","crit":["b64"],"b64":false}`, `{}`)},
		{"too long", hs256(t, `{"x":"`+strings.Repeat("x", maxToken)+`"}`)},
	}
	v := newVerifier(t, config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: secret}}, Options{})
	for _, tt := range tests {
		_, err := v.VerifyConnect(t.Context(), tt.text)
		check(t, tt.name, err, ErrInvalidToken, tt.text)
	}
	if _, err := v.VerifyConnect(t.Context(), valid); err != nil {
		t.Errorf("the token they are made of: %v", err)
	}
}

func TestNewVerifierErrors(t *testing.T) {
	k := newPairs(t)
	tests := []struct {
		config config.Token
		want   string
	}{
		{config.Token{TokenKeys: config.TokenKeys{RSAPublicKey: k.p256.public}}, "rsa_public_key: holds a key of another kind"},
		{config.Token{TokenKeys: config.TokenKeys{ECDSAPublicKey: k.ed.public}}, "ecdsa_public_key: holds a key of another kind"},
		{config.Token{TokenKeys: config.TokenKeys{ED25519PublicKey: k.rsa.public}}, "ed25519_public_key: holds a key of another kind"},
		{config.Token{TokenKeys: config.TokenKeys{RSAPublicKey: "no such file"}}, "rsa_public_key: neither PEM"},
		{config.Token{TokenKeys: config.TokenKeys{RSAPublicKey: "-----BEGIN X-----\n-----END X-----\n"}}, "rsa_public_key: neither a public key"},
		{config.Token{AudienceRegex: "("}, "audience_regex: "},
		{config.Token{IssuerRegex: "("}, "issuer_regex: "},
	}
	for _, tt := range tests {
		if _, err := NewVerifier(tt.config, Options{}); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
	if _, err := NewVerifier(config.Token{TokenKeys: config.TokenKeys{RSAPublicKey: config.PEM(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY",
		Bytes: x509.MarshalPKCS1PublicKey(k.rsa.private.Public().(*rsa.PublicKey))}))}}, Options{}); err != nil {
		t.Errorf("PKCS #1: %v", err)
	}
}

func TestGenerate(t *testing.T) {
	c := config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: secret}, UserIDClaim: "uid"}
	text, err := Generate(c, Claims{User: "12", Channel: "ch", TTL: time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := newVerifier(t, c, Options{}).VerifySubscribe(t.Context(), text)
	if err != nil || got.User != "12" || got.Channel != "ch" || got.ExpireAt != now.Unix()+3600 {
		t.Errorf("got %+v, %v; want user 12, channel ch and an end in an hour", got, err)
	}
	algorithm, claims, ok := Inspect(text)
	if !ok || algorithm != "HS256" || string(claims) != `{"channel":"ch","exp":1700003600,"iat":1700000000,"sub":"12","uid":"12"}` {
		t.Errorf("%s %s %v; want HS256, true and the claims in order", algorithm, claims, ok)
	}
	if _, err := Generate(config.Token{}, Claims{}, now); err == nil {
		t.Error("no secret, yet a token; want an error")
	}
	if _, _, ok := Inspect("x"); ok {
		t.Error("Inspect of a malformed token = true; want false")
	}
}

func FuzzVerifyConnect(f *testing.F) {
	f.Add(hs256(f, `{"sub":"42","exp":1800000000,"subs":{"a":{"b64info":"AQ=="}}}`), `{"sub":"x"}`)
	f.Add("a.b.c", `{"aud":["a"],"exp":1e3,"channel":"x"}`)
	v := newVerifier(f, config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: secret}}, Options{})
	skip := newVerifier(f, config.Token{UserIDClaim: "sub"}, Options{SkipSignature: true})
	f.Fuzz(func(t *testing.T, text, claims string) {
		_, err := v.VerifyConnect(t.Context(), text)
		known(t, err)
		signed := hs256(t, claims)
		c, err := v.VerifyConnect(t.Context(), signed)
		known(t, err)
		s, subErr := v.VerifySubscribe(t.Context(), signed)
		known(t, subErr)
		if err == nil && subErr == nil {
			t.Errorf("%s is a token of both kinds; want one kind at most", claims)
		}
		if subErr == nil && s.Channel == "" || c.ExpireAt < 0 {
			t.Errorf("%+v %+v; want a channel, and an expiry of 0 or later", c, s)
		}
		_, err = skip.VerifyConnect(t.Context(), text)
		known(t, err)
	})
}

// known reports whether an error is one of those that callers handle.
func known(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, ErrInvalidToken) && !errors.Is(err, ErrTokenExpired) && !errors.Is(err, ErrBase64) {
		t.Errorf("error %v; want one of the package", err)
	}
}

func BenchmarkVerifyConnect(b *testing.B) {
	v := newVerifier(b, config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: secret}}, Options{})
	text := hs256(b, `{"sub":"42","exp":1800000000,"info":{"name":"x"}}`)
	for b.Loop() {
		if _, err := v.VerifyConnect(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
}
