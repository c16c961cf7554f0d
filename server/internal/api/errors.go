package api

import "centrifugo/centrifuge"

// Error is the answer to a call that failed (server.md 1.3).
type Error struct {
	Code    uint32 `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// badRequest returns ErrorBadRequest with a reason. It is for requests that upstream
// accepts; requests that upstream refuses too get the same message as there.
func badRequest(reason error) *Error {
	return &Error{Code: ErrorBadRequest.Code, Message: ErrorBadRequest.Message + ": " + reason.Error()}
}

// The errors of the server API (server.md 1.3). Most are those that clients
// get; two have a message of their own.
var (
	// ErrorInternal reports that a broker, a presence manager or another node failed.
	ErrorInternal = clientError(centrifuge.ErrorInternal)
	// ErrorUnknownChannel reports that the channel's namespace is not configured.
	ErrorUnknownChannel = clientError(centrifuge.ErrorUnknownChannel)
	// ErrorNotFound reports that the method does not exist.
	ErrorNotFound = &Error{Code: centrifuge.ErrorMethodNotFound.Code, Message: "not found"}
	// ErrorBadRequest reports a request that is well-formed, but not valid.
	ErrorBadRequest = clientError(centrifuge.ErrorBadRequest)
	// ErrorLimitExceeded reports that no node can start another trace.
	ErrorLimitExceeded = clientError(centrifuge.ErrorLimitExceeded)
	// ErrorNotAvailable reports that the feature is off for this channel or server.
	ErrorNotAvailable = clientError(centrifuge.ErrorNotAvailable)
	// ErrorUnrecoverablePosition reports that the stream has another epoch now.
	ErrorUnrecoverablePosition = clientError(centrifuge.ErrorUnrecoverablePosition)
	// ErrorConflict reports that reads of one map channel collided.
	ErrorConflict = &Error{Code: centrifuge.ErrorConcurrentPagination.Code, Message: "conflict"}
)

// clientError returns an error of the client protocol as one of the server API.
func clientError(e *centrifuge.Error) *Error { return &Error{Code: e.Code, Message: e.Message} }
