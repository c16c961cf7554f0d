package centrifugetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// waitLimit is how long a suite waits for something that should happen.
const waitLimit = 2 * time.Minute

// Feature is a part of a suite that an engine may lack.
type Feature string

// The features that may be left out.
const (
	// Idempotency is PublishOptions.IdempotencyKey.
	Idempotency Feature = "idempotency"
	// Paging is HistoryOptions.Since and Reverse.
	Paging Feature = "paging"
	// Versions is PublishOptions.Version.
	Versions Feature = "versions"
	// VersionReset: a publication without a version makes the stored one zero.
	VersionReset Feature = "version reset"
	// PromptMessages: what was published before Subscribe never arrives after it. The
	// servers of a Redis Cluster pass messages to each other, which takes time.
	PromptMessages Feature = "prompt messages"
)

// Option adapts a suite to an engine.
type Option func(*suite)

// Without leaves out the cases for features that the engine does not have.
func Without(features ...Feature) Option {
	return func(s *suite) { s.without = append(s.without, features...) }
}

// InBubble runs every case in a synctest bubble, where waiting for an expiry takes
// no time. It is for engines without a network.
func InBubble() Option {
	return func(s *suite) { s.bubble = true }
}

// suite is how the cases are run.
type suite struct {
	without []Feature
	bubble  bool
}

func newSuite(options []Option) *suite {
	s := &suite{}
	for _, o := range options {
		o(s)
	}
	return s
}

// run runs one case, unless it needs a feature that is left out.
func (s *suite) run(t *testing.T, name string, f func(t *testing.T), needs ...Feature) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		for _, feature := range needs {
			if slices.Contains(s.without, feature) {
				t.Skipf("the engine has no %s", feature)
			}
		}
		if s.bubble {
			synctest.Test(t, f)
			return
		}
		t.Parallel()
		f(t)
	})
}

// uniqueChannel names a channel that no other case and no earlier run has used,
// since an engine may keep its data.
func uniqueChannel(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("%s:%016x", t.Name(), rand.Uint64()) //nolint:gosec // no secret
}

// closeAtEnd closes c when the case is over.
func closeAtEnd(t *testing.T, c interface{ Close(context.Context) error }) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
}
