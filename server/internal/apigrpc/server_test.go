package apigrpc

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"centrifugo/apipb"
	"centrifugo/centrifuge"
	"centrifugo/internal/await"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/revocation"
)

// running is a server on loopback, with a connection to it.
type running struct {
	server *Server
	conn   *grpc.ClientConn
	api    apipb.CentrifugoApiClient
	ctx    context.Context // with the key
	log    *await.Output
}

func rules(t testing.TB) *channels.Rules {
	t.Helper()
	rules, err := channels.New(config.Channel{
		MaxLength: 255, PrivatePrefix: "$", NamespaceBoundary: ":", UserBoundary: "#", UserSeparator: ",",
		Namespaces: []config.Namespace{
			{Name: "hist", ChannelOptions: config.ChannelOptions{HistorySize: 10, HistoryTTL: time.Minute, Presence: true}},
			{Name: "json", ChannelOptions: config.ChannelOptions{PublicationDataFormat: "json"}},
		},
	}, channels.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func start(t testing.TB, node api.Node, change func(*config.GRPCAPI)) *running {
	t.Helper()
	cfg := config.GRPCAPI{Key: "K3y"}
	if change != nil {
		change(&cfg)
	}
	r := &running{log: new(await.Output)}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	all := rules(t)
	r.server = New(Options{
		API:    api.New(api.Options{Protocol: "grpc", Binary: true, Node: node, Rules: func() *channels.Rules { return all }, Revocations: revocation.New(revocation.Options{}), Log: log}),
		Config: cfg, Log: log,
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(listener) }()
	if r.conn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.conn.Close()
		_ = r.server.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve returned %v; want nil", err)
		}
	})
	r.api = apipb.NewCentrifugoApiClient(r.conn)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r.ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "apikey K3y")
	return r
}

