package centrifuge

import (
	"errors"
	"fmt"
)

// Error answers a client's command. A handler may return one. Codes 400-1999
// are the application's. Source: protocol.md 7.
type Error struct {
	Code    uint32
	Message string
	// Temporary tells the client that the same command may succeed later.
	Temporary bool
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("error %d: %s", e.Code, e.Message) }

// Is makes errors.Is compare by code.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error) //nolint:errorlint // Is is called once for each error of the chain
	return ok && other.Code == e.Code
}

// The errors of the protocol.
var (
	// ErrorInternal: the server failed, and the client cannot correct it.
	ErrorInternal = &Error{Code: 100, Message: "internal server error", Temporary: true}
	// ErrorUnauthorized: the client has no credentials.
	ErrorUnauthorized = &Error{Code: 101, Message: "unauthorized"}
	// ErrorUnknownChannel: the channel's namespace is not configured.
	ErrorUnknownChannel = &Error{Code: 102, Message: "unknown channel"}
	// ErrorPermissionDenied: this client may not.
	ErrorPermissionDenied = &Error{Code: 103, Message: "permission denied"}
	// ErrorMethodNotFound: no such RPC method or V1 command.
	ErrorMethodNotFound = &Error{Code: 104, Message: "method not found"}
	// ErrorAlreadySubscribed: also while a subscribe is under way.
	ErrorAlreadySubscribed = &Error{Code: 105, Message: "already subscribed"}
	// ErrorLimitExceeded: too many channels on one connection.
	ErrorLimitExceeded = &Error{Code: 106, Message: "limit exceeded"}
	// ErrorBadRequest: well-formed, but not valid.
	ErrorBadRequest = &Error{Code: 107, Message: "bad request"}
	// ErrorNotAvailable: the feature is off for this channel or server.
	ErrorNotAvailable = &Error{Code: 108, Message: "not available"}
	// ErrorTokenExpired makes the client get a new token and try again.
	ErrorTokenExpired = &Error{Code: 109, Message: "token expired"}
	// ErrorExpired: the expiry given lies in the past.
	ErrorExpired = &Error{Code: 110, Message: "expired"}
	// ErrorTooManyRequests: a rate limit.
	ErrorTooManyRequests = &Error{Code: 111, Message: "too many requests", Temporary: true}
	// ErrorUnrecoverablePosition: the stream does not reach back to the position.
	ErrorUnrecoverablePosition = &Error{Code: 112, Message: "unrecoverable position"}
	// ErrorConcurrentPagination: a page of the same channel is being read.
	ErrorConcurrentPagination = &Error{Code: 113, Message: "concurrent pagination", Temporary: true}
)

// Errors of the library's own calls.
var (
	// ErrNotRunning is returned by a node whose Run was not called.
	ErrNotRunning = errors.New("node is not running: call Run first")
	// ErrStarted is returned by Run and Handle once Run was called.
	ErrStarted = errors.New("node was started already")
	// ErrShutdown is returned by a node whose Shutdown was called, or whose Run has failed.
	ErrShutdown = errors.New("node is shutting down")
	// ErrNoHistory is returned where the broker keeps no history.
	ErrNoHistory = errors.New("broker keeps no history")
)
