package protocol

// Format is a way to encode messages: an encoding, a generation of the protocol and
// a direction. A connection has one format from beginning to end. The set is small
// and closed, so tables are arrays indexed by Format.
type Format uint8

const (
	// FormatProtobuf selects the Protobuf encoding; without it, JSON.
	FormatProtobuf Format = 1 << iota
	// FormatV1 selects the method/params/result envelope of the first generation.
	FormatV1
	// FormatUni selects pushes without a reply around them, for unidirectional
	// transports.
	FormatUni

	// NumFormats is the size of a table indexed by Format.
	NumFormats = 1 << iota
)

// Protobuf reports whether the encoding is Protobuf.
func (f Format) Protobuf() bool { return f&FormatProtobuf != 0 }

// V1 reports whether messages have the envelope of the first generation.
func (f Format) V1() bool { return f&FormatV1 != 0 }

// Uni reports whether pushes have no reply around them.
func (f Format) Uni() bool { return f&FormatUni != 0 }
