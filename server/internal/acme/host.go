package acme

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// Times between attempts to obtain a certificate. Let's Encrypt allows five failed challenges of a
// host in an hour.
const (
	retryUnreachable  = time.Minute
	retryRefused      = 5 * time.Minute
	maxRetry          = time.Hour
	overdueLinePeriod = time.Hour
)

// retry is the default of Options.Retry.
func retry(refusals int) time.Duration {
	if refusals == 0 {
		return retryUnreachable
	}
	return min(retryRefused<<min(refusals-1, 10), maxRetry)
}

// host is a name with its certificate.
type host struct {
	// Static after construction.
	name    string
	manager *Manager

	current atomic.Pointer[issuer]
	ready   atomic.Bool                      // there is a certificate, so handshakes may ask for it
	leaf    atomic.Pointer[x509.Certificate] // the present certificate; only Run sets it

	// Owned by Run.
	due      time.Time // of the next check
	refusals int       // without success in between
	warned   time.Time // when the log last said that it is not renewed
}

// issuer is an autocert.Manager for one host. Another one takes its place after a failure, since it
// would refuse to try again for a minute.
type issuer struct {
	*autocert.Manager

	challenges http.Handler // nil without HTTP-01
	requests   *requests
}

// reset makes an issuer that has not tried yet.
func (h *host) reset() {
	o := h.manager.options
	i := &issuer{requests: &requests{host: h.name, next: h.manager.http, stopped: h.manager.stopped, log: o.Log}}
	i.Manager = &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: h.manager.cache, Email: o.Section.Email,
		Client: &acme.Client{
			DirectoryURL: o.Section.DirectoryURL, HTTPClient: &http.Client{Transport: i.requests},
			UserAgent: "centrifugo", RetryBackoff: backoff,
		},
	}
	i.ExternalAccountBinding = h.manager.account
	if o.Section.HTTP {
		i.challenges = i.HTTPHandler(http.NotFoundHandler())
	}
	h.current.Store(i)
}

// check obtains the certificate if there is none, and logs what has become of it. The issuer
// renews it by itself.
func (h *host) check() {
	i, log := h.current.Load(), h.manager.options.Log
	certificate, err := i.GetCertificate(modern(h.name))
	if h.manager.stopped.Err() != nil {
		return
	}
	if err != nil {
		h.ready.Store(false)
		failed := 0
		if i.requests.answered.Load() {
			h.refusals++
			failed = h.refusals
		}
		wait := h.manager.options.Retry(failed)
		h.due = time.Now().Add(wait)
		if reason := i.requests.reason(); reason != "" {
			err = fmt.Errorf("%w: %s", err, reason)
		}
		log.Error("TLS certificate not obtained", "host", h.name, "error", err, "retry_in", wait.String())
		h.reset()
		return
	}
	now := time.Now()
	h.refusals, h.due = 0, now.Add(h.manager.options.Interval)
	h.ready.Store(true)
	h.report(i, certificate, now)
}

// report logs that there is another certificate, or that the old one is not renewed in time. The
// issuer renews it in the last third of its life, so half of a third is left for other attempts.
func (h *host) report(i *issuer, certificate *tls.Certificate, now time.Time) {
	log, leaf := h.manager.options.Log, certificate.Leaf
	end := leaf.NotAfter.UTC().Format(time.RFC3339)
	if old := h.leaf.Swap(leaf); old == nil || !leaf.NotAfter.Equal(old.NotAfter) {
		message := "TLS certificate in use"
		if old != nil {
			message = "TLS certificate replaced"
		}
		log.Info(message, "host", h.name, "not_after", end)
		return
	}
	overdue := leaf.NotAfter.Sub(leaf.NotBefore) / 6
	if leaf.NotAfter.Sub(now) < overdue && now.Sub(h.warned) >= overdueLinePeriod {
		h.warned = now
		log.Error("TLS certificate not renewed, the old one stays in use", "host", h.name, "not_after", end, "error", i.requests.reason())
	}
}

func (h *host) end() time.Time {
	if leaf := h.leaf.Load(); leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// backoff returns when a request that has failed is repeated, or a negative value for never: host repeats the
// whole later.
func backoff(n int, _ *http.Request, response *http.Response) time.Duration {
	switch {
	case response.StatusCode == http.StatusTooManyRequests || n > 10:
		return -1
	case response.StatusCode >= http.StatusInternalServerError && n > 3:
		return -1
	case response.StatusCode >= http.StatusInternalServerError:
		return time.Second
	}
	return 10 * time.Millisecond // the nonce was refused
}