// TestMethods calls each method with all its fields and compares what the node is asked
// for, and the answer.
func TestMethods(t *testing.T) {
	node := &apitest.Node{
		Published: centrifuge.PublishResult{StreamPosition: centrifuge.StreamPosition{Offset: 7, Epoch: "e"}},
		Read: centrifuge.HistoryResult{
			StreamPosition: centrifuge.StreamPosition{Offset: 300, Epoch: "e"},
			Publications: []*centrifuge.Publication{{Data: []byte("\xff"), Offset: 300, Tags: map[string]string{"k": "v"},
				Info: &centrifuge.ClientInfo{User: "u", Client: "c", ConnInfo: []byte("1"), ChanInfo: []byte("2")}}},
		},
		Present:   map[string]*centrifuge.ClientInfo{"c": {User: "u", Client: "c"}},
		Stats:     centrifuge.PresenceStats{NumClients: 200, NumUsers: 1},
		Nodes:     []centrifuge.NodeInfo{{ID: "id", Name: "n", Version: "v", Clients: 1, Uptime: 300 * time.Second, Metrics: &centrifuge.NodeMetrics{Interval: 1.5, Items: map[string]float64{"a": 2.5}}}},
		ByChannel: map[string]centrifuge.ChannelStats{"a": {Clients: 3}},
	}
	r := start(t, node, nil)
	target := &apipb.FilterNode{Op: "and", Nodes: []*apipb.FilterNode{{Key: "k"}}}
	position := &apipb.StreamPosition{Offset: 3, Epoch: "e"}
	yes := &apipb.BoolValue{Value: true}
	tests := []struct {
		name  string
		call  func() (proto.Message, error)
		want  proto.Message
		asked string
	}{
		{"publish", func() (proto.Message, error) {
			return r.api.Publish(r.ctx, &apipb.PublishRequest{Channel: "hist:1", Data: []byte("\xfe"), Tags: map[string]string{"k": "v"},
				IdempotencyKey: "i", Delta: true, Version: 1 << 40, VersionEpoch: "ve"})
		}, &apipb.PublishResponse{Result: &apipb.PublishResult{Offset: 7, Epoch: "e"}}, "publish hist:1 \xfe size=10 ttl=1m0s tags=map[k:v] key=i version=1099511627776/ve delta"},
		{"publish base64, no history", func() (proto.Message, error) {
			return r.api.Publish(r.ctx, &apipb.PublishRequest{Channel: "hist:1", B64Data: "aGk=", SkipHistory: true})
		}, &apipb.PublishResponse{Result: &apipb.PublishResult{Offset: 7, Epoch: "e"}}, "publish hist:1 hi"},
		{"publish what is not JSON", func() (proto.Message, error) {
			return r.api.Publish(r.ctx, &apipb.PublishRequest{Channel: "json:1", Data: []byte("{")})
		}, &apipb.PublishResponse{Error: &apipb.Error{Code: 107, Message: "bad request"}}, ""},
		{"broadcast", func() (proto.Message, error) {
			return r.api.Broadcast(r.ctx, &apipb.BroadcastRequest{Channels: []string{"a", "x:1"}, Data: []byte("1")})
		}, &apipb.BroadcastResponse{Result: &apipb.BroadcastResult{Responses: []*apipb.PublishResponse{
			{Result: &apipb.PublishResult{Offset: 7, Epoch: "e"}}, {Error: &apipb.Error{Code: 102, Message: "unknown channel"}}}}}, "publish a 1"},
		{"subscribe", func() (proto.Message, error) {
			return r.api.Subscribe(r.ctx, &apipb.SubscribeRequest{Channel: "a", User: "u", Client: "c", Session: "s", ExpireAt: -5, Info: []byte("i"), Data: []byte("d"),
				RecoverSince: position, Override: &apipb.SubscribeOptionOverride{Presence: yes, JoinLeave: yes, ForceRecovery: yes, ForcePositioning: yes, ForcePushJoinLeave: yes}})
		}, &apipb.SubscribeResponse{Result: &apipb.SubscribeResult{}},
			`subscribe user="u" client=c session=s a source=10 presence join_leave push_join_leave positioning recovery expire_at=-5 info=i data=d since=3/e`},
		{"subscribe by label", func() (proto.Message, error) {
			return r.api.Subscribe(r.ctx, &apipb.SubscribeRequest{Channel: "a", LabelFilter: target})
		}, &apipb.SubscribeResponse{Error: &apipb.Error{Code: 108, Message: "not available"}}, ""},
		{"unsubscribe", func() (proto.Message, error) {
			return r.api.Unsubscribe(r.ctx, &apipb.UnsubscribeRequest{Channel: "a", User: "u", Client: "c", Session: "s"})
		}, &apipb.UnsubscribeResponse{Result: &apipb.UnsubscribeResult{}}, `unsubscribe user="u" client=c session=s channel="a" 2000`},
		{"disconnect", func() (proto.Message, error) {
			return r.api.Disconnect(r.ctx, &apipb.DisconnectRequest{User: "u", Client: "c", Session: "s", Whitelist: []string{"a", "b"}, Disconnect: &apipb.Disconnect{Code: 4001, Reason: "bye"}})
		}, &apipb.DisconnectResponse{Result: &apipb.DisconnectResult{}}, `disconnect user="u" client=c session=s except=[a b] 4001 "bye"`},
		{"refresh", func() (proto.Message, error) {
			return r.api.Refresh(r.ctx, &apipb.RefreshRequest{User: "u", Client: "c", Session: "s", Expired: true, ExpireAt: 9, Info: []byte("1")})
		}, &apipb.RefreshResponse{Result: &apipb.RefreshResult{}}, `refresh user="u" client=c session=s expired=true expire_at=9 info=1`},
		{"presence", func() (proto.Message, error) {
			return r.api.Presence(r.ctx, &apipb.PresenceRequest{Channel: "hist:1"})
		}, &apipb.PresenceResponse{Result: &apipb.PresenceResult{Presence: map[string]*apipb.ClientInfo{"c": {User: "u", Client: "c"}}}}, "presence hist:1"},
		{"presence stats", func() (proto.Message, error) {
			return r.api.PresenceStats(r.ctx, &apipb.PresenceStatsRequest{Channel: "hist:1"})
		}, &apipb.PresenceStatsResponse{Result: &apipb.PresenceStatsResult{NumClients: 200, NumUsers: 1}}, "presence_stats hist:1"},
		{"history", func() (proto.Message, error) {
			return r.api.History(r.ctx, &apipb.HistoryRequest{Channel: "hist:1", Limit: -1, Since: position, Reverse: true})
		}, &apipb.HistoryResponse{Result: &apipb.HistoryResult{Offset: 300, Epoch: "e", Publications: []*apipb.Publication{{Data: []byte("\xff"), Offset: 300,
			Tags: map[string]string{"k": "v"}, Info: &apipb.ClientInfo{User: "u", Client: "c", ConnInfo: []byte("1"), ChanInfo: []byte("2")}}}}},
			"history hist:1 limit=-1 since=3/e reverse=true meta=0s"},
		{"history remove", func() (proto.Message, error) {
			return r.api.HistoryRemove(r.ctx, &apipb.HistoryRemoveRequest{Channel: "hist:1"})
		}, &apipb.HistoryRemoveResponse{Result: &apipb.HistoryRemoveResult{}}, "remove_history hist:1"},
		{"info", func() (proto.Message, error) { return r.api.Info(r.ctx, &apipb.InfoRequest{}) },
			&apipb.InfoResponse{Result: &apipb.InfoResult{Nodes: []*apipb.NodeResult{{Uid: "id", Name: "n", Version: "v", NumClients: 1, Uptime: 300,
				Metrics: &apipb.Metrics{Interval: 1.5, Items: map[string]float64{"a": 2.5}}}}}}, "info"},
		{"rpc", func() (proto.Message, error) {
			return r.api.RPC(r.ctx, &apipb.RPCRequest{Method: "m", Params: []byte("1")})
		}, &apipb.RPCResponse{Error: &apipb.Error{Code: 104, Message: "not found"}}, ""},
		{"channels", func() (proto.Message, error) {
			return r.api.Channels(r.ctx, &apipb.ChannelsRequest{Pattern: "*"})
		}, &apipb.ChannelsResponse{Result: &apipb.ChannelsResult{Channels: map[string]*apipb.ChannelInfo{"a": {NumClients: 3}}}}, `channels "*"`},
		{"block user", func() (proto.Message, error) {
			return r.api.BlockUser(r.ctx, &apipb.BlockUserRequest{User: "u", ExpireAt: 4_000_000_000})
		}, &apipb.BlockUserResponse{Result: &apipb.BlockUserResult{}}, ""},
		{"block user until the past", func() (proto.Message, error) {
			return r.api.BlockUser(r.ctx, &apipb.BlockUserRequest{User: "u", ExpireAt: 9})
		}, &apipb.BlockUserResponse{Error: &apipb.Error{Code: 107, Message: "bad request: an expire_at in the past cannot be used"}}, ""},
		{"unblock user", func() (proto.Message, error) {
			return r.api.UnblockUser(r.ctx, &apipb.UnblockUserRequest{User: "u"})
		}, &apipb.UnblockUserResponse{Result: &apipb.UnblockUserResult{}}, ""},
		{"revoke token", func() (proto.Message, error) {
			return r.api.RevokeToken(r.ctx, &apipb.RevokeTokenRequest{Uid: "t", ExpireAt: 4_000_000_000})
		}, &apipb.RevokeTokenResponse{Result: &apipb.RevokeTokenResult{}}, ""},
		{"invalidate user tokens", func() (proto.Message, error) {
			return r.api.InvalidateUserTokens(r.ctx, &apipb.InvalidateUserTokensRequest{User: "u", IssuedBefore: 9, ExpireAt: 4_000_000_000})
		}, &apipb.InvalidateUserTokensResponse{Result: &apipb.InvalidateUserTokensResult{}}, ""},
		{"map publish", func() (proto.Message, error) {
			return r.api.MapPublish(r.ctx, &apipb.MapPublishRequest{Channel: "a", Key: "k", Score: -1})
		}, &apipb.MapPublishResponse{Error: &apipb.Error{Code: 107, Message: "bad request"}}, ""},
		{"batch", func() (proto.Message, error) {
			return r.api.Batch(r.ctx, &apipb.BatchRequest{Parallel: true, Commands: []*apipb.Command{
				{Publish: &apipb.PublishRequest{Channel: "a", Data: []byte("1")}}, {}, {Presence: &apipb.PresenceRequest{Channel: "x:1"}}}})
		}, &apipb.BatchResponse{Replies: []*apipb.Reply{{Publish: &apipb.PublishResult{Offset: 7, Epoch: "e"}},
			{Error: &apipb.Error{Code: 104, Message: "not found"}}, {Error: &apipb.Error{Code: 102, Message: "unknown channel"}}}}, "publish a 1"},
	}
	called := 0
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.call()
			if err != nil || !proto.Equal(got, test.want) {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
			asked := node.Calls()[called:]
			called += len(asked)
			if got := strings.Join(asked, "\n"); got != test.asked {
				t.Errorf("the node was asked %q; want %q", got, test.asked)
			}
		})
	}
}

