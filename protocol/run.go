package protocol

import "sync"

// Run is a part of a stream that many subscribers are sent, such as what all of
// them missed while a load balancer was away. It is encoded once for each
// format, by the first who needs it. It is safe for concurrent use.
type Run struct {
	publications []*Publication
	forms        [FormatUni]runForm // by the bits of Format below FormatUni
}

// runForm is a run in one format: the elements of the JSON list or the repeated
// Protobuf fields of SubscribeResult.
type runForm struct {
	once    sync.Once
	bytes   []byte
	omitted Omitted
}

// NewRun makes a run of publications, which must not change any more.
func NewRun(publications []*Publication) *Run { return &Run{publications: publications} }

// Publications returns what the run is made of, for reading.
func (r *Run) Publications() []*Publication { return r.publications }

// Omitted returns what subscribers with format f do not get of the run, because
// it is not JSON.
func (r *Run) Omitted(f Format) Omitted {
	r.encoded(f)
	return r.forms[f&(FormatUni-1)].omitted
}

// encoded returns the run as a subscribe result carries it; f is of a
// connection that has subscribe results, which a unidirectional one has not.
func (r *Run) encoded(f Format) []byte {
	form := &r.forms[f&(FormatUni-1)]
	form.once.Do(func() {
		size := publicationsSize(r.publications)
		if f.Protobuf() {
			w := protoWriter{b: make([]byte, 0, size), v1: f.V1()}
			w.publications(subscribeResultPublications, r.publications)
			form.bytes = w.b
			return
		}
		w := jsonWriter{b: make([]byte, 0, size), v1: f.V1()}
		w.publications("", r.publications, false)
		if w.err != nil {
			w = jsonWriter{b: w.b[:0], v1: f.V1()}
			w.publications("", form.omitted.publications(r.publications), false)
		}
		form.bytes = w.b
	})
	return form.bytes
}

func (w *jsonWriter) run(key string, r *Run) {
	if encoded := r.encoded(formatOf(false, w.v1)); len(encoded) > 0 {
		w.key(key)
		w.b = append(w.b, encoded...)
	}
}

func (w *protoWriter) run(r *Run) {
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
