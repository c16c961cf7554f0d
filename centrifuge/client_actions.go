package centrifuge

import (
	"context"
	"errors"

	"centrifugo/protocol"
)

// Errors of the calls that act on a connection.
var (
	// ErrNotConnected is returned for a connection that has not connected yet, or has ended.
	ErrNotConnected = errors.New("client is not connected")
	// ErrNotSubscribed is returned for a connection without a subscription of the channel.
	ErrNotSubscribed = errors.New("client is not subscribed")
)

// Subscribe makes a server-side subscription of this connection, as Node.Subscribe
// does: a subscription that exists is updated. It returns when the client has been
// told, and the error that prevented the subscription or a part of its update. If
// opts or the number of channels exceed a limit, the error is an *Error, and the
// connection may have been closed.
//
// It waits up to 5 seconds for a subscribe or unsubscribe of the same channel that is
// under way, so it must not be called by a Subscribe handler for that handler's own
// channel.
func (c *Client) Subscribe(ctx context.Context, channel string, opts SubscribeOptions) (err error) {
	if !c.Connected() {
		return ErrNotConnected
	}
	if err := c.checkChannel(channel); err != nil {
		return err
	}
	switch err := c.subscribeByServer(ctx, channel, opts); {
	case errors.Is(err, errLeft):
		return ErrNotConnected
	default:
		return err
	}
}

// Unsubscribe ends the client's subscription of channel, or all subscriptions if
// channel is empty, and tells the client why. Without a subscription it does nothing.
// It waits up to 5 seconds for a subscribe or unsubscribe of the channel that is under
// way; after that it closes the connection with DisconnectServerError. The
// Unsubscribed handler runs on a goroutine of its own.
func (c *Client) Unsubscribe(channel string, why Unsubscribe) { c.unsubscribeByServer(channel, why) }

// SendPublication sends a publication to the connection's own subscription of channel, and
// to no other subscriber. It has no offset, is not in the history and does not pass through
// the broker. It is for publications that an application has for one subscriber, and should
// not be used on a channel whose stream is positioned. Call it after the Subscribed handler
// was called, so that the publication follows the reply to the subscribe command.
//
// The error is ErrNotSubscribed if there is no such subscription.
func (c *Client) SendPublication(channel string, pub *Publication) error {
	s := c.subscription(channel)
	if s == nil {
		return ErrNotSubscribed
	}
	push := &protocol.Push{Channel: channel, Pub: pub}
	if id := s.channelID(); id != 0 {
		push.Channel, push.ID = "", id
	}
	return c.push(push)
}

// Refresh gives the connection a new expiry and tells the client. An expiry in the past
// closes the connection with DisconnectExpired.
func (c *Client) Refresh(opts RefreshOptions) error {
	if !c.Connected() {
		return ErrNotConnected
	}
	c.applyRefresh(opts, true)
	return nil
}
