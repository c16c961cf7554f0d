// Package revocation keeps which users are blocked and which tokens are revoked. Each
// node has a copy of all entries, so that asking it costs no request; the engine keeps
// them, and the nodes follow its changes.
package revocation