// TestNames calls the service by its other name, and methods that it lacks.
func TestNames(t *testing.T) {
	r := start(t, &apitest.Node{}, nil)
	var info apipb.InfoResponse
	if err := r.conn.Invoke(r.ctx, "/api.Centrifugo/Info", &apipb.InfoRequest{}, &info); err != nil || info.Result == nil {
		t.Errorf("the service of the second generation: %v, %v; want a result", &info, err)
	}
	err := r.conn.Invoke(r.ctx, "/centrifugal.centrifugo.api.CentrifugoApi/UpdateUserStatus", &apipb.InfoRequest{}, &info)
	if got := status.Code(err); got != codes.Unimplemented {
		t.Errorf("a PRO method: got %v; want %v", got, codes.Unimplemented)
	}
}

func TestKey(t *testing.T) {
	for name, test := range map[string]struct {
		key      string
		insecure bool
		sent     []string
		want     codes.Code
	}{
		"right":           {"K3y", false, []string{"apikey K3y"}, codes.OK},
		"first counts":    {"K3y", false, []string{"apikey K3y", "apikey X"}, codes.OK},
		"wrong":           {"K3y", false, []string{"apikey X"}, codes.Unauthenticated},
		"second counts":   {"K3y", false, []string{"apikey X", "apikey K3y"}, codes.Unauthenticated},
		"case":            {"K3y", false, []string{"ApiKey K3y"}, codes.Unauthenticated},
		"two spaces":      {"K3y", false, []string{"apikey  K3y"}, codes.Unauthenticated},
		"key alone":       {"K3y", false, []string{"K3y"}, codes.Unauthenticated},
		"none":            {"K3y", false, nil, codes.Unauthenticated},
		"no key is set":   {"", false, []string{"apikey "}, codes.Unauthenticated},
		"insecure":        {"", true, nil, codes.OK},
		"insecure, wrong": {"K3y", true, []string{"apikey X"}, codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, &apitest.Node{}, func(c *config.GRPCAPI) { c.Key, c.Insecure = test.key, test.insecure })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for _, value := range test.sent {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
			}
			_, err := r.api.Info(ctx, &apipb.InfoRequest{})
			if got := status.Code(err); got != test.want {
				t.Errorf("a call: got %v; want %v", err, test.want)
			}
			stream, err := r.api.Stream(ctx)
			if err == nil {
				_ = stream.CloseSend()
				_, err = stream.Recv()
			}
			if got := status.Code(err); err != io.EOF && got != test.want || err == io.EOF && test.want != codes.OK {
				t.Errorf("a stream: got %v; want %v", err, test.want)
			}
			if refused := strings.Contains(r.log.String(), "api call refused"); refused != (test.want != codes.OK) {
				t.Errorf("log: %s; want %v", r.log, test.want != codes.OK)
			}
			if test.key != "" && strings.Contains(r.log.String(), "apikey "+test.key) {
				t.Errorf("the log has the key: %s; want it left out", r.log)
			}
		})
	}
}

