package http2

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// trailerNames returns the fields that the header of a response announces for its trailer.
func trailerNames(header http.Header) (names []string) {
	for name := range announcedTrailer(header) {
		names = append(names, name)
	}
	return names
}

// trailer returns the block of the fields behind the body: those that were announced, and
// those that http.TrailerPrefix marks. It returns nil if there are none.
func (r *response) trailer() []byte {
	fields := make(http.Header)
	for _, name := range r.trailers {
		if values := r.header[name]; len(values) > 0 {
			fields[name] = values
		}
	}
	for name, values := range r.header {
		if after, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && httpguts.ValidTrailerHeader(after) {
			fields[http.CanonicalHeaderKey(after)] = values
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return appendHeader(nil, fields)
}
