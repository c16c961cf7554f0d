package fanout

import (
	"errors"
	"sync"
	"sync/atomic"

	"centrifugo/internal/fossil"
	"centrifugo/protocol"
)

// Push is one message for all subscribers of one channel: a publication, a join or
// a leave. It must not be changed after the broadcast.
type Push struct {
	Channel string
	Offset  uint64 // zero when the channel keeps no history
	Epoch   string // sent with offset 1, so that a subscriber learns it
	// At most one is set. A push without any is the position of the stream's top, at
	// Offset and Epoch: it is not sent, but ends positioned subscriptions that have
	// not been served up to there.
	Pub   *protocol.Publication
	Join  *protocol.ClientInfo
	Leave *protocol.ClientInfo
	// Prev is the payload that the delta of Pub is a difference to, or nil if no delta
	// is needed: the one before Pub in the stream or, without an offset, the one with
	// the number before Seq.
	Prev []byte
	// Seq numbers the publications that a node delivers into a channel whose latest
	// publication it keeps; zero for other channels.
	Seq uint64
	// Exclude is the id of a connection that the publication is not sent to; empty for
	// none.
	Exclude string
	// Deltas, if not nil, counts the deltas that were computed.
	Deltas *atomic.Uint64
	// Trace says for which subscribers it is traced what becomes of the publication. It is
	// set before the broadcast.
	Trace TraceScope
	// Label and Started are those of the encoded messages; see protocol.Encoded.
	Label   uint16
	Started uint32

	plain [protocol.NumFormats]atomic.Pointer[protocol.Encoded]
	more  atomic.Pointer[moreForms] // nil until a subscriber needs another form

	deltaOnce sync.Once
	// replaced is the number of publications directly before this one that were
	// superseded by it or another one (CoalesceOptions.FlushLatest). The push covers
	// their offsets. It is set before the broadcast.
	replaced uint32
	delta    []byte // nil if it would not be smaller
}

// isPosition reports whether p is the position of the stream's top.
func (p *Push) isPosition() bool { return p.Pub == nil && p.Join == nil && p.Leave == nil }

// First returns the first offset that p covers.
func (p *Push) First() uint64 {
	return p.Offset - uint64(p.replaced)
}

// form is the representation of a publication that a subscription's options ask
// for. The encoded bytes depend on the form and on the connection's format only.
type form uint8

const (
	formPlain form = iota
	formFull       // a whole payload for a delta subscription: a string in JSON
	formDelta      // the difference to the previous publication
	numForms
)

// moreForms are the encoded messages of a push that subscribers with options need.
type moreForms struct {
	deltas  [int(numForms-formFull) * protocol.NumFormats]atomic.Pointer[protocol.Encoded]
	compact atomic.Pointer[compactForms] // nil until a subscriber with a channel id needs one
}

// compactForms are the encoded messages with a numeric channel id (protocol.md 4.4).
type compactForms struct {
	id    int64
	forms [int(numForms) * protocol.NumFormats]atomic.Pointer[protocol.Encoded]
}

// slot returns where the message for s in a form is kept. It returns nil if the
// message cannot be shared: s has another channel id than the subscribers before,
// which happens only while a channel gets a new id.
func (p *Push) slot(s *Subscriber, form form) *atomic.Pointer[protocol.Encoded] {
	id := s.channelID()
	if form == formPlain && id == 0 {
		return &p.plain[s.Format]
	}
	more := p.more.Load()
	if more == nil {
		p.more.CompareAndSwap(nil, new(moreForms))
		more = p.more.Load()
	}
	if id == 0 {
		return &more.deltas[int(form-formFull)*protocol.NumFormats+int(s.Format)]
	}
	compact := more.compact.Load()
	if compact == nil {
		more.compact.CompareAndSwap(nil, &compactForms{id: id})
		compact = more.compact.Load()
	}
	if compact.id != id {
		return nil
	}
	return &compact.forms[int(form)*protocol.NumFormats+int(s.Format)]
}

// unencodable marks a form that could not be encoded.
var unencodable = new(protocol.Encoded)

// encoded returns the message of p in the given form and in the format of s, or nil
// if the payload has no such form. Each combination is encoded once, for its first
// subscriber. If lanes race here, one result is dropped. If payloads had to be
// omitted, the owner of the first subscriber is notified.
func (p *Push) encoded(s *Subscriber, form form) *protocol.Encoded {
	slot := p.slot(s, form)
	if slot == nil {
		slot = new(atomic.Pointer[protocol.Encoded])
	}
	message := slot.Load()
	if message == nil {
		made, omitted, err := p.encode(s.Format, form, s.channelID())
		if err != nil {
			made = unencodable
		}
		if slot.CompareAndSwap(nil, made) && omitted.Any() {
			s.Out.sink.Omitted(s, p, omitted)
		}
		message = slot.Load()
	}
	if message == unencodable {
		return nil
	}
	return message
}

