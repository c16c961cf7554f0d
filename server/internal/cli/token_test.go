package cli

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
)

const tokenConfigFile = `{"client": {"token": {"hmac_secret_key": "s1"}, "subscription_token": {"hmac_secret_key": "s2"}}}`

const jwtPattern = `[-_A-Za-z0-9]+\.[-_A-Za-z0-9]+\.[-_A-Za-z0-9]+`

func TestGenToken(t *testing.T) {
	tests := []struct {
		args []string
		want string // pattern of the output
	}{
		{[]string{"gentoken", "-u", "12"}, `HMAC SHA-256 JWT for user "12" with expiration TTL 168h0m0s:\n` + jwtPattern + `\n`},
		{[]string{"gentoken"}, `HMAC SHA-256 JWT for anonymous user with expiration TTL 168h0m0s:\n` + jwtPattern + `\n`},
		{[]string{"gentoken", "--user", "12", "--ttl", "60"}, `HMAC SHA-256 JWT for user "12" with expiration TTL 1m0s:\n` + jwtPattern + `\n`},
		{[]string{"gentoken", "-u", "12", "-t", "-1"}, `HMAC SHA-256 JWT for user "12" without expiration:\n` + jwtPattern + `\n`},
		{[]string{"gentoken", "-u", "12", "-q"}, jwtPattern},
		{[]string{"gensubtoken", "-u", "12", "-s", "ch"}, `HMAC SHA-256 JWT for user "12" and channel "ch" with expiration TTL 168h0m0s:\n` + jwtPattern + `\n`},
		{[]string{"gensubtoken", "-s", "ch", "-t", "-1"}, `HMAC SHA-256 JWT for anonymous user and channel "ch" without expiration:\n` + jwtPattern + `\n`},
		{[]string{"gensubtoken", "-s", "ch", "--quiet"}, jwtPattern},
	}
	inDir(t, map[string]string{"config.json": tokenConfigFile})
	for _, tt := range tests {
		r := command(nil, tt.args...)
		if r.code != 0 || r.stderr != "" || !regexp.MustCompile("^"+tt.want+"$").MatchString(r.stdout) {
			t.Errorf("%v: %+v; want code 0 and %q", tt.args, r, tt.want)
		}
	}
}

func TestGenTokenRefuses(t *testing.T) {
	inDir(t, map[string]string{"config.json": tokenConfigFile, "empty.json": "{}", "bad.json": "{"})
	command(nil, "gentoken", "-c", "empty.json").expect(t, 1, "", "error: no HMAC secret key is configured\n")
	command(nil, "gensubtoken").expect(t, 1, "", "error: a channel is needed: flag -s\n")
	command(nil, "gentoken", "-t", "9223372036854775807").expect(t, 1, "", "error: the TTL exceeds a hundred years\n")
	if r := command(nil, "gentoken", "-c", "bad.json"); r.code != 1 || r.stdout != "" {
		t.Errorf("%+v; want code 1 and stdout nothing", r)
	}
}

func TestTokenClaims(t *testing.T) {
	inDir(t, map[string]string{"config.json": `{"client": {"token": {"hmac_secret_key": "s", "user_id_claim": "uid"}}}`})
	r := command(nil, "gentoken", "-u", "12", "-t", "100", "-q")
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(r.stdout, ".")[1])
	if err != nil || !regexp.MustCompile(`^\{"exp":\d+,"iat":\d+,"sub":"12","uid":"12"\}$`).Match(payload) {
		t.Errorf("claims %s, %v; want exp, iat, sub and uid", payload, err)
	}
	r = command(nil, "gentoken", "-t", "-1", "-q")
	if payload, _ = base64.RawURLEncoding.DecodeString(strings.Split(r.stdout, ".")[1]); strings.Contains(string(payload), "exp") {
		t.Errorf("%s; want no \"exp\" in it", payload)
	}
}

