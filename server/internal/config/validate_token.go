package config

import (
	"net/url"
	"regexp"
	"strings"
)

func (l *loader) validateToken(path string, t *Token) {
	for _, pair := range []struct{ key, exact, pattern string }{
		{"audience", t.Audience, t.AudienceRegex}, {"issuer", t.Issuer, t.IssuerRegex},
	} {
		if pair.exact != "" && pair.pattern != "" {
			l.problemf(path+"."+pair.key, "cannot be used together with %s_regex", pair.key)
		}
		if _, err := regexp.Compile(pair.pattern); err != nil {
			l.problem(path+"."+pair.key+"_regex", err.Error())
		}
	}
	l.claimName(path+".user_id_claim", t.UserIDClaim)
	if t.JWKSPublicEndpoint != "" && !webURL(strings.NewReplacer("{{", "", "}}", "").Replace(t.JWKSPublicEndpoint)) {
		l.problem(path+".jwks_public_endpoint", "must be an http or https URL")
	}
	if t.OpenIDIssuer != "" {
		l.validateOpenID(path+".openid_issuer", t.OpenIDIssuer)
		if t.JWKSPublicEndpoint != "" || t.Issuer != "" || t.IssuerRegex != "" {
			l.problem(path+".openid_issuer", "cannot be used together with jwks_public_endpoint, issuer or issuer_regex")
		}
	}
	seen := map[string]bool{}
	for i := range t.Issuers {
		l.validateIssuer(itemPath(path+".issuers", i, ""), &t.Issuers[i], seen)
	}
	if seen[t.OpenIDIssuer] || seen[t.Issuer] {
		l.problem(path+".issuers", "one of the issuers is also that of the section")
	}
}

func (l *loader) validateIssuer(path string, i *TokenIssuer, seen map[string]bool) {
	switch {
	case i.Issuer == "":
		l.problem(path+".issuer", "is needed")
		return
	case seen[i.Issuer]:
		l.problemf(path+".issuer", "%q is defined twice", i.Issuer)
	}
	seen[i.Issuer] = true
	keys := i.HMACSecretKey != "" || i.RSAPublicKey != "" || i.ECDSAPublicKey != "" || i.ED25519PublicKey != ""
	sources := 0
	for _, given := range []bool{keys, i.JWKSPublicEndpoint != "", i.OpenID} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		l.problem(path, "needs exactly one source of keys: openid, jwks_public_endpoint, or keys")
	}
	if i.HMACPreviousSecretKey != "" && i.HMACSecretKey == "" {
		l.problem(path+".hmac_previous_secret_key", "needs hmac_secret_key")
	}
	if i.OpenID {
		l.validateOpenID(path+".issuer", i.Issuer)
	}
	if i.JWKSPublicEndpoint != "" && (!webURL(i.JWKSPublicEndpoint) || strings.Contains(i.JWKSPublicEndpoint, "{{")) {
		l.problem(path+".jwks_public_endpoint", "must be an http or https URL without variables")
	}
	l.claimName(path+".user_id_claim", i.UserIDClaim)
}

// validateOpenID checks the URL of a provider (OpenID Connect Discovery 1.0, section 3).
func (l *loader) validateOpenID(key, issuer string) {
	if !webURL(issuer) || strings.ContainsAny(issuer, "?#{") {
		l.problem(key, "must be an http or https URL without query and fragment")
	}
}

func (l *loader) claimName(key, name string) {
	if name != "" && !claimName.MatchString(name) {
		l.problem(key, "must match "+claimName.String())
	}
}

func webURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
