package apigrpc

import (
	"context"
	"log/slog"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"centrifugo/internal/logsample"
	"centrifugo/server/internal/secret"
)

// keyring checks the metadata of calls. The whole value "apikey KEY" is compared
// (server.md 2).
type keyring struct {
	insecure bool
	key      secret.Secret
}

func newKeyring(key string, insecure bool) *keyring {
	return &keyring{insecure: insecure, key: secret.New(key)}
}

// refuses returns why a call is refused, or an empty string.
func (k *keyring) refuses(ctx context.Context) string {
	if k.insecure {
		return ""
	}
	if !k.key.IsSet() {
		return "grpc_api.key is not set"
	}
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) == 0 {
		return "no authorization in the metadata"
	}
	if key, ok := strings.CutPrefix(values[0], "apikey "); !ok || !k.key.Matches(key) {
		return "wrong key, or authorization is not of the form 'apikey KEY'"
	}
	return ""
}

// SetKey replaces the key; calls with the old one are refused from then on. If insecure
// is set, calls need no key. It is safe for concurrent use.
func (s *Server) SetKey(key string, insecure bool) {
	if key == "" && !insecure {
		s.log.Error("grpc_api.key is not set: every call of the gRPC API is refused")
	}
	s.keys.Store(newKeyring(key, insecure))
}

func (s *Server) admit(ctx context.Context) error {
	reason := s.keys.Load().refuses(ctx)
	if reason == "" {
		return nil
	}
	s.refused(ctx, slog.LevelWarn, codes.Unauthenticated, reason)
	return status.Error(codes.Unauthenticated, "unauthenticated")
}

// refused logs a call that is refused, unless there were too many such lines.
func (s *Server) refused(ctx context.Context, level slog.Level, code codes.Code, reason string) {
	ok, suppressed := s.refusals.Take(logsample.Key{Code: uint32(code)})
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("code", code.String()), slog.String("reason", reason)}
	if method, ok := grpc.Method(ctx); ok {
		attrs = append(attrs, slog.String("method", method))
	}
	if p, ok := peer.FromContext(ctx); ok {
		attrs = append(attrs, slog.String("remote", p.Addr.String()))
	}
	if suppressed > 0 {
		attrs = append(attrs, slog.Uint64("suppressed", suppressed))
	}
	s.log.LogAttrs(ctx, level, "api call refused", attrs...)
}
