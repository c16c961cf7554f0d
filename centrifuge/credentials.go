package centrifuge

import "context"

// Credentials identify a connection. Middleware puts them into the request's context
// with SetCredentials, or the Connecting handler returns them.
type Credentials struct {
	// UserID is empty for an anonymous connection.
	UserID string
	// Exp is the Unix time in seconds at which the connection expires, zero for never.
	Exp int64
	// Info is shown to others: in presence, joins, leaves and publications.
	Info []byte
}

// credentialsKey is the key of a *Credentials in a connection's context.
type credentialsKey struct{}

// SetCredentials returns a context that carries credentials for the connection.
func SetCredentials(ctx context.Context, credentials *Credentials) context.Context {
	return context.WithValue(ctx, credentialsKey{}, credentials)
}

// credentialsFrom returns nil when there are none.
func credentialsFrom(ctx context.Context) *Credentials {
	credentials, _ := ctx.Value(credentialsKey{}).(*Credentials)
	return credentials
}
