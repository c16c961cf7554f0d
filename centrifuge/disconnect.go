package centrifuge

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxReason is how many bytes of a reason a WebSocket close frame takes.
const maxReason = 123

var (
	errReasonLength = fmt.Errorf("disconnect reason is longer than %d bytes", maxReason)
	errReasonText   = errors.New("disconnect reason is not UTF-8")
)

// Disconnect closes a connection. A handler may return one as its error. The
// list below is closed; codes 4000-4999 are the application's.
// Source: protocol.md 7.
type Disconnect struct {
	// Code tells the client whether to come back: below 3500 and 4000-4499 it
	// reconnects, otherwise it does not. Valid are 3000-4999, and those below that a
	// WebSocket close frame may have: 1000-1003 and 1007-1014 (RFC 6455, 7.4).
	Code uint32
	// Reason is at most 123 bytes of UTF-8 and no JSON.
	Reason string
}

// Error implements error.
func (d Disconnect) Error() string { return fmt.Sprintf("disconnect %d: %s", d.Code, d.Reason) }

// Reconnect reports whether a client that gets d comes back.
func (d Disconnect) Reconnect() bool {
	return d.Code < 3500 || d.Code >= 4000 && d.Code < 4500 || d.Code >= 5000
}

// Validate reports why d cannot be sent to a client.
func (d Disconnect) Validate() error {
	switch {
	case !d.sendable():
		return fmt.Errorf("disconnect code %d must not be sent: 3000-4999, 1000-1003 and 1007-1014 may be", d.Code)
	case len(d.Reason) > maxReason:
		return errReasonLength
	case !utf8.ValidString(d.Reason):
		return errReasonText
	}
	return nil
}

func (d Disconnect) sendable() bool {
	return d.Code >= 3000 && d.Code <= 4999 || d.Code >= 1000 && d.Code <= 1003 || d.Code >= 1007 && d.Code <= 1014
}

// valid is what is sent for d. All codes that must not be sent let the client come
// back, as DisconnectServerError does.
func (d Disconnect) valid() Disconnect {
	if !d.sendable() {
		return DisconnectServerError
	}
	d.Reason = strings.ToValidUTF8(d.Reason, "\uFFFD")
	d.Reason = cutRunes(d.Reason, maxReason)
	return d
}

func cutRunes(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// closeReason is the text of a close frame. V1 clients read JSON; V2 clients
// try JSON first, for V1's sake, and so must not be given any (protocol.md 5.8).
// For JSON that does not fit the reason is cut.
func (d Disconnect) closeReason(v1 bool) string {
	if !v1 {
		return d.Reason
	}
	for reason := d.Reason; ; {
		text, _ := json.Marshal(struct { // a string and a bool cannot fail
			Reason    string `json:"reason"`
			Reconnect bool   `json:"reconnect"`
		}{reason, d.Reconnect()})
		if len(text) <= maxReason {
			return string(text)
		}
		reason = cutRunes(reason, len(reason)-1)
	}
}

// The disconnects of the protocol. A client returns after 3000-3499 and stays
// away after 3500-3999.
var (
	// DisconnectConnectionClosed means that the client left. It is never sent.
	DisconnectConnectionClosed = Disconnect{3000, "connection closed"}
	// DisconnectShutdown: this node goes down.
	DisconnectShutdown = Disconnect{3001, "shutdown"}
	// DisconnectServerError: the server failed, and the client cannot correct it.
	DisconnectServerError = Disconnect{3004, "internal server error"}
	// DisconnectExpired: the connection was not refreshed in time.
	DisconnectExpired = Disconnect{3005, "connection expired"}
	// DisconnectSubExpired: a server-side subscription was not refreshed in time.
	DisconnectSubExpired = Disconnect{3006, "subscription expired"}
	// DisconnectSlow: the queue of messages to the client outgrew its limit.
	DisconnectSlow = Disconnect{3008, "slow"}
	// DisconnectWriteError: the socket refused a write or took nothing for too long.
	DisconnectWriteError = Disconnect{3009, "write error"}
	// DisconnectInsufficientState: the position of a server-side subscription was
	// lost, or its gap cannot be told in any other way.
	DisconnectInsufficientState = Disconnect{3010, "insufficient state"}
	// DisconnectForceReconnect: the application asked the client to come again.
	DisconnectForceReconnect = Disconnect{3011, "force reconnect"}
	// DisconnectNoPong: a ping was not answered in time.
	DisconnectNoPong = Disconnect{3012, "no pong"}
	// DisconnectTooManyRequests: a rate limit.
	DisconnectTooManyRequests = Disconnect{3013, "too many requests"}
	// DisconnectStateInvalidated: the client's cached tokens and positions are void.
	DisconnectStateInvalidated = Disconnect{3014, "state invalidated"}
	// DisconnectInvalidToken: a token is forged or does not fit.
	DisconnectInvalidToken = Disconnect{3500, "invalid token"}
	// DisconnectBadRequest: the client broke the protocol.
	DisconnectBadRequest = Disconnect{3501, "bad request"}
	// DisconnectStale: the client did not connect in time.
	DisconnectStale = Disconnect{3502, "stale"}
	// DisconnectForceNoReconnect: the application does not want this client.
	DisconnectForceNoReconnect = Disconnect{3503, "force disconnect"}
	// DisconnectConnectionLimit: the user has too many connections.
	DisconnectConnectionLimit = Disconnect{3504, "connection limit"}
	// DisconnectChannelLimit: too many server-side subscriptions.
	DisconnectChannelLimit = Disconnect{3505, "channel limit"}
	// DisconnectInappropriateProtocol is a code of the protocol. The node does not use
	// it: a payload that a connection cannot carry is left out or answered with an error.
	DisconnectInappropriateProtocol = Disconnect{3506, "inappropriate protocol"}
	// DisconnectPermissionDenied: this user may not connect.
	DisconnectPermissionDenied = Disconnect{3507, "permission denied"}
	// DisconnectNotAvailable: the command has no handler and no answer.
	DisconnectNotAvailable = Disconnect{3508, "not available"}
	// DisconnectTooManyErrors: an error rate limit.
	DisconnectTooManyErrors = Disconnect{3509, "too many errors"}
)

// Unsubscribe ends a subscription. Clients subscribe again when Code >= 2500.
type Unsubscribe struct {
	Code   uint32
	Reason string
}

// The unsubscribes of the protocol; 2100-2499 and 2600-2999 are the application's.
var (
	// UnsubscribeClient means that the client asked for it. It is never sent.
	UnsubscribeClient = Unsubscribe{0, "client unsubscribed"}
	// UnsubscribeDisconnect means that the connection ended. It is never sent.
	UnsubscribeDisconnect = Unsubscribe{1, "client disconnected"}
	// UnsubscribeServer: the application ended the subscription.
	UnsubscribeServer = Unsubscribe{2000, "server unsubscribe"}
	// UnsubscribeInsufficient: the position was lost; the client recovers.
	UnsubscribeInsufficient = Unsubscribe{2500, "insufficient state"}
	// UnsubscribeExpired: the subscription was not refreshed in time.
	UnsubscribeExpired = Unsubscribe{2501, "subscription expired"}
	// UnsubscribeStateInvalidated: the client subscribes from scratch.
	UnsubscribeStateInvalidated = Unsubscribe{2502, "state invalidated"}
)
