// Package proxypb is the schema of the calls that proxies make over gRPC, generated from
// proxy.proto. A backend in Go implements CentrifugoProxyServer:
//
//	type backend struct {
//		proxypb.UnimplementedCentrifugoProxyServer
//	}
//
//	func (backend) Connect(ctx context.Context, r *proxypb.ConnectRequest) (*proxypb.ConnectResponse, error) {
//		return &proxypb.ConnectResponse{Result: &proxypb.ConnectResult{User: "42"}}, nil
//	}
//
//	server := grpc.NewServer()
//	proxypb.RegisterCentrifugoProxyServer(server, backend{})
package proxypb

//go:generate go run ../internal/protogen proxy.proto
