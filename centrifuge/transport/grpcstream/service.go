package grpcstream

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/refuse"
	"centrifugo/protocol"
)

// versionMetadata is the key of the metadata by which a client asks for a generation of the
// protocol, as the parameter of a WebSocket URL does (protocol.md 3.2).
const versionMetadata = "cf_protocol_version"

// wire is a service of this package: how clients call it, and how its connections travel.
type wire struct {
	service, method string // names on the wire
	transport       string // label of the connections in metrics
	unidirectional  bool
	// generations are what versionMetadata may ask for; that of "" applies without it.
	generations map[string]centrifuge.Generation
	// open prepares a call to become a connection. It returns what to do with the
	// session, or the status of a refusal.
	open func(*conn) (begin func(*centrifuge.Conn), err error)
}

var (
	onlyV2 = map[string]centrifuge.Generation{"": centrifuge.GenerationV2, "v2": centrifuge.GenerationV2}
	onlyV1 = map[string]centrifuge.Generation{
		"": centrifuge.GenerationV1, "v1": centrifuge.GenerationV1, "v1-draft": centrifuge.GenerationV1Draft,
	}
)

// wires are the services (protocol.md 3.6). Clients generate their names from the schemas in
// clientpb. proto.Centrifugo is the first name of proto.Centrifuge.
var wires = []wire{
	{"centrifugal.centrifugo.unistream.CentrifugoUniStream", "Consume", "uni_grpc", true, onlyV2, (*conn).consume},
	{"centrifugal.centrifuge.protocol.Centrifuge", "Communicate", "grpc", false, onlyV2, (*conn).communicate},
	{"proto.Centrifuge", "Communicate", "grpc", false, onlyV1, (*conn).communicate},
	{"proto.Centrifugo", "Communicate", "grpc", false, onlyV1, (*conn).communicate},
}

// Service makes connections of a node out of calls. It is safe for concurrent use.
type Service struct {
	// Static after construction.
	node   *centrifuge.Node
	config Config
	silent silentStreams
}

// NewService returns a Service that gives its connections to n. The connections end by
// n.Shutdown; stop the gRPC server after it.
func NewService(n *centrifuge.Node, c Config) *Service {
	c = c.withDefaults()
	return &Service{node: n, config: c, silent: silentStreams{limit: c.MaxSilentStreams, count: make(map[string]int)}}
}

// Register registers the services with a server, which needs Codec. The server bounds the
// messages of clients (grpc.MaxRecvMsgSize).
func (s *Service) Register(server grpc.ServiceRegistrar) {
	for i := range wires {
		w := &wires[i]
		if w.unidirectional == s.config.Bidirectional {
			continue
		}
		server.RegisterService(&grpc.ServiceDesc{
			ServiceName: w.service,
			HandlerType: (*any)(nil),
			Streams: []grpc.StreamDesc{{
				StreamName: w.method, ServerStreams: true, ClientStreams: !w.unidirectional,
				Handler: func(_ any, stream grpc.ServerStream) error { return s.serve(w, stream) },
			}},
		}, s)
	}
}

// serve serves a connection until its end.
func (s *Service) serve(w *wire, stream grpc.ServerStream) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = s.panicked(w, reason)
		}
	}()
	c := &conn{service: s, wire: w, stream: stream, interrupted: make(chan struct{}), resume: make(chan struct{}, 1)}
	client := address(stream.Context())
	if err := s.silent.add(client); err != nil {
		s.config.OnRefused(stream.Context(), client, status.Convert(err))
		return err
	}
	c.heard = sync.OnceFunc(func() { s.silent.remove(client) })
	defer c.heard()
	begin, err := c.admit()
	if err != nil {
		s.config.OnRefused(stream.Context(), client, status.Convert(err))
		return err
	}
	session, err := s.node.Accept(stream.Context(), c)
	if err != nil {
		return c.refuse(err)
	}
	c.session.Store(session)
	begin(session)
	return c.wait(session)
}

func (s *Service) panicked(w *wire, reason any) error {
	s.config.OnError(fmt.Errorf("panic in a connection of %s: %v\n%s", w.transport, reason, debug.Stack()))
	return status.Error(codes.Internal, "internal server error")
}

// admit decides whether a call becomes a connection.
func (c *conn) admit() (begin func(*centrifuge.Conn), err error) {
	ctx := c.stream.Context()
	if err := c.service.config.Admit(ctx); err != nil {
		return nil, err
	}
	version := strings.Join(metadata.ValueFromIncomingContext(ctx, versionMetadata), ",")
	generation, known := c.wire.generations[version]
	if !known {
		return nil, status.Errorf(codes.InvalidArgument, "%s does not have %s %.20q", c.wire.service, versionMetadata, version)
	}
	c.generation = generation
	return c.wire.open(c)
}

// consume receives the connect request of a unidirectional call.
func (c *conn) consume() (begin func(*centrifuge.Conn), err error) {
	m, err := c.receive()
	if err != nil {
		return nil, err
	}
	request, err := protocol.DecodeConnectRequest(protocol.FormatProtobuf, m.bytes)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "connect request is malformed")
	}
	return func(session *centrifuge.Conn) { session.Connect(request) }, nil
}

// receive waits for the message of a call. A call that is answered ends the goroutine which
// still waits.
func (c *conn) receive() (*message, error) {
	m := new(message)
	received := make(chan error, 1)
	go func() { received <- c.stream.RecvMsg(m) }()
	timeout := time.NewTimer(c.service.config.ConnectTimeout)
	defer timeout.Stop()
	select {
	case err := <-received:
		c.heard()
		return m, err //nolint:wrapcheck // it has the status to answer
	case <-timeout.C:
		return nil, status.Error(codes.DeadlineExceeded, "no connect request")
	}
}

// communicate lets a bidirectional call become a connection at once.
func (c *conn) communicate() (begin func(*centrifuge.Conn), err error) {
	return func(session *centrifuge.Conn) { go c.read(session) }, nil
}

// refuse ends a call that the node did not accept, as it ends a connection.
func (c *conn) refuse(err error) error {
	disconnect := refuse.Disconnect(err, c.wire.transport, c.service.config.OnError)
	if !c.wire.unidirectional {
		c.advise(c.adviceOf(disconnect))
		return nil
	}
	message, err := refuse.Push(protocol.FormatProtobuf|protocol.FormatUni, disconnect)
	if err != nil {
		return status.Error(codes.Internal, "internal server error")
	}
	return c.stream.SendMsg(message) //nolint:wrapcheck // it has the status to answer
}

func address(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return ""
}
