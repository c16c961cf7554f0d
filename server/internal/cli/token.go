package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"centrifugo/server/internal/auth"
	"centrifugo/server/internal/config"
)

// defaultTTL is how long generated tokens are valid, in seconds: a week.
const defaultTTL = 7 * 24 * 3600

func (env Env) genTokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "gentoken", Short: "Generate a connection token", Args: cobra.NoArgs}
	env.addGenerate(cmd, false)
	return cmd
}

func (env Env) genSubTokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "gensubtoken", Short: "Generate a subscription token", Args: cobra.NoArgs}
	env.addGenerate(cmd, true)
	return cmd
}

// addGenerate gives a command the flags and the work of token generation.
func (env Env) addGenerate(cmd *cobra.Command, subscription bool) {
	file := configFlag(cmd)
	user := cmd.Flags().StringP("user", "u", "", "user ID; empty means anonymous")
	ttl := cmd.Flags().Int64P("ttl", "t", defaultTTL, "seconds until the token expires; -1 means never")
	quiet := cmd.Flags().BoolP("quiet", "q", false, "print only the token")
	channel := new(string)
	if subscription {
		channel = cmd.Flags().StringP("channel", "s", "", "channel")
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if subscription && *channel == "" {
			return errors.New("a channel is needed: flag -s")
		}
		if *ttl > int64(100*365*24*time.Hour/time.Second) {
			return errors.New("the TTL exceeds a hundred years")
		}
		cfg, _, err := env.load(cmd, *file)
		if err != nil {
			return err
		}
		lifetime := time.Duration(max(*ttl, -1)) * time.Second
		token, err := auth.Generate(tokenConfig(cfg, subscription),
			auth.Claims{User: *user, Channel: *channel, TTL: lifetime}, time.Now())
		if err != nil {
			return err
		}
		if *quiet {
			return env.printf("%s", token)
		}
		expiration := "without expiration"
		if lifetime > 0 {
			expiration = "with expiration TTL " + lifetime.String()
		}
		return env.printf("HMAC SHA-256 JWT for %s %s:\n%s\n", owner(*user, *channel, true), expiration, token)
	}
}

// owner describes for whom a token is; the check of connection tokens does not quote the user.
func owner(user, channel string, quoted bool) string {
	who := "anonymous user"
	switch {
	case user != "" && quoted:
		who = "user " + strconv.Quote(user)
	case user != "":
		who = "user " + user
	}
	if channel != "" {
		who += " and channel " + strconv.Quote(channel)
	}
	return who
}

// tokenConfig returns the settings that verify a kind of tokens (server.md 3.1).
func tokenConfig(cfg *config.Config, subscription bool) config.Token {
	if subscription && cfg.Client.SubscriptionToken.Enabled {
		return cfg.Client.SubscriptionToken.Token
	}
	return cfg.Client.Token
}

func (env Env) checkTokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "checktoken TOKEN", Short: "Check a connection token", Args: cobra.ExactArgs(1)}
	env.addCheck(cmd, false, func(ctx context.Context, v *auth.Verifier, token string) (string, error) {
		t, err := v.VerifyConnect(ctx, token)
		return "valid token for " + owner(t.User, "", false), err
	})
	return cmd
}

func (env Env) checkSubTokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "checksubtoken TOKEN", Short: "Check a subscription token", Args: cobra.ExactArgs(1)}
	env.addCheck(cmd, true, func(ctx context.Context, v *auth.Verifier, token string) (string, error) {
		t, err := v.VerifySubscribe(ctx, token)
		return "valid subscription token for " + owner(t.User, t.Channel, true), err
	})
	return cmd
}

// addCheck gives a command the flags and the work of token verification. It fetches the
// key set that the token needs, as the server does.
func (env Env) addCheck(cmd *cobra.Command, subscription bool, verify func(context.Context, *auth.Verifier, string) (string, error)) {
	file := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, _, err := env.load(cmd, *file)
		if err != nil {
			return err
		}
		sets := auth.NewKeySets(auth.KeySetOptions{Log: slog.New(slog.DiscardHandler)}) // the error says it too
		defer sets.Close()
		v, err := auth.NewVerifier(tokenConfig(cfg, subscription),
			auth.Options{SkipSignature: cfg.Client.InsecureSkipTokenSignatureVerify, KeySets: sets})
		if err != nil {
			return err
		}
		algorithm, claims, ok := auth.Inspect(args[0])
		if !ok {
			return errors.New("token is malformed")
		}
		for _, s := range auth.Suspicions(claims) {
			if _, err := fmt.Fprintf(env.Stderr, "warning: %s\n", s); err != nil {
				return fmt.Errorf("writing warnings: %w", err)
			}
		}
		result, err := verify(cmd.Context(), v, args[0])
		if err != nil {
			return fmt.Errorf("token with algorithm %s and claims %s has error: %w", algorithm, claims, err)
		}
		return env.printf("%s\npayload: %s\n", result, claims)
	}
}
