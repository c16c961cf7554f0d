package protocol

import (
	"bytes"
	"strconv"

	"centrifugo/internal/jsonscan"
)

// jsonWriter appends JSON. It writes each member with a comma in front,
// `,"key":value`, and end replaces the first comma of an object by a brace. So the
// code of a member does not depend on whether it is the first.
type jsonWriter struct {
	b   []byte
	v1  bool
	err error
}

// end closes the object whose members start at b[at].
func (w *jsonWriter) end(at int) {
	if len(w.b) == at {
		w.b = append(w.b, '{', '}')
		return
	}
	w.b[at] = '{'
	w.b = append(w.b, '}')
}

// endList closes the array whose elements, each behind a comma, start at b[at].
func (w *jsonWriter) endList(at int) {
	if len(w.b) == at {
		w.b = append(w.b, '[', ']')
		return
	}
	w.b[at] = '['
	w.b = append(w.b, ']')
}

func (w *jsonWriter) key(key string) { w.b = append(w.b, key...) }

func (w *jsonWriter) comma() { w.b = append(w.b, ',') }

func (w *jsonWriter) mapKey(key string) {
	w.comma()
	w.b = jsonscan.AppendString(w.b, key)
	w.b = append(w.b, ':')
}

// The methods named Always also write zero values; those named V1 do so only in
// the first generation (protocol.md 2.1 and 8.2). The Always methods are not
// inlined, so that the test for zero, the usual value, is.

func (w *jsonWriter) str(key, v string) {
	if v != "" {
		w.strAlways(key, v)
	}
}

func (w *jsonWriter) strV1(key, v string) {
	if v != "" || w.v1 {
		w.strAlways(key, v)
	}
}

//go:noinline
func (w *jsonWriter) strAlways(key, v string) {
	w.b = jsonscan.AppendString(append(w.b, key...), v)
}

func (w *jsonWriter) uint(key string, v uint64) {
	if v != 0 {
		w.uintAlways(key, v)
	}
}

func (w *jsonWriter) uintV1(key string, v uint64) {
	if v != 0 || w.v1 {
		w.uintAlways(key, v)
	}
}

//go:noinline
func (w *jsonWriter) uintAlways(key string, v uint64) {
	w.b = strconv.AppendUint(append(w.b, key...), v, 10)
}

func (w *jsonWriter) int(key string, v int64) {
	if v != 0 {
		w.intAlways(key, v)
	}
}

//go:noinline
func (w *jsonWriter) intAlways(key string, v int64) {
	w.b = strconv.AppendInt(append(w.b, key...), v, 10)
}

func (w *jsonWriter) bool(key string, v bool) {
	if v {
		w.b = append(append(w.b, key...), "true"...)
	}
}

func (w *jsonWriter) raw(key string, v Raw) {
	if len(v) != 0 {
		w.rawAlways(key, v)
	}
}

func (w *jsonWriter) rawV1(key string, v Raw) {
	if len(v) != 0 {
		w.rawAlways(key, v)
	} else if w.v1 {
		w.b = append(append(w.b, key...), "null"...)
	}
}

// rawAlways writes v unchanged, except for newlines. They can only be white space
// and would end the line (protocol.md 2.1).
//
//go:noinline
func (w *jsonWriter) rawAlways(key string, v Raw) {
	seen, ok := jsonscan.Inspect(v)
	if !ok {
		w.err = ErrNotJSON
		return
	}
	w.b = append(w.b, key...)
	for seen&jsonscan.Space != 0 {
		i := bytes.IndexByte(v, '\n')
		if i < 0 {
			break
		}
		w.b = append(w.b, v[:i]...)
		v = v[i+1:]
	}
	w.b = append(w.b, v...)
}

func (w *jsonWriter) strs(key string, list []string) {
	if len(list) == 0 {
		return
	}
	w.key(key)
	at := len(w.b)
	for _, v := range list {
		w.comma()
		w.b = jsonscan.AppendString(w.b, v)
	}
	w.endList(at)
}

func (w *jsonWriter) strMap(key string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	w.key(key)
	at := len(w.b)
	for k, v := range m {
		w.mapKey(k)
		w.b = jsonscan.AppendString(w.b, v)
	}
	w.end(at)
}
