package protocol

// The functions of this file are for clients. A server does not need them.

// AppendCommand appends c as one message without framing. If several requests are
// set, it writes the one that Command.Kind names. The error is [ErrNotJSON], or
// [ErrNoForm] for a command without a request in V1.
func AppendCommand(dst []byte, f Format, c *Command) ([]byte, error) {
	if f.V1() {
		if _, ok := methodOf(c.Kind()); !ok {
			return dst, ErrNoForm
		}
	}
	if f.Protobuf() {
		w := protoWriter{b: dst, v1: f.V1()}
		w.command(c)
		return w.b, nil
	}
	w := jsonWriter{b: dst, v1: f.V1()}
	w.command(c)
	if w.err != nil {
		return dst, w.err
	}
	return w.b, nil
}

// AppendConnectRequest appends m without a command around it, as clients of
// unidirectional transports send it. Of f only the encoding matters. The error is
// [ErrNotJSON].
func AppendConnectRequest(dst []byte, f Format, m *ConnectRequest) ([]byte, error) {
	if f.Protobuf() {
		w := protoWriter{b: dst}
		w.connectRequest(m)
		return w.b, nil
	}
	w := jsonWriter{b: dst}
	w.connectRequest(m)
	if w.err != nil {
		return dst, w.err
	}
	return w.b, nil
}

// AppendEmulationRequest appends m as the body of an emulation request
// (protocol.md 3.4). In JSON the data, which holds commands, is a string.
func AppendEmulationRequest(dst []byte, protobuf bool, m *EmulationRequest) []byte {
	if protobuf {
		w := protoWriter{b: dst}
		w.emulationRequest(m)
		return w.b
	}
	w := jsonWriter{b: dst}
	at := len(dst)
	w.str(`,"node":`, m.Node)
	w.str(`,"session":`, m.Session)
	w.str(`,"data":`, string(m.Data))
	w.end(at)
	return w.b
}
