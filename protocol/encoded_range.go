package protocol

import "sync"

// EncodedRange is a gapless range of a stream that is sent to many subscribers,
// for example the publications that all of them missed while a load balancer was
// away. It is encoded once for each format, when the first subscriber needs it.
// It is safe for concurrent use.
type EncodedRange struct {
	publications []*Publication
	forms        [FormatUni]rangeForm // by the bits of Format below FormatUni
}

// rangeForm is a range in one format: the elements of the JSON list or the
// repeated Protobuf fields of SubscribeResult.
type rangeForm struct {
	once    sync.Once
	bytes   []byte
	omitted Omitted
}

// NewEncodedRange returns the range of publications, which must not change any more.
func NewEncodedRange(publications []*Publication) *EncodedRange {
	return &EncodedRange{publications: publications}
}

// Publications returns the publications of the range. The caller must not change them.
func (r *EncodedRange) Publications() []*Publication { return r.publications }

// Omitted returns what the range leaves out in format f because it is not JSON.
func (r *EncodedRange) Omitted(f Format) Omitted {
	r.encoded(f)
	return r.forms[f&(FormatUni-1)].omitted
}

// encoded returns the range as a subscribe result holds it. The bit FormatUni of
// f is ignored: a unidirectional connection has no subscribe results.
func (r *EncodedRange) encoded(f Format) []byte {
	form := &r.forms[f&(FormatUni-1)]
	form.once.Do(func() {
		size := publicationsSize(r.publications)
		if f.Protobuf() {
			w := protoWriter{b: make([]byte, 0, size), v1: f.V1()}
			w.publicationList(subscribeResultPublications, r.publications)
			form.bytes = w.b
			return
		}
		w := jsonWriter{b: make([]byte, 0, size), v1: f.V1()}
		w.publicationList("", r.publications, false)
		if w.err != nil {
			w = jsonWriter{b: w.b[:0], v1: f.V1()}
			w.publicationList("", form.omitted.publications(r.publications), false)
		}
		form.bytes = w.b
	})
	return form.bytes
}

func (w *jsonWriter) encodedRange(key string, r *EncodedRange) {
	if encoded := r.encoded(formatOf(false, w.v1)); len(encoded) > 0 {
		w.key(key)
		w.b = append(w.b, encoded...)
	}
}

func (w *protoWriter) encodedRange(r *EncodedRange) {
	w.b = append(w.b, r.encoded(formatOf(true, w.v1))...)
}

func formatOf(protobuf, v1 bool) (f Format) {
	if protobuf {
		f |= FormatProtobuf
	}
	if v1 {
		f |= FormatV1
	}
	return f
}
