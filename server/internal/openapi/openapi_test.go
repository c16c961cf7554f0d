package openapi

import (
	"bytes"
	"os"
	"testing"
	"testing/fstest"
)

// TestDocumentIsCurrent fails when docs/openapi.json does not follow from the table
// of methods and its types.
func TestDocumentIsCurrent(t *testing.T) {
	want, err := Document(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("docs/openapi.json is stale; want it as generated: run go generate ./server/internal/openapi")
	}
}

// TestDescriptions checks that descriptions use the names of JSON and contain nothing
// that only readers of the source understand.
func TestDescriptions(t *testing.T) {
	text, err := Document(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, unwanted := range []string{"server.md", "protocol.md", "upstream", "B64Data", "IdempotencyKey"} {
		if bytes.Contains(text, []byte(unwanted)) {
			t.Errorf("the document contains %q; want it left out", unwanted)
		}
	}
	if want := "`b64data` is a binary payload in standard base64. If it is not empty, `data` is ignored."; !bytes.Contains(text, []byte(want)) {
		t.Errorf("the document has no description %q; want it", want)
	}
}

func TestDocumentOfBrokenSource(t *testing.T) {
	if _, err := Document(fstest.MapFS{"api/a.go": {Data: []byte("package")}}); err == nil {
		t.Error("Document of a file that is not Go = nil error; want one")
	}
}