func TestCheckToken(t *testing.T) {
	inDir(t, map[string]string{"config.json": tokenConfigFile, "other.json": `{"client": {"token": {"hmac_secret_key": "x"}}}`})
	connect := command(nil, "gentoken", "-u", "12", "-q").stdout
	anonymous := command(nil, "gentoken", "-q").stdout
	sub := command(nil, "gensubtoken", "-u", "12", "-s", "ch", "-q").stdout
	tests := []struct {
		args           []string
		code           int
		stdout, stderr string // patterns
	}{
		{[]string{"checktoken", connect}, 0, `valid token for user 12\npayload: \{"exp":\d+,"iat":\d+,"sub":"12"\}\n`, ""},
		{[]string{"checktoken", anonymous}, 0, `valid token for anonymous user\npayload: \{.*\}\n`, ""},
		{[]string{"checksubtoken", sub}, 0, `valid subscription token for user "12" and channel "ch"\npayload: \{"channel":"ch",.*\}\n`, ""},
		{[]string{"checktoken", sub}, 1, "", `error: token with algorithm HS256 and claims \{"channel":"ch",.*\} has error: invalid token: .*\n`},
		{[]string{"checksubtoken", connect}, 1, "", `error: token with algorithm HS256 and claims \{.*\} has error: invalid token: .*\n`},
		{[]string{"checktoken", "-c", "other.json", connect}, 1, "", `error: token with algorithm HS256 and claims \{.*\} has error: invalid token: signature: .*\n`},
		{[]string{"checktoken", "nonsense"}, 1, "", `error: token is malformed\n`},
		{[]string{"checktoken"}, 1, "", `error: accepts 1 arg\(s\), received 0\n`},
	}
	for _, tt := range tests {
		r := command(nil, tt.args...)
		if r.code != tt.code || !regexp.MustCompile("^"+tt.stdout+"$").MatchString(r.stdout) || !regexp.MustCompile("^"+tt.stderr+"$").MatchString(r.stderr) {
			t.Errorf("%v: %+v; want code %d, %q, %q", tt.args, r, tt.code, tt.stdout, tt.stderr)
		}
	}
}

// TestCheckTokenUnits: dates in another unit than seconds are valid and not meant.
func TestCheckTokenUnits(t *testing.T) {
	inDir(t, map[string]string{"config.json": `{"client": {"insecure_skip_token_signature_verify": true, "token": {"hmac_secret_key": "s"}}}`})
	for _, tt := range []struct {
		claims  string
		code    int
		warning string
	}{
		{`{"exp":1795646406000}`, 0, "warning: claim exp looks like milliseconds; it is read as seconds\n"},
		{`{"exp":1795646406000000}`, 0, "warning: claim exp looks like microseconds; it is read as seconds\n"},
		{`{"exp":1795646406000000000}`, 0, "warning: claim exp looks like nanoseconds; it is read as seconds\n"},
		{`{"exp":1795646406000.5}`, 0, "warning: claim exp looks like milliseconds; it is read as seconds\n"},
		{`{"exp":9999999999,"iat":1764110406000}`, 0, "warning: claim iat looks like milliseconds; it is read as seconds\n"},
		{`{"exp":9999999999,"expire_at":1795646406000}`, 0, "warning: claim expire_at looks like milliseconds; it is read as seconds\n"},
		{`{"nbf":1764110406000}`, 1, "warning: claim nbf looks like milliseconds; it is read as seconds\n"},
		{`{"exp":9999999999,"nbf":1}`, 0, ""},
		{`{"exp":99999999999}`, 0, ""},
		{`{}`, 0, ""},
	} {
		encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
		token := encode(`{"alg":"HS256"}`) + "." + encode(tt.claims) + "." + encode("x")
		r := command(nil, "checktoken", token)
		warning, rest, _ := strings.Cut(r.stderr, "error:")
		if r.code != tt.code || warning != tt.warning || (rest != "") != (tt.code != 0) {
			t.Errorf("%s: %+v; want code %d, warning %q, an error unless the code is 0", tt.claims, r, tt.code, tt.warning)
		}
	}
}

// A section of its own for subscription tokens separates the two kinds of secrets.
func TestSubscriptionTokenSection(t *testing.T) {
	inDir(t, map[string]string{"config.json": tokenConfigFile})
	apart := []string{"CENTRIFUGO_CLIENT_SUBSCRIPTION_TOKEN_ENABLED=true"}
	sub := command(apart, "gensubtoken", "-s", "ch", "-q").stdout
	if r := command(apart, "checksubtoken", sub); r.code != 0 {
		t.Errorf("%+v; want code 0", r)
	}
	if r := command(nil, "checksubtoken", sub); r.code != 1 {
		t.Errorf("the secret of connection tokens verified it: %+v; want code 1", r)
	}
}
