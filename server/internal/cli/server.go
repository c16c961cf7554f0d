package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"centrifugo/server/internal/auth"
	"centrifugo/server/internal/config"
)

// serverFlags are the keys of the configuration that are also flags of the server
// (server.md 6.4). There are no others.
var serverFlags = []struct{ key, short, usage string }{
	{"http_server.address", "a", "address to bind to"},
	{"http_server.port", "p", "port to bind to"},
	{"http_server.internal_address", "", "address of the internal listener"},
	{"http_server.internal_port", "", "port of the internal listener"},
	{"pid_file", "", "file to write the process identifier to"},
	{"log.level", "", "log level: none, trace, debug, info, warn, error, fatal"},
	{"log.file", "", "file to log to"},
	{"engine.type", "", "engine"},
	{"broker.enabled", "", "use a broker of its own"},
	{"broker.type", "", "broker"},
	{"presence_manager.enabled", "", "use a presence manager of its own"},
	{"presence_manager.type", "", "presence manager"},
	{"map_broker.type", "", "map broker"},
	{"debug.enabled", "", "serve the profiling endpoints"},
	{"admin.enabled", "", "serve the administration interface"},
	{"admin.external", "", "serve the administration interface on the external listener"},
	{"admin.insecure", "", "INSECURE: the administration interface needs no password"},
	{"prometheus.enabled", "", "serve metrics for Prometheus"},
	{"swagger.enabled", "", "serve the description of the HTTP API"},
	{"health.enabled", "", "serve the health endpoint"},
	{"uni_websocket.enabled", "", "serve unidirectional WebSocket"},
	{"uni_sse.enabled", "", "serve unidirectional Server-Sent Events"},
	{"uni_http_stream.enabled", "", "serve unidirectional HTTP streams"},
	{"sse.enabled", "", "serve Server-Sent Events"},
	{"http_stream.enabled", "", "serve HTTP streams"},
	{"init.enabled", "", "serve the connection warm-up endpoint"},
	{"client.insecure", "", "INSECURE: clients need no authentication and may do everything"},
	{"http_api.insecure", "", "INSECURE: the HTTP API needs no key"},
	{"http_api.external", "", "serve the HTTP API on the external listener"},
	{"grpc_api.enabled", "", "serve the gRPC API"},
	{"grpc_api.port", "", "port of the gRPC API"},
	{"uni_grpc.enabled", "", "serve unidirectional gRPC"},
	{"uni_grpc.port", "", "port of unidirectional gRPC"},
}

func (env Env) rootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "centrifugo",
		Short:         "Real-time messaging server",
		Long:          "Centrifugo is a real-time messaging server. Without a command it serves.",
		Args:          cobra.NoArgs,
		Version:       env.version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetFlagErrorFunc(oldFlag)
	file := configFlag(cmd)
	dev := cmd.Flags().Bool("dev", false, "development mode: no configuration, no authentication, 127.0.0.1 only. INSECURE")
	addServerFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return env.serve(config.Options{
			File:         *file,
			FileExplicit: cmd.Flags().Changed("config"),
			DotEnv:       dotEnv,
			Environ:      env.Environ,
			Flags:        givenFlags(cmd.Flags()),
			Dev:          *dev,
		})
	}
	return cmd
}

// addServerFlags adds the flags with the types and defaults of their keys.
func addServerFlags(flags *pflag.FlagSet) {
	types := config.Types()
	for _, f := range serverFlags {
		key, usage := types[f.key], f.usage
		switch {
		case key.Refused():
			usage += " (refused: not in this version)"
		case key.NotBuilt():
			usage += " (without effect in this version)"
		}
		switch {
		case f.key == "http_server.internal_port": // upstream's is text, empty for none
			flags.StringP(f.key, f.short, "", usage)
		case key.Type == "bool":
			flags.BoolP(f.key, f.short, false, usage)
		case key.Type == "int":
			n, _ := strconv.Atoi(key.Default) // empty means 0
			flags.IntP(f.key, f.short, n, usage)
		default:
			flags.StringP(f.key, f.short, key.Default, usage)
		}
	}
}

// givenFlags returns the flags that were given: one at its default must not
// override the environment or the file.
func givenFlags(flags *pflag.FlagSet) map[string]string {
	given := map[string]string{}
	for _, f := range serverFlags {
		if flag := flags.Lookup(f.key); flag.Changed {
			given[f.key] = flag.Value.String()
		}
	}
	return given
}

// serve loads the configuration and runs the server until SIGINT or SIGTERM.
func (env Env) serve(o config.Options) error {
	started := false
	reload := func() (*config.Config, []config.Warning, error) {
		if info, err := os.Stat(o.File); started && o.FileExplicit && err == nil && info.Size() == 0 {
			// YAML and TOML accept an empty file, which may be one that is being written.
			return nil, nil, fmt.Errorf("%s: the configuration file is empty", o.File)
		}
		cfg, warnings, err := config.Load(o)
		if err == nil {
			err = env.judge(cfg)
		}
		return cfg, warnings, err
	}
	cfg, warnings, err := reload()
	if err != nil {
		return fmt.Errorf("configuration:\n%w", err)
	}
	if !o.Dev && o.File != "" && !slices.ContainsFunc(warnings, func(w config.Warning) bool { return w.Kind == config.MissingFile }) {
		// The file existed, so a reload without it fails. The function reload sees this.
		o.FileExplicit = true
	}
	started = true
	if o.Dev {
		env.devBanner(cfg)
	}
	ctx, stop := signal.NotifyContext(env.Context, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	hangup := make(chan os.Signal, 1) // one pending reload is enough
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return env.Run(ctx, cfg, RunOptions{Dev: o.Dev, Version: env.Version, Warnings: warnings, Reload: reload, Hangup: hangup})
}

// judge returns why the server would not start with a configuration. checkconfig, the
// start and a reload use it, so a configuration that passes checkconfig starts, unless a
// port is in use or a file cannot be written.
func (env Env) judge(cfg *config.Config) error {
	err := errors.Join(cfg.CheckBuilt(), checkKeys(cfg))
	if err == nil && env.Check != nil {
		err = env.Check(cfg)
	}
	return err //nolint:wrapcheck // each part names the key
}

// checkKeys checks the kinds of keys, which loading the configuration does not.
func checkKeys(cfg *config.Config) error {
	var errs []error
	skip := auth.Options{SkipSignature: cfg.Client.InsecureSkipTokenSignatureVerify}
	if _, err := auth.NewVerifier(cfg.Client.Token, skip); err != nil {
		errs = append(errs, fmt.Errorf("client.token.%w", err))
	}
	if cfg.Client.SubscriptionToken.Enabled {
		if _, err := auth.NewVerifier(cfg.Client.SubscriptionToken.Token, skip); err != nil {
			errs = append(errs, fmt.Errorf("client.subscription_token.%w", err))
		}
	}
	return errors.Join(errs...)
}

// devBanner warns that development mode must not be used for anything else.
func (env Env) devBanner(cfg *config.Config) {
	host := cfg.HTTPServer.Address
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1" // a browser cannot open "all interfaces"
	}
	address := net.JoinHostPort(host, strconv.Itoa(cfg.HTTPServer.Port))
	_, _ = fmt.Fprintf(env.Stderr, `
  ****************************************************************
  **  DEVELOPMENT MODE: INSECURE, never use it in production    **
  **  no authentication, every client may do everything         **
  ****************************************************************

  Open the playground in two tabs:  http://%[1]s/
  Publish:  curl -X POST http://%[1]s/api/publish -d '{"channel":"playground","data":{"hello":"world"}}'

`, address)
}
