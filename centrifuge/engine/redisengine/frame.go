package redisengine

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// Prefixes of messages (server.md 10.3). A publication without a position has none.
const (
	framePosition = "__p1:"
	frameDelta    = "__d1:"
	frameJoin     = "__j__"
	frameLeave    = "__l__"
)

// maxEpoch is the longest epoch that is accepted from another node.
const maxEpoch = 64

var errFrame = errors.New("malformed message")

// message is a decoded message of a channel. Exactly one of pub, join and leave is set.
type message struct {
	pub         *centrifuge.Publication
	epoch       string
	prev        []byte // payload of the publication before, nil if it is not known
	join, leave *centrifuge.ClientInfo
}

// decodeMessage decodes a message that a node has published into a channel. Payloads are
// parts of b. The error wraps errFrame or protocol.ErrMalformed.
func decodeMessage(b []byte) (m message, err error) {
	switch {
	case bytes.HasPrefix(b, []byte(framePosition)):
		return decodePositioned(b[len(framePosition):])
	case bytes.HasPrefix(b, []byte(frameDelta)):
		return decodeDelta(b[len(frameDelta):])
	case bytes.HasPrefix(b, []byte(frameJoin)):
		m.join, err = protocol.DecodeClientInfo(b[len(frameJoin):])
	case bytes.HasPrefix(b, []byte(frameLeave)):
		m.leave, err = protocol.DecodeClientInfo(b[len(frameLeave):])
	default:
		m.pub, err = protocol.DecodePublication(b)
	}
	return m, err
}

// decodePositioned decodes OFFSET:EPOCH__PUBLICATION.
func decodePositioned(b []byte) (m message, err error) {
	offset, b, err := cutNumber(b)
	if err != nil {
		return m, err
	}
	epoch, rest, found := bytes.Cut(b, []byte("__"))
	if !found || len(epoch) > maxEpoch {
		return m, fmt.Errorf("%w: no end of the epoch", errFrame)
	}
	if m.pub, err = protocol.DecodePublication(rest); err != nil {
		return m, err
	}
	m.pub.Offset, m.epoch = offset, string(epoch)
	return m, nil
}

// decodeDelta decodes OFFSET:EPOCH:LENGTH:PREVIOUS:LENGTH:PUBLICATION, with publications
// of the given lengths in bytes.
func decodeDelta(b []byte) (m message, err error) {
	offset, b, err := cutNumber(b)
	if err != nil {
		return m, err
	}
	epoch, b, found := bytes.Cut(b, []byte(":"))
	if !found || len(epoch) > maxEpoch {
		return m, fmt.Errorf("%w: no end of the epoch", errFrame)
	}
	prev, b, err := cutCounted(b)
	if err != nil {
		return m, err
	}
	if len(b) == 0 || b[0] != ':' {
		return m, fmt.Errorf("%w: no end of the previous publication", errFrame)
	}
	now, b, err := cutCounted(b[1:])
	if err != nil {
		return m, err
	}
	if len(b) > 0 {
		return m, fmt.Errorf("%w: %d bytes behind the publication", errFrame, len(b))
	}
	if m.pub, err = protocol.DecodePublication(now); err != nil {
		return m, err
	}
	if len(prev) > 0 {
		before, err := protocol.DecodePublication(prev)
		if err != nil {
			return m, err
		}
		m.prev = before.Data
	}
	m.pub.Offset, m.epoch = offset, string(epoch)
	return m, nil
}

// cutNumber takes a decimal number and the colon behind it from b.
func cutNumber(b []byte) (uint64, []byte, error) {
	digits, rest, found := bytes.Cut(b, []byte(":"))
	if !found || len(digits) == 0 || len(digits) > 20 {
		return 0, nil, fmt.Errorf("%w: no number", errFrame)
	}
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: no number", errFrame)
	}
	return n, rest, nil
}

// cutCounted takes LENGTH:BYTES from b.
func cutCounted(b []byte) (counted, rest []byte, err error) {
	n, b, err := cutNumber(b)
	if err != nil {
		return nil, nil, err
	}
	if n > uint64(len(b)) {
		return nil, nil, fmt.Errorf("%w: %d bytes announced, %d are there", errFrame, n, len(b))
	}
	return b[:n], b[n:], nil
}

// joinMessage returns the message of a join.
func joinMessage(info *centrifuge.ClientInfo) []byte {
	return protocol.AppendClientInfo([]byte(frameJoin), info)
}

// leaveMessage returns the message of a leave.
func leaveMessage(info *centrifuge.ClientInfo) []byte {
	return protocol.AppendClientInfo([]byte(frameLeave), info)
}