// TestSetKey replaces the key of a running server.
func TestSetKey(t *testing.T) {
	r := start(t, &apitest.Node{}, nil)
	r.server.SetKey("other", false)
	if _, err := r.api.Info(r.ctx, &apipb.InfoRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the old key: got %v; want %v", err, codes.Unauthenticated)
	}
}

func TestErrorMode(t *testing.T) {
	for code, want := range map[uint32]codes.Code{
		100: codes.Internal, 102: codes.NotFound, 104: codes.NotFound, 107: codes.InvalidArgument, 108: codes.InvalidArgument,
		112: codes.OutOfRange, 113: codes.AlreadyExists, 999: codes.Internal,
	} {
		if got := statusCode(code); got != want {
			t.Errorf("status of %d: got %v; want %v", code, got, want)
		}
	}
	check := func(t *testing.T, err error) {
		t.Helper()
		st := status.Convert(err)
		if st.Code() != codes.NotFound || st.Message() != "unknown channel" || len(st.Details()) != 1 {
			t.Fatalf("got %v; want NotFound with a detail", st)
		}
		if detail, ok := st.Details()[0].(*apipb.Error); !ok || detail.GetCode() != 102 {
			t.Errorf("detail: got %v; want the error 102", st.Details()[0])
		}
	}
	request := &apipb.PublishRequest{Channel: "x:1", Data: []byte("1")}
	byConfig := start(t, &apitest.Node{}, func(c *config.GRPCAPI) { c.ErrorMode = errorModeTransport })
	_, err := byConfig.api.Publish(byConfig.ctx, request)
	check(t, err)
	byCall := start(t, &apitest.Node{}, nil)
	_, err = byCall.api.Publish(metadata.AppendToOutgoingContext(byCall.ctx, errorModeMetadata, errorModeTransport), request)
	check(t, err)
}

