package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
)

// tokenSecret is client.token.hmac_secret_key of the server.
const tokenSecret = "token-secret"

// sign returns a JSON Web Token.
func sign(claims object) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(payload)
	mac := hmac.New(sha256.New, []byte(tokenSecret))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil)), nil
}

// serveToken answers a page of the application: with a token to connect, or to subscribe to a
// channel.
func (b *backend) serveToken(w http.ResponseWriter, r *http.Request) {
	claims, status := b.claims(r)
	if claims == nil {
		w.WriteHeader(status)
		return
	}
	token, err := sign(claims)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(object{"token": token}) // the page asks again
}

// claims returns those of the token that is asked for, or the status that refuses it.
func (b *backend) claims(r *http.Request) (claims object, refused int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	user, query := b.userOf(r.Header), r.URL.Query()
	channel := query.Get("channel")
	switch {
	case user == "":
		return nil, http.StatusUnauthorized
	case !query.Has("channel"):
		return object{"sub": user, "exp": b.expiry(), "info": infoOf(user)}, 0
	case !b.isMember(user, channel):
		return nil, http.StatusForbidden
	}
	return object{"sub": user, "channel": channel, "exp": b.expiry()}, 0
}
