package centrifuge

import (
	"time"

	"centrifugo/internal/logsample"
	"centrifugo/protocol"
)

// Clients can provoke refusals as often as they like: of each kind, which is a
// message and a code, this many are logged in an interval. Those left out are
// counted by the next one that is logged, in its field suppressed.
const (
	refusalLines    = 10
	refusalInterval = time.Second
)

func newRefusals() *logsample.Sampler { return logsample.New(refusalLines, refusalInterval) }

// refusal is what is known of something that a client was denied.
type refusal struct {
	message string
	command protocol.MessageKind // zero for none
	channel string
	code    uint32
	reason  string
	err     error // more than code and reason say; nil for nothing
}

// commandRefusal describes a command that failed with err.
func commandRefusal(command *protocol.Command, kind protocol.MessageKind, code uint32, reason string, err error) *refusal {
	return &refusal{message: "command refused", command: kind, channel: channelOf(command, kind), code: code, reason: reason, err: err}
}

// logRefusal logs at level info what the client did wrong.
func (c *Client) logRefusal(r *refusal) {
	if !c.node.logger.enabled(LogInfo) {
		return
	}
	ok, suppressed := c.node.refusals.Take(logsample.Key{Message: r.message, Code: r.code})
	if !ok {
		return
	}
	fields := []any{"client", c.id, "user", c.UserID(), "transport", c.info.Name, "code", r.code, "reason", r.reason}
	if r.command != 0 {
		fields = append(fields, "command", r.command.String())
	}
	if r.channel != "" {
		fields = append(fields, "channel", cutRunes(r.channel, maxLoggedChannel))
	}
	if r.err != nil {
		fields = append(fields, "error", r.err)
	}
	if suppressed > 0 {
		fields = append(fields, "suppressed", suppressed)
	}
	c.node.logger.log(LogInfo, r.message, fields...)
}

// maxLoggedChannel bounds the name of a channel in the log, which may be as long
// as a message.
const maxLoggedChannel = 255

// disconnect closes the connection with d because of r, which it logs.
func (c *Client) disconnect(d Disconnect, r *refusal) {
	r.code, r.reason = d.Code, d.Reason
	c.closeBecause(d, true, r)
}