// TestMalformed sends what is not a request.
func TestMalformed(t *testing.T) {
	r := start(t, &apitest.Node{}, nil)
	raw := func(b []byte) *apipb.PublishRequest {
		m := new(apipb.PublishRequest)
		m.ProtoReflect().SetUnknown(b)
		return m
	}
	for name, body := range map[string][]byte{
		"cut":             {0x0a, 0x05, 'a'},
		"another type":    {0x08, 0x01},
		"not UTF-8":       {0x0a, 0x01, 0xff},
		"length too long": {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	} {
		if _, err := r.api.Publish(r.ctx, raw(body)); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: got %v; want %v", name, err, codes.InvalidArgument)
		}
	}
	if !strings.Contains(r.log.String(), "code=InvalidArgument") {
		t.Errorf("log: got %s; want the refusal", r.log)
	}
	large := start(t, &apitest.Node{}, func(c *config.GRPCAPI) { c.MaxReceiveMessageSize = 1000 })
	if _, err := large.api.Publish(large.ctx, &apipb.PublishRequest{Channel: "a", Data: make([]byte, 1000)}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message above the limit: got %v; want %v", err, codes.ResourceExhausted)
	}
}

// TestStream executes commands in order and answers all of them before the stream ends.
func TestStream(t *testing.T) {
	node := &apitest.Node{}
	r := start(t, node, nil)
	stream, err := r.api.Stream(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	const commands = 1000
	go func() {
		for i := range commands {
			channel := "a"
			if i%2 == 1 {
				channel = "x:1"
			}
			if err := stream.Send(&apipb.Command{Publish: &apipb.PublishRequest{Channel: channel, Data: []byte("1")}}); err != nil {
				t.Error(err)
				return
			}
		}
		_ = stream.CloseSend()
	}()
	for i := range commands {
		reply, err := stream.Recv()
		if err != nil {
			t.Fatalf("reply %d: %v", i, err)
		}
		if (reply.GetError() != nil) != (i%2 == 1) || (reply.GetPublish() != nil) != (i%2 == 0) {
			t.Fatalf("reply %d: got %v; want errors and results in turn", i, reply)
		}
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("at the end: got %v; want EOF", err)
	}
	if got := len(node.Calls()); got != commands/2 {
		t.Errorf("publications: got %d; want %d", got, commands/2)
	}
}

// TestPanic answers a call whose execution panics, and serves the next one.
func TestPanic(t *testing.T) {
	r := start(t, &apitest.Node{OnPublish: func(channel string) {
		if channel == "panic" {
			panic("no such luck")
		}
	}}, nil)
	if _, err := r.api.Publish(r.ctx, &apipb.PublishRequest{Channel: "panic", Data: []byte("1")}); status.Code(err) != codes.Internal {
		t.Errorf("got %v; want %v", err, codes.Internal)
	}
	if _, err := r.api.Publish(r.ctx, &apipb.PublishRequest{Channel: "a", Data: []byte("1")}); err != nil {
		t.Errorf("the call after it: got %v; want no error", err)
	}
	if !strings.Contains(r.log.String(), "no such luck") {
		t.Errorf("log: got %s; want the panic", r.log)
	}
}

// TestOtherServices calls what is beside the API, without a key.
func TestOtherServices(t *testing.T) {
	for _, on := range []bool{true, false} {
		r := start(t, &apitest.Node{}, func(c *config.GRPCAPI) { c.Reflection = on })
		answer, err := grpc_health_v1.NewHealthClient(r.conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err != nil || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("health: got %v, %v; want serving", answer, err)
		}
		stream, err := grpc_reflection_v1.NewServerReflectionClient(r.conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{
			FileContainingSymbol: "centrifugal.centrifugo.api.CentrifugoApi"}})
		_ = stream.CloseSend()
		files, err := stream.Recv()
		if on && (err != nil || len(files.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0) {
			t.Errorf("reflection: got %v, %v; want the schema", files, err)
		}
		if !on && status.Code(err) != codes.Unimplemented {
			t.Errorf("without reflection: got %v; want %v", err, codes.Unimplemented)
		}
	}
}

func TestCompression(t *testing.T) {
	r := start(t, &apitest.Node{}, nil)
	if _, err := r.api.Publish(r.ctx, &apipb.PublishRequest{Channel: "a", Data: []byte("1")}, grpc.UseCompressor(gzip.Name)); err != nil {
		t.Errorf("a compressed call: got %v; want no error", err)
	}
}

// TestShutdown ends streams and waits for calls.
func TestShutdown(t *testing.T) {
	began, finish := make(chan struct{}), make(chan struct{})
	r := start(t, &apitest.Node{OnPublish: func(string) { close(began); <-finish }}, nil)
	stream, err := r.api.Stream(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan error, 1)
	go func() {
		_, err := r.api.Publish(r.ctx, &apipb.PublishRequest{Channel: "a", Data: []byte("1")})
		called <- err
	}()
	<-began
	stopped := make(chan error, 1)
	go func() { stopped <- r.server.Shutdown(r.ctx) }()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream: got %v; want %v", err, codes.Unavailable)
	}
	close(finish)
	if err := <-called; err != nil {
		t.Errorf("the call that ran: got %v; want no error", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: got %v; want nil", err)
	}
}

// TestShutdownEnds cancels the calls that run when its context ends.
func TestShutdownEnds(t *testing.T) {
	began, finish := make(chan struct{}), make(chan struct{})
	r := start(t, &apitest.Node{OnPublish: func(string) { close(began); <-finish }}, nil)
	go func() { _, _ = r.api.Publish(r.ctx, &apipb.PublishRequest{Channel: "a", Data: []byte("1")}) }()
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- r.server.Shutdown(ctx) }()
	close(finish)
	if err := <-stopped; err == nil {
		t.Error("Shutdown: got nil; want an error")
	}
}
