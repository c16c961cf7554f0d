package httpstream

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"unicode/utf8"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// The id of an event says where its client is in the streams of its channels. A browser
// sends the last one in the header Last-Event-ID when it connects again (HTML standard,
// 9.2.4), so the client needs no code to lose nothing.
//
// An id is base64url without padding of
//
//	1 byte   version: 1
//	1 byte   flags: bit 0 is set if positions are missing in the id
//	entries, each
//	  5 bytes   the beginning of the SHA-256 of the channel
//	  uvarint   offset
//	  uvarint   length of the epoch
//	  …         epoch
//
// It is no secret and needs no signature: a client may ask for any position of the
// channels that it is subscribed to (protocol.md 6.4).
const (
	eventIDVersion    = 1
	eventIDIncomplete = 1 << 0
	eventIDHead       = 2 // bytes before the entries
)

// maxEventID bounds an id, in bytes of base64url: browsers send it in a header, which
// servers and proxies bound, nginx at 8 KiB.
const maxEventID = 4 << 10

// maxEpoch bounds an epoch, in bytes. Those of the engines are shorter than 64.
const maxEpoch = 255

// lostEpoch is an epoch that no stream has: a subscription that recovers from it is
// answered that its position is lost. SDKs use it in the same way.
const lostEpoch = "_"

// channelHash stands for a channel in an id.
type channelHash [5]byte

func hashOf(channel string) channelHash {
	sum := sha256.Sum256([]byte(channel))
	return channelHash(sum[:])
}

// position is where a client is in the stream of a channel.
type position struct {
	channel string // empty in an id that a client has sent
	hash    channelHash
	offset  uint64
	epoch   string
}

func (p *position) size() int {
	var b [binary.MaxVarintLen64]byte
	return len(p.hash) + binary.PutUvarint(b[:], p.offset) + binary.PutUvarint(b[:], uint64(len(p.epoch))) + len(p.epoch)
}

func (p *position) append(dst []byte) []byte {
	dst = append(dst, p.hash[:]...)
	dst = binary.AppendUvarint(dst, p.offset)
	dst = binary.AppendUvarint(dst, uint64(len(p.epoch)))
	return append(dst, p.epoch...)
}

// positions are those that a connection has told its client by ids of events. The zero
// value has none. It is not safe for concurrent use. The channels that fit into an id are
// few enough to be searched one after another.
type positions struct {
	known      []position
	size       int  // of known in an id, in bytes before base64url
	incomplete bool // positions are missing in known
	reported   bool // the application was told so
}

// follow takes the positions that messages move, and reports whether the client needs a new
// id.
func (p *positions) follow(batch []*protocol.Encoded) (moved bool) {
	for _, m := range batch {
		for move := m.Moves; move != nil; move = move.Next {
			moved = p.move(move) || moved
		}
	}
	return moved
}

func (p *positions) move(m *protocol.Move) (moved bool) {
	at := slices.IndexFunc(p.known, func(k position) bool { return k.channel == m.Channel })
	next := position{channel: m.Channel, offset: m.Offset, epoch: m.Epoch}
	switch {
	case at < 0 && m.Kind != protocol.MoveBegin:
		return false
	case at < 0:
		next.hash = hashOf(m.Channel)
		if p.isTaken(next.hash) || !p.fits(&next) {
			p.incomplete = true
			return true
		}
		p.known = append(p.known, next)
	default:
		p.size -= p.known[at].size()
		next.hash = p.known[at].hash
		fits := p.fits(&next)
		if m.Kind == protocol.MoveEnd || !fits {
			p.incomplete = p.incomplete || m.Kind != protocol.MoveEnd
			p.known = slices.Delete(p.known, at, at+1)
			return true
		}
		p.known[at] = next
	}
	p.size += next.size()
	return true
}

func (p *positions) isTaken(h channelHash) bool {
	return slices.ContainsFunc(p.known, func(k position) bool { return k.hash == h })
}