// encode encodes p in f, with the channel id if it is not zero. Payloads other than the
// data that have no form in f are omitted.
func (p *Push) encode(f protocol.Format, form form, id int64) (*protocol.Encoded, protocol.Omitted, error) {
	message, err := p.encodeWhole(f, form, id)
	if !errors.Is(err, protocol.ErrNotJSON) {
		return message, protocol.Omitted{}, err
	}
	rest, omitted := p.withoutNonJSON()
	if !omitted.Any() {
		return nil, omitted, err
	}
	message, err = rest.encodeWhole(f, form, id)
	return message, omitted, err
}

func (p *Push) encodeWhole(f protocol.Format, form form, id int64) (*protocol.Encoded, error) {
	if form != formPlain && !f.Protobuf() && !protocol.ValidJSON(p.Pub.Data) {
		return nil, protocol.ErrNotJSON // as a JSON string, invalid UTF-8 would change
	}
	push := &protocol.Push{Channel: p.Channel}
	if id != 0 {
		push.ID, push.Channel = id, ""
	}
	switch {
	case p.Join != nil:
		push.Join = &protocol.Join{Info: p.Join}
	case p.Leave != nil:
		push.Leave = &protocol.Leave{Info: p.Leave}
	case form == formPlain && p.Offset == 1:
		first := *p.Pub // the engine's may be shared
		first.Epoch = p.Epoch
		push.Pub = &first
	case form == formPlain:
		push.Pub = p.Pub
	case form == formFull:
		push.Pub = FullForm(f, p.Pub)
	default:
		push.Pub = deltaForm(f, p.Pub, p.delta)
	}
	message, err := protocol.Encode(f, &protocol.Reply{Push: push})
	if err == nil {
		message.Label, message.Started = p.Label, p.Started
	}
	if err == nil && f.Uni() && p.Pub != nil && p.Offset > 0 {
		message.Moves = &protocol.Move{Channel: p.Channel, Epoch: p.Epoch, Offset: p.Offset}
	}
	return message, err
}

// withoutNonJSON returns a copy of p without the payloads that are not JSON. It is not
// inlined in encode because its variables are allocated on the heap.
func (p *Push) withoutNonJSON() (*Push, protocol.Omitted) {
	rest := &Push{Channel: p.Channel, Offset: p.Offset, Epoch: p.Epoch, Label: p.Label, Started: p.Started, delta: p.delta}
	push := &protocol.Push{Pub: p.Pub}
	switch {
	case p.Join != nil:
		push.Join = &protocol.Join{Info: p.Join}
	case p.Leave != nil:
		push.Leave = &protocol.Leave{Info: p.Leave}
	}
	reply, omitted := (&protocol.Reply{Push: push}).OmitNonJSON()
	switch push = reply.Push; {
	case push.Pub != nil:
		rest.Pub = push.Pub
	case push.Join != nil:
		rest.Join = push.Join.Info
	case push.Leave != nil:
		rest.Leave = push.Leave.Info
	}
	return rest, omitted
}

// FullForm returns pub as a delta subscription gets it when it is not sent as a
// delta: over JSON the payload is a string (protocol.md 6.7). Like a delta, it
// has no epoch; the subscribe result has it.
func FullForm(f protocol.Format, pub *protocol.Publication) *protocol.Publication {
	full := *pub
	full.Data, full.Epoch = textForm(f, pub.Data), ""
	return &full
}

func deltaForm(f protocol.Format, pub *protocol.Publication, delta []byte) *protocol.Publication {
	return &protocol.Publication{
		Offset: pub.Offset, Data: textForm(f, delta), Info: pub.Info, Tags: pub.Tags,
		Key: pub.Key, Removed: pub.Removed, Score: pub.Score, Channel: pub.Channel, Delta: true,
	}
}

// ChainForm returns consecutive publications as a delta subscription gets them: each
// as a delta to the one before it, if that is smaller.
func ChainForm(f protocol.Format, pubs []*protocol.Publication) []*protocol.Publication {
	chain := make([]*protocol.Publication, len(pubs))
	for i, pub := range pubs {
		chain[i] = FullForm(f, pub)
		if i == 0 || pubs[i-1].Offset+1 != pub.Offset {
			continue // the client does not have the base
		}
		if delta, ok := fossil.Append(nil, pubs[i-1].Data, pub.Data); ok {
			chain[i] = deltaForm(f, pub, delta)
		}
	}
	return chain
}

func textForm(f protocol.Format, data []byte) []byte {
	if f.Protobuf() {
		return data
	}
	return protocol.AppendJSONString(nil, string(data))
}

// hasDelta reports whether p has a delta, which the first call computes.
func (p *Push) hasDelta() bool {
	p.deltaOnce.Do(func() {
		if p.Prev == nil {
			return
		}
		if p.Deltas != nil {
			p.Deltas.Add(1)
		}
		if delta, ok := fossil.Append(nil, p.Prev, p.Pub.Data); ok {
			p.delta = delta
		}
	})
	return p.delta != nil
}

// size returns the approximate memory of a push, in bytes.
func (p *Push) size() int {
	const overhead = 64
	if p.Pub == nil {
		return overhead
	}
	return overhead + len(p.Pub.Data)
}
