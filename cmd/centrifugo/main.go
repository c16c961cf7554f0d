// Command centrifugo is a real-time messaging server. Everything it does is in
// package server; run it with --help to see what that is.
package main

import (
	"context"
	"os"

	"centrifugo/server"
)

func main() {
	os.Exit(server.Main(context.Background(), os.Args[1:]))
}
