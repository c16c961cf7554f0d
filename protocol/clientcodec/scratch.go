package clientcodec

import "centrifugo/protocol"

// ReplyScratch is scratch memory for a reply with a push, so that a client can
// decode pushes without allocating. A ReplyDecoder that uses it overwrites its
// content with each call of Decode.
type ReplyScratch struct {
	reply    protocol.Reply
	contents struct {
		push        protocol.Push
		publication protocol.Publication
		info        protocol.ClientInfo
	}
	// Only the first message of each type uses the scratch memory.
	pushUsed, publicationUsed, infoUsed bool
}

func (r *ReplyScratch) begin() *protocol.Reply {
	if r == nil {
		return new(protocol.Reply)
	}
	r.reply = protocol.Reply{}
	r.pushUsed, r.publicationUsed, r.infoUsed = false, false, false
	return &r.reply
}

func (r *ReplyScratch) push() *protocol.Push {
	if r == nil {
		return new(protocol.Push)
	}
	return firstOrNew(&r.contents.push, &r.pushUsed)
}

func (r *ReplyScratch) publication() *protocol.Publication {
	if r == nil {
		return new(protocol.Publication)
	}
	return firstOrNew(&r.contents.publication, &r.publicationUsed)
}

func (r *ReplyScratch) info() *protocol.ClientInfo {
	if r == nil {
		return new(protocol.ClientInfo)
	}
	return firstOrNew(&r.contents.info, &r.infoUsed)
}

// firstOrNew returns m, emptied, on the first call, and a new message afterwards.
func firstOrNew[T any](m *T, used *bool) *T {
	if *used {
		return new(T)
	}
	var zero T
	*m, *used = zero, true
	return m
}
