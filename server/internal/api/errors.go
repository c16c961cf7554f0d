package api

// Error is the answer to a call that failed. The zero value of both fields is
// left out in JSON (server-interface 1.3).
type Error struct {
	Code    uint32 `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// badRequest is ErrorBadRequest with the reason in its message, for requests that
// upstream accepts. What upstream refuses has its message.
func badRequest(reason error) *Error {
	return &Error{Code: ErrorBadRequest.Code, Message: ErrorBadRequest.Message + ": " + reason.Error()}
}

// The errors of the server API (server-interface 1.3). Their messages differ
// from those that clients get.
var (
	// ErrorInternal: a broker, a presence manager or another node failed.
	ErrorInternal = &Error{Code: 100, Message: "internal server error"}
	// ErrorUnknownChannel: the channel's namespace is not configured.
	ErrorUnknownChannel = &Error{Code: 102, Message: "unknown channel"}
	// ErrorNotFound: no such method.
	ErrorNotFound = &Error{Code: 104, Message: "not found"}
	// ErrorBadRequest: well-formed, but not valid.
	ErrorBadRequest = &Error{Code: 107, Message: "bad request"}
	// ErrorNotAvailable: off for this channel or this server.
	ErrorNotAvailable = &Error{Code: 108, Message: "not available"}
	// ErrorUnrecoverablePosition: the stream has another epoch by now.
	ErrorUnrecoverablePosition = &Error{Code: 112, Message: "unrecoverable position"}
	// ErrorConflict: reads of one map channel collided.
	ErrorConflict = &Error{Code: 113, Message: "conflict"}
)
