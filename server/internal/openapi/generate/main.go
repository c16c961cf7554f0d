// Command generate writes the OpenAPI document of the HTTP API.
package main

import (
	"flag"
	"fmt"
	"os"

	"centrifugo/server/internal/openapi"
)

func main() {
	source := flag.String("source", "", "directory of the packages of the API")
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if err := generate(*source, *out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(source, out string) error {
	document, err := openapi.Document(os.DirFS(source))
	if err != nil {
		return fmt.Errorf("making the document: %w", err)
	}
	if err := os.WriteFile(out, document, 0o644); err != nil { //nolint:gosec // documentation
		return fmt.Errorf("writing the document: %w", err)
	}
	return nil
}
