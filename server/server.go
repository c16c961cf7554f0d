// Package server is the Centrifugo server: a node of the library centrifuge with
// configuration, authentication, an HTTP API and metrics. Main runs the program.
package server

import (
	"context"
	"os"

	"centrifugo/server/internal/app"
	"centrifugo/server/internal/cli"
	"centrifugo/server/internal/config"
)

// Version of the server.
const Version = "0.1.0"

// Main runs the program with args, which do not include its name, and returns the exit
// code. The program stops on SIGINT, SIGTERM, or when ctx is done.
func Main(ctx context.Context, args []string) int {
	return cli.Main(cli.Env{
		Context: ctx, Args: args, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(),
		Version: Version, Check: app.Check, Run: run,
	})
}

func run(ctx context.Context, cfg *config.Config, o cli.RunOptions) error {
	a, err := app.New(cfg, app.Options{
		Dev: o.Dev, Version: o.Version, Warnings: o.Warnings, Reload: o.Reload, Hangup: o.Hangup, Stderr: os.Stderr,
	})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}