func (p *positions) fits(next *position) bool {
	return len(next.epoch) <= maxEpoch && base64.RawURLEncoding.EncodedLen(eventIDHead+p.size+next.size()) <= maxEventID
}

// appendID appends the id.
func (p *positions) appendID(dst []byte) []byte {
	plain := make([]byte, eventIDHead, eventIDHead+p.size)
	plain[0] = eventIDVersion
	if p.incomplete {
		plain[1] |= eventIDIncomplete
	}
	for i := range p.known {
		plain = p.known[i].append(plain)
	}
	return base64.RawURLEncoding.AppendEncode(dst, plain)
}

// nextID returns the line with the id that the client needs with batch, or nil. Known are
// the positions of the connection, which client returns.
func (h *Handler) nextID(known **positions, batch []*protocol.Encoded, client func() *centrifuge.Client) []byte {
	if h.config.Wire != Events || !h.config.Unidirectional || !slices.ContainsFunc(batch, moves) {
		return nil
	}
	if *known == nil {
		*known = new(positions)
	}
	p := *known
	if !p.follow(batch) {
		return nil
	}
	if p.incomplete && !p.reported {
		p.reported = true
		h.config.OnPositionsLost(client(), "the id of an event does not hold all positions")
	}
	return append(p.appendID([]byte("id: ")), '\n')
}

func moves(m *protocol.Encoded) bool { return m.Moves != nil }

// lastEventID is an id that a client has sent.
type lastEventID struct {
	known      []position
	incomplete bool
}

// requestedID returns the id in a request, or an empty string. A page that opens an
// EventSource again cannot set the header: it puts the id into the URL.
func requestedID(r *http.Request) string {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return id
	}
	return r.URL.Query().Get("lastEventId")
}

var errEventID = errors.New("malformed Last-Event-ID")

// parseEventID decodes an id. With the error it returns an id of which every position is
// missing.
func parseEventID(id string) (*lastEventID, error) {
	lost := &lastEventID{incomplete: true}
	if len(id) > maxEventID {
		return lost, errEventID
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(b) < eventIDHead || b[0] != eventIDVersion || b[1]&^eventIDIncomplete != 0 {
		return lost, errEventID
	}
	parsed := &lastEventID{incomplete: b[1]&eventIDIncomplete != 0}
	seen := make(map[channelHash]bool)
	for b = b[eventIDHead:]; len(b) > 0; {
		var next position
		var ok bool
		if next, b, ok = cutPosition(b); !ok || seen[next.hash] {
			return lost, errEventID
		}
		seen[next.hash] = true
		parsed.known = append(parsed.known, next)
	}
	return parsed, nil
}

// cutPosition decodes the first entry of an id.
func cutPosition(b []byte) (p position, rest []byte, ok bool) {
	if len(b) < len(p.hash) {
		return p, nil, false
	}
	p.hash = channelHash(b[:len(p.hash)])
	b = b[len(p.hash):]
	var n int
	if p.offset, n = binary.Uvarint(b); n <= 0 {
		return p, nil, false
	}
	b = b[n:]
	length, n := binary.Uvarint(b)
	if n <= 0 || length > maxEpoch || length > uint64(len(b)-n) { //nolint:gosec // n is at most len(b)
		return p, nil, false
	}
	b = b[n:]
	p.epoch = string(b[:length])
	return p, b[length:], utf8.ValidString(p.epoch)
}

// since is the position of a channel, for Conn.ConnectSince. If the id should have it and
// does not, the position is one from which nothing can be recovered.
func (id *lastEventID) since(channel string) *centrifuge.StreamPosition {
	hash := hashOf(channel)
	for _, k := range id.known {
		if k.hash == hash {
			return &centrifuge.StreamPosition{Offset: k.offset, Epoch: k.epoch}
		}
	}
	if id.incomplete {
		return &centrifuge.StreamPosition{Epoch: lostEpoch}
	}
	return nil
}
