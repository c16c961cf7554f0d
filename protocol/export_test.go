package protocol

// What the tests of this package need of its unexported names. They are in package
// protocol_test, because they also use package clientcodec, which imports this one.

const NumWireForms = numWireForms

var (
	MethodKinds   = methodKinds
	PushTypeKinds = pushTypeKinds
)

func (r *Reply) HasForm(f Format) bool { return r.hasForm(f) }

func (m *HistoryRequest) LimitAll() { m.limitAll() }

func (r *EncodedRange) EncodedIn(f Format) []byte { return r.encoded(f) }

func OrNew[T any](m *T) *T { return orNew(m) }
