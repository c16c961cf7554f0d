// Command grpc is a client over bidirectional gRPC: it connects, subscribes to a channel and
// prints what is published, through interruptions of the connection and without a gap where
// the channel keeps history. It shows what such a client has to do beside what the generated
// code does: answer pings, keep the position of the subscription, and follow the advice of
// the trailer when the connection ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"time"

	"centrifugo/clientpb"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	address := flag.String("address", "localhost:8001", "address of the server")
	token := flag.String("token", "", "connection token")
	channel := flag.String("channel", "news", "channel to print")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *address, *token, *channel, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run prints until ctx is done or the server says that the client should not come back.
func run(ctx context.Context, address, token, channel string, to io.Writer) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer func() { _ = conn.Close() }()
	s := &subscriber{service: clientpb.NewCentrifugeClient(conn), token: token, request: &clientpb.SubscribeRequest{Channel: channel}, to: to}
	for ctx.Err() == nil {
		err := s.connection(ctx)
		var ended *advice
		if errors.As(err, &ended) && !ended.Reconnect {
			return err
		}
		log.Printf("connection ended: %v", err)
		select { // many clients must not come back at the same moment
		case <-time.After(100*time.Millisecond + rand.N(time.Second)):
		case <-ctx.Done():
		}
	}
	return nil
}

// advice is what the server says in the trailer of a connection that it ends.
type advice struct {
	Code      uint32 `json:"code"`
	Reason    string `json:"reason"`
	Reconnect bool   `json:"reconnect"`
}

func (a *advice) Error() string { return fmt.Sprintf("disconnect %d: %s", a.Code, a.Reason) }

// subscriber keeps the position of its subscription from one connection to the next.
type subscriber struct {
	service clientpb.CentrifugeClient
	token   string
	request *clientpb.SubscribeRequest // of the next connection
	to      io.Writer
}

// connection serves one connection until its end. The error is an *advice if the server
// has ended it.
func (s *subscriber) connection(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // releases the stream
	stream, err := s.service.Communicate(ctx)
	if err != nil {
		return err
	}
	for _, command := range []*clientpb.Command{
		{Id: 1, Connect: &clientpb.ConnectRequest{Token: s.token}},
		{Id: 2, Subscribe: s.request},
	} {
		if err := stream.Send(command); err != nil && !errors.Is(err, io.EOF) { // Recv returns why
			return err
		}
	}
	for {
		reply, err := stream.Recv()
		if err != nil {
			return reason(stream, err)
		}
		switch {
		case reply.Error != nil:
			return fmt.Errorf("command %d: error %d: %s", reply.Id, reply.Error.Code, reply.Error.Message)
		case reply.Subscribe != nil:
			s.subscribed(reply.Subscribe)
		case reply.Push.GetPub() != nil:
			s.published(reply.Push.Pub)
		case reply.Push.GetUnsubscribe() != nil:
			return errors.New(reply.Push.Unsubscribe.Reason) // and subscribe again
		case reply.Id == 0 && reply.Push == nil: // a ping, whose answer is an empty command
			if err := stream.Send(&clientpb.Command{}); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		}
	}
}

// reason returns the advice of the trailer, and err if there is none.
func reason(stream grpc.ClientStream, err error) error {
	text := stream.Trailer().Get("disconnect")
	if len(text) == 0 {
		return err
	}
	ended := new(advice)
	if err := json.Unmarshal([]byte(text[0]), ended); err != nil {
		return fmt.Errorf("decoding the trailer: %w", err)
	}
	return ended
}

// subscribed prints what was published while there was no connection.
func (s *subscriber) subscribed(result *clientpb.SubscribeResult) {
	if s.request.Recover && !result.Recovered {
		_, _ = fmt.Fprintln(s.to, "some publications are lost")
	}
	for _, publication := range result.Publications {
		s.published(publication)
	}
	s.request.Recover, s.request.Epoch = result.Recoverable, result.Epoch
	s.request.Offset = max(s.request.Offset, result.Offset)
}

func (s *subscriber) published(publication *clientpb.Publication) {
	s.request.Offset = publication.Offset
	_, _ = fmt.Fprintf(s.to, "%s\n", publication.Data)
}
