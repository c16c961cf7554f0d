// Package clientpb has the messages of clients and the services of clients over gRPC
// (protocol.md 3.6), generated from the schemas: protocol/client.proto, stream.proto and
// unistream.proto. Package v1pb has those of the first generation.
//
//	conn, err := grpc.NewClient("localhost:8001", grpc.WithTransportCredentials(insecure.NewCredentials()))
//	stream, err := clientpb.NewCentrifugeClient(conn).Communicate(ctx)
//	err = stream.Send(&clientpb.Command{Id: 1, Connect: &clientpb.ConnectRequest{Token: token}})
//	reply, err := stream.Recv()
package clientpb

//go:generate go run ../internal/protogen -I ../protocol,. client.proto stream.proto unistream.proto
