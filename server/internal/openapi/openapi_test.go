package openapi

import (
	"os"
	"testing"
	"testing/fstest"
)

// TestDocumentIsCurrent fails when docs/openapi.json does not follow from the table
// of methods and its types.
func TestDocumentIsCurrent(t *testing.T) {
	want, err := Document(os.DirFS("../api"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("docs/openapi.json is stale; run go generate ./server/internal/openapi")
	}
}

func TestDocumentOfBrokenSource(t *testing.T) {
	if _, err := Document(fstest.MapFS{"a.go": {Data: []byte("package")}}); err == nil {
		t.Error("Document of a file that is not Go = nil error; want one")
	}
}
