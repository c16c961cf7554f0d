package apigrpc

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"centrifugo/apipb"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/requestid"
)

// legacyService is the name of the service in the servers of the second generation. Its
// messages are the same (server.md 2).
const legacyService = "api.Centrifugo"

// errorModeTransport reports errors as status (server.md 1.3), by configuration or by the
// metadata of a call.
const (
	errorModeTransport = "transport"
	errorModeMetadata  = "x-centrifugo-error-mode"
)

// register adds the service under both of its names.
func (s *Server) register(to *grpc.Server) {
	description := grpc.ServiceDesc{
		ServiceName: string(service().FullName()),
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{{StreamName: "Stream", ServerStreams: true, ClientStreams: true, Handler: s.stream}},
		Metadata:    file.Path(),
	}
	for i := range forms() {
		f := &forms()[i]
		description.Methods = append(description.Methods, grpc.MethodDesc{MethodName: f.call, Handler: s.method(f)})
	}
	to.RegisterService(&description, s)
	description.ServiceName = legacyService
	to.RegisterService(&description, s)
}

// method returns the handler of a call.
func (s *Server) method(f *form) grpc.MethodHandler {
	return func(_ any, parent context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (_ any, err error) {
		call := &unary{form: f}
		call.ctx.Begin(parent, sentID)
		ctx := &call.ctx
		defer s.recovered(ctx, f.call, &err)
		if err := s.admit(ctx); err != nil {
			return nil, err
		}
		call.request = f.method.NewRequest()
		if err := decode(call); err != nil {
			return nil, err
		}
		if call.malformed != nil {
			return nil, s.malformed(ctx, call.malformed)
		}
		call.result, call.err = f.method.CallDecoded(ctx, s.api, call.request)
		if call.err != nil && s.errorsAsStatus(ctx) {
			return nil, statusOf(call.err)
		}
		return call, nil
	}
}

// sentID returns the id that a call has in its metadata, or an empty string.
func sentID(ctx context.Context) string {
	if ids := metadata.ValueFromIncomingContext(ctx, requestid.Metadata); len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// readAhead is how many commands of a stream are decoded while another one is executed.
// Beyond it the flow control of gRPC slows the caller down.
const readAhead = 16

// stream executes the commands of a stream in order.
func (s *Server) stream(_ any, stream grpc.ServerStream) (err error) {
	ctx := new(requestid.Context)
	ctx.Begin(stream.Context(), sentID) // cancelled when this function returns
	defer s.recovered(ctx, "Stream", &err)
	if err := s.admit(ctx); err != nil {
		return err
	}
	commands, ended := make(chan command, readAhead), make(chan error, 1)
	go func() { ended <- receive(stream, commands) }()
	for {
		select {
		case c, ok := <-commands:
			switch {
			case !ok:
				return <-ended
			case c.err != nil:
				return s.malformed(ctx, c.err)
			}
			if err := stream.SendMsg(&reply{s.api.Execute(ctx, c.value)}); err != nil {
				return err //nolint:wrapcheck // a status
			}
		case <-s.stopping:
			return status.Error(codes.Unavailable, "the server is shutting down")
		}
	}
}

// receive passes on the commands of a stream until it ends, then closes the channel.
func receive(stream grpc.ServerStream, commands chan<- command) error {
	defer close(commands)
	for {
		var c command
		err := stream.RecvMsg(&c)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // a status
		}
		select {
		case commands <- c:
		case <-stream.Context().Done():
			return stream.Context().Err() //nolint:wrapcheck // the call has ended
		}
	}
}

func (s *Server) malformed(ctx context.Context, err error) error {
	s.refused(ctx, slog.LevelInfo, codes.InvalidArgument, err.Error())
	return status.Error(codes.InvalidArgument, err.Error())
}

func (s *Server) errorsAsStatus(ctx context.Context) bool {
	if s.transportMode {
		return true
	}
	mode := metadata.ValueFromIncomingContext(ctx, errorModeMetadata)
	return len(mode) > 0 && mode[0] == errorModeTransport
}

// statusOf returns an error of the API as a status (server.md 1.3).
func statusOf(apiErr *api.Error) error {
	st := status.New(statusCode(apiErr.Code), apiErr.Message)
	detailed, err := st.WithDetails(&apipb.Error{Code: apiErr.Code, Message: apiErr.Message})
	if err != nil {
		return st.Err() //nolint:wrapcheck // a status
	}
	return detailed.Err() //nolint:wrapcheck // a status
}

func statusCode(code uint32) codes.Code {
	switch code {
	case api.ErrorUnknownChannel.Code, api.ErrorNotFound.Code:
		return codes.NotFound
	case api.ErrorBadRequest.Code, api.ErrorNotAvailable.Code:
		return codes.InvalidArgument
	case api.ErrorUnrecoverablePosition.Code:
		return codes.OutOfRange
	case api.ErrorConflict.Code:
		return codes.AlreadyExists
	}
	return codes.Internal
}
