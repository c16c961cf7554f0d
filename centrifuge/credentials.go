package centrifuge

import "context"

// Credentials say who a connection is. Middleware puts a *Credentials into the
// request's context under CredentialsContextKey, or the Connecting handler
// returns one.
type Credentials struct {
	// UserID is empty for an anonymous connection.
	UserID string
	// Exp is the Unix time in seconds at which the connection expires, zero for never.
	Exp int64
	// Info is shown to others: in presence, joins, leaves and publications.
	Info []byte
}

type contextKey struct{ name string }

// CredentialsContextKey is the key of a *Credentials in a connection's context.
var CredentialsContextKey any = &contextKey{"credentials"}

// SetCredentials returns a context that carries credentials for the connection.
func SetCredentials(ctx context.Context, credentials *Credentials) context.Context {
	return context.WithValue(ctx, CredentialsContextKey, credentials)
}

// credentialsFrom returns nil when there are none.
func credentialsFrom(ctx context.Context) *Credentials {
	credentials, _ := ctx.Value(CredentialsContextKey).(*Credentials)
	return credentials
}
