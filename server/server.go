// Package server is the Centrifugo server: a node of the library centrifuge with
// configuration, authentication, an HTTP API and metrics. Main runs the program.
package server

import (
	"context"
	"os"
	"runtime/debug"

	"centrifugo/server/internal/app"
	"centrifugo/server/internal/cli"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/listener"
)

// Version of the server, without a leading v. A release sets it, with its commit and the date
// of that: go build -ldflags "-X centrifugo/server.Version=0.2.0". Nothing may change it while
// the program runs.
var Version = "0.1.0-dev"

// commit of the sources and its date (RFC 3339), if they are known.
var commit, date string

// revision returns the commit and its date: those that the linker was given, or those that the
// Go command recorded when it built from a repository.
func revision() (hash, at string) {
	hash, at = commit, date
	info, ok := debug.ReadBuildInfo()
	if hash != "" || !ok {
		return hash, at
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			hash = s.Value
		case "vcs.time":
			at = s.Value
		}
	}
	return hash, at
}

// Main runs the program with args, which do not include its name, and returns the exit
// code. The program stops on SIGINT, SIGTERM, or when ctx is done.
func Main(ctx context.Context, args []string) int {
	commit, date := revision()
	return cli.Main(cli.Env{
		Context: ctx, Args: args, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(),
		Version: Version, Commit: commit, Date: date, Check: app.Check, Run: run,
	})
}

func run(ctx context.Context, cfg *config.Config, o cli.RunOptions) error {
	a, err := app.New(cfg, app.Options{
		Dev: o.Dev, Version: o.Version, Warnings: o.Warnings, Reload: o.Reload, Hangup: o.Hangup, Sockets: listener.Inherit(), Stderr: os.Stderr,
	})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}
