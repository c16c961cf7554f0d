package cli

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"centrifugo/server/internal/config"
)

func (env Env) checkConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "checkconfig",
		Short: "Check the configuration",
		Long:  "Check the configuration. Silent when the server starts with it. Nothing is listened on or connected to.",
		Args:  cobra.NoArgs,
	}
	file := configFlag(cmd)
	strict := cmd.Flags().BoolP("strict", "s", false, "fail also on unknown environment variables, on a missing file and on values that are not in strict form")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, warnings, err := env.load(cmd, *file)
		if err != nil {
			return err
		}
		if err := env.judge(cfg); err != nil {
			return err
		}
		var errs []error
		for _, w := range warnings {
			if *strict && slices.Contains([]config.WarningKind{config.UnknownEnv, config.MissingFile, config.LooseForm}, w.Kind) {
				errs = append(errs, errors.New(w.String()))
			} else if _, err := fmt.Fprintf(env.Stderr, "warning: %s\n", w); err != nil {
				return fmt.Errorf("writing warnings: %w", err)
			}
		}
		return errors.Join(errs...)
	}
	return cmd
}

func (env Env) genConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "genconfig",
		Short: "Write a minimal configuration file with fresh secrets",
		Args:  cobra.NoArgs,
	}
	file := configFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		format, err := config.FormatOf(*file)
		if err != nil {
			return err
		}
		raw, err := config.RenderTree(sampleConfiguration(), format)
		if err != nil {
			return err
		}
		if err := create(*file, raw); err != nil {
			return err
		}
		return env.printf(`%s written, with fresh secrets and the channel namespace "news".
Pages served from localhost may connect. For others add their origin to client.allowed_origins.
`, *file)
	}
	return cmd
}

// sampleConfiguration returns a configuration to start with: users connect with a token
// and subscribe to channels of the namespace news, and only the backend publishes.
func sampleConfiguration() map[string]any {
	return map[string]any{
		"client": map[string]any{
			"token": map[string]any{"hmac_secret_key": secret(64)},
			// An empty list would refuse every page.
			"allowed_origins": []string{"http://localhost", "http://localhost:*", "http://127.0.0.1:*"},
		},
		"http_api": map[string]any{"key": secret(64)},
		"channel": map[string]any{
			"namespaces": []any{map[string]any{
				"name":                          "news",
				"allow_subscribe_for_client":    true,
				"presence":                      true,
				"allow_presence_for_subscriber": true,
				"history_size":                  100,
				"history_ttl":                   "5m",
				"allow_history_for_subscriber":  true,
				"force_recovery":                true,
			}},
		},
	}
}

// secret returns n random bytes as base64url.
func secret(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails, see its documentation
	return base64.RawURLEncoding.EncodeToString(raw)
}

// create writes a new file that only its owner can read; it never overwrites.
func create(name string, raw []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("file %s exists, it is not overwritten", name)
	}
	if err != nil {
		return fmt.Errorf("creating configuration file: %w", err)
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing configuration file: %w", err)
	}
	return nil
}

func (env Env) defaultConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "defaultconfig",
		Short: "Write a configuration file with every key",
		Args:  cobra.NoArgs,
	}
	file := configFlag(cmd)
	base := cmd.Flags().StringP("base", "b", "", "configuration file whose values are kept")
	dry := cmd.Flags().BoolP("dry-run", "d", false, "print instead of writing a file")
	cmd.RunE = func(*cobra.Command, []string) error {
		format, err := config.FormatOf(*file)
		if err != nil {
			return err
		}
		cfg, err := config.LoadFile(*base)
		if err != nil {
			return err
		}
		raw, err := config.Render(cfg, format)
		if err != nil {
			return err
		}
		if *dry {
			return env.printf("%s", raw)
		}
		return create(*file, raw)
	}
	return cmd
}

func (env Env) defaultEnvCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "defaultenv",
		Short: "Print every key as an environment variable",
		Args:  cobra.NoArgs,
	}
	base := cmd.Flags().StringP("base", "b", "", "configuration file whose values are used")
	nonZero := cmd.Flags().Bool("base-non-zero-only", false, "only what the base file sets to something other than zero")
	cmd.RunE = func(*cobra.Command, []string) error {
		read := config.LoadFile
		if *nonZero {
			if *base == "" {
				return errors.New("--base-non-zero-only needs --base")
			}
			read = config.LoadFileBare
		}
		cfg, err := read(*base)
		if err != nil {
			return err
		}
		for _, line := range config.EnvironLines(cfg, *nonZero) {
			if err := env.printf("%s\n", line); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}
