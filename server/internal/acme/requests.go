package acme

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a request to the ACME server.
const (
	requestTimeout = 30 * time.Second
	maxAnswer      = 1 << 20
)

// maxReasons bounds the reasons that are kept of one issuer.
const maxReasons = 8

// requests carries the requests of one issuer. It logs what autocert keeps to itself: why challenges
// have failed, and that the server could not be reached for a renewal.
type requests struct {
	// Static after construction.
	host    string
	next    http.RoundTripper
	stopped context.Context //nolint:containedctx // that of the Manager; autocert's own contexts last for minutes
	log     *slog.Logger

	answered atomic.Bool // by the server, at least once

	// Guarded by mu.
	mu      sync.Mutex
	seen    []string // authorizations whose failure was logged; the last ones
	reasons []string // of failures; the last ones
}

// RoundTrip implements http.RoundTripper. The body of the response is in memory.
func (q *requests) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	defer context.AfterFunc(q.stopped, cancel)()
	response, body, err := q.ask(r.WithContext(ctx))
	if err != nil {
		if q.stopped.Err() == nil {
			q.log.Warn("ACME server not reached", "host", q.host, "endpoint", r.URL.String(), "error", err)
		}
		return nil, err
	}
	q.answered.Store(true)
	q.observe(r.URL.String(), response.StatusCode, body)
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

func (q *requests) ask(r *http.Request) (*http.Response, []byte, error) {
	response, err := q.next.RoundTrip(r)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // of a RoundTripper
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the answer: %w", err)
	}
	return response, body, nil
}

// observe logs the failed challenges of an authorization (RFC 8555 section 7.1.4), once.
func (q *requests) observe(url string, status int, body []byte) {
	var authorization struct {
		Status     string
		Challenges []struct {
			Type  string
			Error struct{ Detail string }
		}
	}
	if status != http.StatusOK || json.Unmarshal(body, &authorization) != nil || authorization.Status != "invalid" {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if slices.Contains(q.seen, url) {
		return
	}
	q.seen = lastOf(append(q.seen, url))
	for _, c := range authorization.Challenges {
		if c.Error.Detail != "" {
			q.log.Warn("ACME challenge failed", "host", q.host, "challenge", c.Type, "error", c.Error.Detail)
			q.reasons = lastOf(append(q.reasons, c.Type+": "+c.Error.Detail))
		}
	}
}

func lastOf(list []string) []string { return list[max(0, len(list)-maxReasons):] }

// reason returns why challenges have failed, or nothing.
func (q *requests) reason() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return strings.Join(q.reasons, "; ")
}
