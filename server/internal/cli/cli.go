package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"centrifugo/server/internal/config"
)

// Env is the environment of a command.
type Env struct {
	// Context stops a command that serves; nil means context.Background.
	Context context.Context
	// Args are the arguments without the name of the program.
	Args []string
	// Stdout and Stderr receive output.
	Stdout, Stderr io.Writer
	// Environ are the variables of the process, as os.Environ returns them.
	Environ []string
	// Version of the program, without a leading v.
	Version string
	// Commit of the sources and its date; empty if they are not known.
	Commit, Date string
	// Check builds the server without starting it and returns the errors that Run would
	// return; nil checks nothing.
	Check func(cfg *config.Config) error
	// Run runs the server until the context is done. It returns nil after an orderly shutdown.
	Run func(ctx context.Context, cfg *config.Config, o RunOptions) error
}

// RunOptions are options of the server beside its configuration.
type RunOptions struct {
	// Dev enables development mode.
	Dev bool
	// Version of the program.
	Version string
	// Warnings of loading the configuration. The server logs them when its log is open.
	Warnings []config.Warning
	// Reload loads the configuration again from the same sources and validates it.
	Reload func() (*config.Config, []config.Warning, error)
	// Hangup receives SIGHUP, on which the server reloads.
	Hangup <-chan os.Signal
}

// Main runs one command and returns the exit code of the process.
func Main(env Env) int {
	if env.Context == nil {
		env.Context = context.Background()
	}
	root := env.rootCommand()
	root.AddCommand(
		env.versionCommand(),
		env.checkConfigCommand(),
		env.genConfigCommand(),
		env.defaultConfigCommand(),
		env.defaultEnvCommand(),
		env.configDocCommand(),
		env.genTokenCommand(),
		env.genSubTokenCommand(),
		env.checkTokenCommand(),
		env.checkSubTokenCommand(),
		env.serveCommand(),
		env.benchCommand(),
		env.migrateCommand(),
	)
	root.SetArgs(append([]string{}, env.Args...)) // nil would make cobra take os.Args
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	if err := root.ExecuteContext(env.Context); err != nil {
		_, _ = fmt.Fprintf(env.Stderr, "error: %v\n", err)
		return 1
	}
	return 0
}

// build is what the command version prints as JSON.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"` // of the sources, when it is known
	Date    string `json:"date,omitempty"`   // of the commit, RFC 3339, when it is known
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func (env Env) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !asJSON {
				return env.printf("%s\n", env.version())
			}
			text, err := json.Marshal(build{
				Version: env.Version, Commit: env.Commit, Date: env.Date,
				Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
			})
			if err != nil {
				return fmt.Errorf("encoding the version: %w", err)
			}
			return env.printf("%s\n", text)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print version, commit, its date, Go release and system as JSON")
	return cmd
}

// version returns what the command version and the flag --version print.
func (env Env) version() string {
	return fmt.Sprintf("Centrifugo v%s (Go version: %s)", env.Version, runtime.Version())
}

// printf writes to standard output; an error there is an error of the command.
func (env Env) printf(format string, args ...any) error {
	if _, err := fmt.Fprintf(env.Stdout, format, args...); err != nil {
		return fmt.Errorf("writing output: %w", err)
	}
	return nil
}

// dotEnv is the file with variables that is read from the working directory (server.md 6.1).
const dotEnv = ".env"

// configFlag adds flag -c to a command.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "config.json", "path to the configuration file (.json, .yaml, .toml)")
}

// load loads the configuration for a command with flag -c.
func (env Env) load(cmd *cobra.Command, file string) (*config.Config, []config.Warning, error) {
	return config.Load(config.Options{
		File:         file,
		FileExplicit: cmd.Flags().Changed("config"),
		DotEnv:       dotEnv,
		Environ:      env.Environ,
	})
}
