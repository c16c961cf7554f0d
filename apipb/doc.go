// Package apipb is a client of the server API over gRPC, generated from api.proto.
//
//	conn, err := grpc.NewClient("localhost:10000", grpc.WithTransportCredentials(insecure.NewCredentials()))
//	api := apipb.NewCentrifugoApiClient(conn)
//	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "apikey "+key)
//	resp, err := api.Publish(ctx, &apipb.PublishRequest{Channel: "news", Data: []byte(`{"text":"hello"}`)})
//
// An error of the API is in the response, not in err, unless the server has
// grpc_api.error_mode transport. docs/api.md describes the methods.
package apipb

//go:generate go run ../internal/protogen api.proto
