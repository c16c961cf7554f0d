package apptest

import (
	"errors"
	"fmt"
	"io"

	"centrifugo/protocol"
	"centrifugo/protocol/clientcodec"

	"google.golang.org/protobuf/encoding/protowire"
)

// Link is a client's end of a connection of any transport. One goroutine may receive while
// another one sends.
type Link interface {
	// Send sends a message. The first one of a connection over HTTP, gRPC and the like opens
	// it, and Send waits for the response.
	Send(message []byte) error
	// Receive returns the next reply or push. At the end of the connection it returns io.EOF
	// or, if the transport says more than a disconnect push does, *Ended.
	Receive() ([]byte, error)
	// Close ends the connection without a close frame.
	Close() error
}

// Ended is the error of a connection that the server has ended or refused.
type Ended struct {
	Code   uint32 // of a disconnect push or a close frame; zero for none
	Reason string
	Status string // of the transport, such as an HTTP status; empty for none
}

func (e *Ended) Error() string { return fmt.Sprintf("ended: %d %q %s", e.Code, e.Reason, e.Status) }

// Peer is a client that speaks the protocol over a Link, in generation V2.
type Peer struct {
	Link
	Format protocol.Format
}

// Connect sends a connect request: with the id 1, or bare over a unidirectional transport.
// Further commands go with it.
func (p *Peer) Connect(request *protocol.ConnectRequest, more ...protocol.Command) error {
	if !p.Format.Uni() {
		return p.Command(append([]protocol.Command{{ID: 1, Connect: request}}, more...)...)
	}
	message, err := protocol.AppendConnectRequest(nil, p.Format, request)
	if err != nil {
		return err
	}
	return p.Send(message)
}

// Command sends commands in one message. Without commands it sends a pong.
func (p *Peer) Command(commands ...protocol.Command) error {
	if len(commands) == 0 {
		commands = make([]protocol.Command, 1)
	}
	var all []byte
	for i := range commands {
		message, err := protocol.AppendCommand(nil, p.Format, &commands[i])
		if err != nil {
			return err
		}
		switch {
		case p.Format.Protobuf():
			all = protowire.AppendBytes(all, message)
		case i > 0:
			all = append(append(all, '\n'), message...)
		default:
			all = message
		}
	}
	return p.Send(all)
}

// Reply returns the next reply or push, a ping included. After a disconnect push it reads up
// to the end of the connection and returns *Ended.
func (p *Peer) Reply() (*protocol.Reply, error) {
	message, err := p.Receive()
	if err != nil {
		return nil, err
	}
	reply, err := p.decode(message)
	if err != nil {
		return nil, err
	}
	if reply.Push == nil || reply.Push.Disconnect == nil {
		return reply, nil
	}
	d := reply.Push.Disconnect
	message, err = p.Receive()
	var ended *Ended
	switch {
	case err == nil:
		return nil, fmt.Errorf("behind a disconnect push: %.200q", message)
	case errors.As(err, &ended) && (ended.Code != d.Code || ended.Reason != d.Reason):
		return nil, fmt.Errorf("after a disconnect push with %d %q: %w", d.Code, d.Reason, err)
	case ended == nil && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("after a disconnect push: %w", err)
	}
	return nil, &Ended{Code: d.Code, Reason: d.Reason}
}

func (p *Peer) decode(message []byte) (*protocol.Reply, error) {
	reply, err := clientcodec.DecodeReply(p.Format, message)
	if err != nil {
		return nil, fmt.Errorf("decoding %.200q: %w", message, err)
	}
	return reply, nil
}

// Next is Reply for what is not a ping. Pings are answered if the transport has answers.
func (p *Peer) Next() (*protocol.Reply, error) {
	for {
		reply, err := p.Reply()
		if err != nil || reply.Kind() != protocol.KindPing {
			return reply, err
		}
		if !p.Format.Uni() {
			if err := p.Command(); err != nil {
				return nil, fmt.Errorf("answering a ping: %w", err)
			}
		}
	}
}

// End reads up to the end of the connection.
func (p *Peer) End() error {
	for {
		if _, err := p.Next(); err != nil {
			return err
		}
	}
}
