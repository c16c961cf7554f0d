package fanout

import (
	"errors"
	"sync"
	"sync/atomic"

	"centrifugo/centrifuge/internal/fossil"
	"centrifugo/protocol"
)

// Push is one message on its way to every subscriber of one channel: a
// publication, a join or a leave. It is immutable once broadcast.
type Push struct {
	Channel string
	Offset  uint64 // zero when the channel keeps no history
	Epoch   string
	// Exactly one is set.
	Pub   *protocol.Publication
	Join  *protocol.ClientInfo
	Leave *protocol.ClientInfo
	// Prev is the payload before Pub in the stream, nil when deltas are not wanted.
	Prev []byte

	frames [int(numForms) * protocol.NumFormats]atomic.Pointer[protocol.Encoded]

	deltaOnce sync.Once
	// replaced is how many publications right before it the push also stands for:
	// they were left out (BatchOptions.Latest). It is set before the broadcast.
	replaced uint32
	delta    []byte // nil when it would not be smaller
}

// first is the first offset that p stands for.
func (p *Push) first() uint64 {
	return p.Offset - uint64(p.replaced)
}

// form is what a subscription's options make of a publication. Together with
// the connection's format it is all that the bytes depend on.
type form uint8

const (
	formPlain form = iota
	formFull       // the payload of a delta subscription: a string in JSON
	formDelta      // the difference to the publication before
	numForms
)

// unencodable marks a form that was tried in vain.
var unencodable = new(protocol.Encoded)

// frame encodes p, once for each form and format whatever the number of
// subscribers; nil when the payload has no such form. Lanes may race here: the
// loser's work is dropped. The owner of s, the first subscriber that needs the
// form, is told of payloads that the frame goes without.
func (p *Push) frame(s *Sub, form form) *protocol.Encoded {
	slot := &p.frames[int(form)*protocol.NumFormats+int(s.Format)]
	fr := slot.Load()
	if fr == nil {
		made, omitted, err := p.encode(s.Format, form)
		if err != nil {
			made = unencodable
		}
		if slot.CompareAndSwap(nil, made) && omitted.Any() {
			s.omitted(p, omitted)
		}
		fr = slot.Load()
	}
	if fr == unencodable {
		return nil
	}
	return fr
}

// encode makes a frame of p, without those payloads beside the data that have no
// form in f.
func (p *Push) encode(f protocol.Format, form form) (*protocol.Encoded, protocol.Omitted, error) {
	frame, err := p.encodeWhole(f, form)
	if !errors.Is(err, protocol.ErrNotJSON) {
		return frame, protocol.Omitted{}, err
	}
	rest, omitted := p.withoutNonJSON()
	if !omitted.Any() {
		return nil, omitted, err
	}
	frame, err = rest.encodeWhole(f, form)
	return frame, omitted, err
}

func (p *Push) encodeWhole(f protocol.Format, form form) (*protocol.Encoded, error) {
	if form != formPlain && !f.Protobuf() && !protocol.ValidJSON(p.Pub.Data) {
		return nil, protocol.ErrNotJSON // inside a string it would arrive as another text
	}
	push := &protocol.Push{Channel: p.Channel}
	switch {
	case p.Join != nil:
		push.Join = &protocol.Join{Info: p.Join}
	case p.Leave != nil:
		push.Leave = &protocol.Leave{Info: p.Leave}
	case form == formPlain:
		push.Pub = p.Pub
	case form == formFull:
		push.Pub = FullForm(f, p.Pub)
	default:
		push.Pub = deltaForm(f, p.Pub, p.delta)
	}
	return protocol.Encode(f, &protocol.Reply{Push: push})
}

// withoutNonJSON is apart from encode because what it passes on has to be allocated.
func (p *Push) withoutNonJSON() (*Push, protocol.Omitted) {
	rest := &Push{Channel: p.Channel, delta: p.delta}
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

// FullForm is pub as a subscription with deltas gets it when it is not a
// difference: over JSON the payload is a string (client-protocol 1.10). As differences
// it has no epoch, which is in the result of the subscription.
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

// ChainForm is a run of a stream as a subscription with deltas gets it: each
// publication as a difference to the one before it, where that is smaller.
func ChainForm(f protocol.Format, pubs []*protocol.Publication) []*protocol.Publication {
	chain := make([]*protocol.Publication, len(pubs))
	for i, pub := range pubs {
		chain[i] = FullForm(f, pub)
		if i == 0 || pubs[i-1].Offset+1 != pub.Offset {
			continue // the client does not hold the base
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

// hasDelta computes the difference for the first who asks.
func (p *Push) hasDelta() bool {
	p.deltaOnce.Do(func() {
		if p.Prev == nil {
			return
		}
		if delta, ok := fossil.Append(nil, p.Prev, p.Pub.Data); ok {
			p.delta = delta
		}
	})
	return p.delta != nil
}

// size is what a held push is counted with.
func (p *Push) size() int {
	const overhead = 64
	if p.Pub == nil {
		return overhead
	}
	return overhead + len(p.Pub.Data)
}
