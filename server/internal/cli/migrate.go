package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/config/migrate"
)

const migrateHelp = `Turn a configuration of Centrifugo v2 to v5 into the form of v6.

The configuration file, the CENTRIFUGO_ variables of the environment and of .env, and the
flags of the old server are read together; flags win over variables, and these over the
file. The result is printed, or written to the file of --output, in its format. YAML has a
comment for each key. What has changed is reported on standard error.

The command fails while something needs a decision, and then writes no file. A loss is
accepted by naming its key.

Flags:
  -c, --config FILE    the old configuration (default config.json)
  -o, --output FILE    where to write: a new .yaml, .toml or .json file (default: YAML on standard output)
      --from VERSION   v2, v3, v4 or v5 (default: found from the keys)
      --accept KEY     accept what is lost with a key; may be repeated, or hold keys separated by commas
      --quiet          report only decisions
  -h, --help           this text

All other flags are those of the old server: --token_hmac_secret_key, --api_key, --admin ...
`

// migrateArgs are the flags of the command migrate. All others are flags of the old
// server, which pflag would refuse.
type migrateArgs struct {
	options migrate.Options
	output  string
	quiet   bool
	help    bool
}

func (env Env) migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "migrate",
		Short:              "Turn a configuration of Centrifugo v2 to v5 into the form of v6",
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			a, err := parseMigrateArgs(args)
			if err != nil {
				return err
			}
			if a.help {
				return env.printf("%s", migrateHelp)
			}
			a.options.DotEnv, a.options.Environ = dotEnv, env.Environ
			return env.migrate(a)
		},
	}
}

func (env Env) migrate(a migrateArgs) error {
	format := config.YAML
	if a.output != "" {
		var err error
		if format, err = config.FormatOf(a.output); err != nil {
			return err //nolint:wrapcheck // it names the file
		}
	}
	result, err := migrate.Run(a.options)
	if err != nil {
		return err //nolint:wrapcheck // it names the source
	}
	open := 0
	for _, n := range result.Notes {
		if n.Kind == migrate.Decision {
			open++
		} else if a.quiet {
			continue
		}
		if _, err := fmt.Fprintln(env.Stderr, n); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	raw, err := result.Render(format)
	if err != nil {
		return err //nolint:wrapcheck // it says what it does
	}
	if a.output == "" {
		if err := env.printf("%s", raw); err != nil {
			return err
		}
	}
	if open > 0 {
		return fmt.Errorf("%d decisions are open; correct the old configuration, or accept a loss with --accept KEY", open)
	}
	if a.output != "" {
		return create(a.output, raw)
	}
	return nil
}

// parseMigrateArgs parses `--name value`, `--name=value` and switches without a value.
func parseMigrateArgs(args []string) (migrateArgs, error) {
	a := migrateArgs{options: migrate.Options{File: "config.json", Flags: map[string]string{}}}
	for i := 0; i < len(args); i++ {
		name, text, given := strings.Cut(args[i], "=")
		if !strings.HasPrefix(name, "-") || strings.Trim(name, "-") == "" {
			return a, fmt.Errorf("unexpected argument %q", args[i])
		}
		switch name {
		case "-h", "--help":
			a.help = true
			continue
		case "--quiet":
			a.quiet = true
			continue
		}
		if !given && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
			text, given = args[i], true
		}
		if err := a.set(name, text, given); err != nil {
			return a, err
		}
	}
	return a, nil
}

var errNoValue = errors.New("needs a value")

func (a *migrateArgs) set(name, text string, given bool) (err error) {
	o := &a.options
	own := true
	switch name {
	case "-c", "--config":
		o.File, o.FileExplicit = text, true
	case "-o", "--output":
		a.output = text
	case "--from":
		o.From, err = migrate.ParseVersion(text)
	case "--accept":
		o.Accept = append(o.Accept, strings.Split(text, ",")...)
	case "-a":
		name, own = "--address", false
	case "-p":
		name, own = "--port", false
	default:
		own = false
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case own && text == "":
		return fmt.Errorf("%s: %w", name, errNoValue)
	case own:
		return nil
	case !given:
		text = "true" // a switch
	}
	o.Flags[strings.TrimLeft(name, "-")] = text
	return nil
}

// oldFlag explains a flag of an old server. Other errors of flags stay as they are.
func oldFlag(_ *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	name := strings.ReplaceAll(unknown.GetSpecifiedName(), "-", "_")
	path, ok := config.Former(name)
	switch {
	case !ok:
		return err
	case path == "":
		return fmt.Errorf("%w: Centrifugo v5 and earlier had it, nothing replaces it", err)
	}
	return fmt.Errorf("%w: Centrifugo v5 and earlier had it, now it is the key %s; centrifugo migrate takes the old flags and writes a configuration file", err, path)
}
