//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// Owners of CPU time.
const (
	ownedBySockets   = "sockets"
	ownedByHTTP      = "net/http"
	ownedByScheduler = "scheduler"
	ownedByCollector = "collector"
	ownedByUs        = "ours"
	ownedByOthers    = "other"
)

var owners = []string{ownedBySockets, ownedByHTTP, ownedByScheduler, ownedByUs, ownedByCollector, ownedByOthers}

// profiled loads a subject for some seconds and adds where its CPU has gone: the
// share of each owner.
func profiled(s subject, seconds int, args ...string) runner {
	return func(ctx context.Context, m *measurement) (sample, error) {
		p, err := m.start(ctx, s)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		type fetched struct {
			profile *profile.Profile
			err     error
		}
		done := make(chan fetched, 1)
		go func() {
			got, err := p.profile(ctx, 2*time.Second, max(seconds-1, 1)) // the load is connected and warm
			done <- fetched{got, err}
		}()
		got, err := m.load(ctx, p, m.paused(seconds+1, args...)...)
		f := <-done
		if err := errors.Join(err, f.err); err != nil {
			return nil, err
		}
		for owner, share := range shares(f.profile) {
			got["profile."+owner] = share
		}
		return got, nil
	}
}

// profile takes a CPU profile of so many seconds from the debug endpoint.
func (p *process) profile(ctx context.Context, after time.Duration, seconds int) (*profile.Profile, error) {
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url("http")+"/debug/pprof/profile?seconds="+strconv.Itoa(seconds), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("taking a profile: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("taking a profile: %s", response.Status)
	}
	got, err := profile.Parse(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("reading profile: %w", err)
	}
	return got, nil
}

// shares adds up the samples of each owner, as parts of 1.
func shares(p *profile.Profile) sample {
	s, total := make(sample), 0.0
	value := len(p.SampleType) - 1 // CPU time is the last
	for _, owner := range owners {
		s[owner] = 0
	}
	for _, one := range p.Sample {
		var stack []string
		for _, location := range one.Location { // innermost first, and so are its lines
			for _, line := range location.Line {
				if line.Function != nil {
					stack = append(stack, line.Function.Name)
				}
			}
		}
		v := float64(one.Value[value])
		s[owner(stack)] += v
		total += v
	}
	for name := range s {
		s[name] /= max(total, 1)
	}
	return s
}

// Beginnings of the names of functions, by owner.
var (
	socketFrames = []string{
		"syscall.", "internal/runtime/syscall", "internal/poll.", "golang.org/x/sys/unix.", "net.(*netFD)", "net.(*conn)", "net.(*TCPConn)", "net.(*TCPListener)", "runtime.netpoll", "runtime/internal/syscall",
	}
	httpFrames      = []string{"net/http", "net/textproto.", "net/url.", "bufio.", "mime", "context.", "time.", "net.", "golang.org/x/net/http"}
	schedulerFrames = []string{"runtime.schedule", "runtime.findRunnable", "runtime.mcall", "runtime.park_m", "runtime.goschedImpl", "runtime.mstart", "runtime.stopm", "runtime.wakep", "runtime.goexit0", "runtime.sysmon", "runtime.notesleep", "runtime.futex"}
	collectorFrames = []string{"runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcAssist", "runtime.gcStart", "runtime.gcMarkDone"}
)

// ourFrames is what this project's functions begin with.
const ourFrames = "centrifugo/"

// owner says whose a stack is, innermost function first: of the innermost frame
// that says so. Frames of the runtime and of small packages that everybody calls
// say nothing, unless there is nothing else; but the collector's work is its own
// wherever it is done.
func owner(stack []string) string {
	begins := func(with []string) func(string) bool {
		return func(name string) bool {
			return slices.ContainsFunc(with, func(begin string) bool { return strings.HasPrefix(name, begin) })
		}
	}
	if slices.ContainsFunc(stack, begins(collectorFrames)) {
		return ownedByCollector
	}
	sockets, httpServer := begins(socketFrames), begins(httpFrames)
	for _, name := range stack {
		switch {
		case sockets(name):
			return ownedBySockets
		case strings.HasPrefix(name, ourFrames):
			return ownedByUs
		case httpServer(name):
			return ownedByHTTP
		}
	}
	if slices.ContainsFunc(stack, begins(schedulerFrames)) {
		return ownedByScheduler
	}
	return ownedByOthers
}
