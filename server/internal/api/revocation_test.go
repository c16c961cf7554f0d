package api

import (
	"strings"
	"testing"
	"time"

	"centrifugo/server/internal/revocation"
)

func TestRevocationMethods(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := revocation.New(revocation.Options{Now: func() time.Time { return now }})
	a := New(Options{Revocations: r})
	blocked := func() bool { return r.Blocked("u") }
	token := func(id string, issued int64) func() bool {
		return func() bool { return r.Revoked(revocation.Token{User: "u", ID: id, IssuedAt: issued}) }
	}
	tests := []struct {
		method, body string
		code         uint32
		in           func() bool // whether it is in force; nil: not looked at
		want         bool
	}{
		{"block_user", `{"user":"u"}`, 0, blocked, true},
		{"unblock_user", `{"user":"u"}`, 0, blocked, false},
		{"unblock_user", `{"user":"never"}`, 0, nil, false},
		{"block_user", `{"user":"u","expire_at":1700000010}`, 0, blocked, true},
		{"block_user", `{"user":"u","expire_at":1700000000}`, 107, nil, false},
		{"block_user", `{"user":"u","expire_at":1700000010000}`, 107, nil, false},
		{"block_user", `{"user":""}`, 107, nil, false},
		{"block_user", `{}`, 107, nil, false},
		{"unblock_user", `{}`, 107, nil, false},
		{"revoke_token", `{"uid":"t"}`, 0, token("t", 0), true},
		{"revoke_token", `{"uid":"t2","expire_at":1700000010}`, 0, token("t2", 0), true},
		{"revoke_token", `{}`, 107, nil, false},
		{"revoke_token", `{"uid":"` + strings.Repeat("x", 2000) + `"}`, 107, nil, false},
		{"invalidate_user_tokens", `{"user":"u","issued_before":1600000000}`, 0, token("", 1_599_999_999), true},
		{"invalidate_user_tokens", `{"user":"u","issued_before":1600000000}`, 0, token("", 1_600_000_000), false},
		{"invalidate_user_tokens", `{"user":"u"}`, 0, token("", 1_700_000_000), true},
		{"invalidate_user_tokens", `{"user":"u"}`, 0, token("", 1_700_000_001), false},
		{"invalidate_user_tokens", `{"user":"u","issued_before":1700000000000}`, 107, nil, false},
		{"invalidate_user_tokens", `{"user":"u","issued_before":-1}`, 107, nil, false},
		{"invalidate_user_tokens", `{}`, 107, nil, false},
	}
	for _, tt := range tests {
		_, apiErr, err := MethodByName(tt.method).CallJSON(t.Context(), a, []byte(tt.body))
		var code uint32
		if apiErr != nil {
			code = apiErr.Code
		}
		if err != nil || code != tt.code {
			t.Errorf("%s %s: %v, %v; want code %d", tt.method, tt.body, apiErr, err, tt.code)
		}
		if tt.in != nil && tt.in() != tt.want {
			t.Errorf("%s %s: in force %v; want %v", tt.method, tt.body, tt.in(), tt.want)
		}
	}
	without := New(Options{})
	for _, name := range []string{"block_user", "unblock_user", "revoke_token", "invalidate_user_tokens"} {
		if _, apiErr, _ := MethodByName(name).CallJSON(t.Context(), without, []byte(`{"user":"u","uid":"t"}`)); apiErr != ErrorNotAvailable {
			t.Errorf("%s without revocations: %v; want %v", name, apiErr, ErrorNotAvailable)
		}
	}
}
