package app

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// TestMemoryLimit checks the sources of the memory limit and which one counts.
func TestMemoryLimit(t *testing.T) {
	const mebibyte = 1 << 20
	container := func(limit uint64, err error) memlimit.Provider {
		return func() (uint64, error) { return limit, err }
	}
	for _, test := range []struct {
		name      string
		env       string
		before    int64 // the limit of the runtime
		container memlimit.Provider
		want      int64
		source    string
		warning   string
	}{
		{"container", "", math.MaxInt64, container(1000*mebibyte, nil), 900 * mebibyte, fromContainer, ""},
		{"environment", "700MiB", 700 * mebibyte, container(1000*mebibyte, nil), 700 * mebibyte, fromEnvironment, ""},
		{"no limit in the environment", "off", math.MaxInt64, container(1000*mebibyte, nil), math.MaxInt64, fromEnvironment, ""},
		{"program", "", 600 * mebibyte, container(1000*mebibyte, nil), 600 * mebibyte, fromProgram, ""},
		{"no limit", "", math.MaxInt64, container(0, memlimit.ErrNoLimit), math.MaxInt64, fromNowhere, ""},
		{"no container", "", math.MaxInt64, container(0, memlimit.ErrNoCgroup), math.MaxInt64, fromNowhere, ""},
		{"other systems", "", math.MaxInt64, container(0, memlimit.ErrCgroupsNotSupported), math.MaxInt64, fromNowhere, ""},
		{"beyond all memory", "", math.MaxInt64, container(math.MaxUint64, nil), math.MaxInt64, fromNowhere, ""},
		{"unreadable", "", math.MaxInt64, container(0, errors.New("permission denied")), math.MaxInt64, fromNowhere, "permission denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", test.env)
			before := debug.SetMemoryLimit(test.before)
			defer debug.SetMemoryLimit(before)
			var text bytes.Buffer
			log := slog.New(slog.NewTextHandler(&text, nil))
			l := takeLimits(log, test.container)
			if l.memory != test.want || l.memorySource != test.source {
				t.Errorf("%d from %s, want %d from %s", l.memory, l.memorySource, test.want, test.source)
			}
			if now := debug.SetMemoryLimit(-1); now != test.want {
				t.Errorf("the runtime has a limit of %d, want %d", now, test.want)
			}
			if got := text.String(); !strings.Contains(got, test.warning) || test.warning == "" && got != "" {
				t.Errorf("logged: %s; want %q", got, test.warning)
			}
		})
	}
}

// TestProcs: the number of lanes is GOMAXPROCS.
func TestProcs(t *testing.T) {
	none := func() (uint64, error) { return 0, memlimit.ErrNoLimit }
	cpus := runtime.NumCPU()
	for _, test := range []struct {
		name, env, source string
		procs             int
	}{
		{"machine", "", fromMachine, cpus},
		{"environment", "7", fromEnvironment, 7},
		{"nonsense in the environment", "many", fromMachine, cpus},
		{"program", "", fromProgram, cpus + 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("GOMAXPROCS", test.env)
			before := runtime.GOMAXPROCS(test.procs)
			defer runtime.GOMAXPROCS(before)
			if l := takeLimits(slog.Default(), none); l.procs != test.procs || l.procsSource != test.source {
				t.Errorf("%d from %s, want %d from %s", l.procs, l.procsSource, test.procs, test.source)
			}
		})
	}
}

// TestLimitsAreLogged once, when the server starts.
func TestLimitsAreLogged(t *testing.T) {
	before := runtime.GOMAXPROCS(3)
	defer runtime.GOMAXPROCS(before)
	i := start(t, anonymous)
	if !i.logged("info", "limits", `"gomaxprocs":3`) || !i.logged("info", "limits", `"lanes":3`) {
		t.Errorf("the log is %v; want an entry \"limits\" with gomaxprocs and lanes of 3", i.entries())
	}
}

// The warning names the number of connections. It is logged only if that is low.
func TestWarnOfFiles(t *testing.T) {
	for _, test := range []struct {
		name        string
		files       uint64
		connections int
		want        string
	}{
		{"few", 256, 0, "connections_possible=224"},
		{"the usual soft limit", 1024, 0, "connections_possible=992"},
		{"fewer than the server has itself", 20, 0, "connections_possible=0"},
		{"enough", fewFiles, 0, ""},
		{"just not enough", fewFiles - 1, 0, "open_files=65535"},
		{"no limit", math.MaxUint64, 0, ""},
		{"not known", 0, 0, ""},
		{"enough for the configured limit", 1024, 992, ""},
		{"not enough for the configured limit", 1024, 993, "connections_possible=992"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var text bytes.Buffer
			warnOfFiles(slog.New(slog.NewTextHandler(&text, nil)), test.files, test.connections)
			if got := text.String(); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("logged %q, want %q", got, test.want)
			}
		})
	}
}
