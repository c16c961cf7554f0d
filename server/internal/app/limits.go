package app

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryShare of the container's memory limit is the limit of the Go runtime.
// The rest is for what the runtime does not count: the kernel's buffers of the
// sockets are in the same limit.
const memoryShare = 0.9

// limits are what the process may use, and who said so.
type limits struct {
	procs        int
	procsSource  string
	memory       int64 // bytes; math.MaxInt64 for none
	memorySource string
}

// The sources of limits.
const (
	fromEnvironment = "environment" // GOMAXPROCS, GOMEMLIMIT
	fromProgram     = "program"     // which the server is embedded in
	fromContainer   = "container"
	fromMachine     = "machine"
	fromNobody      = "none"
)

// takeLimits makes the process keep to the limits of its container, where
// nobody else has set limits. container tells that of the memory in bytes.
//
// GOMAXPROCS needs nothing: the runtime takes it from the CPU quota of the
// container, and the affinity of the process, by itself.
func takeLimits(log *slog.Logger, container memlimit.Provider) limits {
	l := limits{procs: runtime.GOMAXPROCS(0), procsSource: fromMachine}
	switch {
	case fromEnvironmentProcs():
		l.procsSource = fromEnvironment
	case l.procs > runtime.NumCPU():
		l.procsSource = fromProgram
	case l.procs < runtime.NumCPU():
		l.procsSource = fromContainer
	}
	l.memory, l.memorySource = takeMemoryLimit(log, container)
	return l
}

// fromEnvironmentProcs: the runtime disregards what is no positive number.
func fromEnvironmentProcs() bool {
	n, err := strconv.Atoi(os.Getenv("GOMAXPROCS"))
	return err == nil && n > 0
}

func takeMemoryLimit(log *slog.Logger, container memlimit.Provider) (limit int64, source string) {
	limit = debug.SetMemoryLimit(-1) // reads it
	switch {
	case os.Getenv("GOMEMLIMIT") != "":
		return limit, fromEnvironment
	case limit != math.MaxInt64:
		return limit, fromProgram
	}
	total, err := container()
	switch {
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
		return limit, fromNobody
	case err != nil:
		log.Warn("reading the memory limit of the container", "error", err)
		return limit, fromNobody
	case total >= math.MaxInt64:
		return limit, fromNobody
	}
	limit = int64(float64(total) * memoryShare)
	debug.SetMemoryLimit(limit)
	return limit, fromContainer
}

// log tells what was found. There is a lane that delivers messages for each of
// GOMAXPROCS.
func (l limits) log(log *slog.Logger) {
	memory := any("none")
	if l.memory != math.MaxInt64 {
		memory = l.memory
	}
	log.Info("limits", "gomaxprocs", l.procs, "gomaxprocs_from", l.procsSource, "lanes", l.procs,
		"memory_limit", memory, "memory_limit_from", l.memorySource)
}

const (
	// fewFiles is the limit of open files below which the server warns: each
	// connection takes one, and a production server is expected to hold thousands.
	fewFiles = 65536
	// ownFiles is room for what is no connection of a client: standard streams,
	// listeners, the event loop, the log, calls of the API and their like.
	ownFiles = 32
)

// warnOfFiles says how many connections a limit of open files leaves room for,
// where that may be too few. connections is client.connection_limit, zero for none.
func warnOfFiles(log *slog.Logger, files uint64, connections int) {
	if files == 0 || files >= fewFiles {
		return
	}
	possible := files - min(files, ownFiles)
	if connections > 0 && uint64(connections) <= possible {
		return
	}
	log.Warn("the limit of open files leaves room for few connections: raise it, for example with ulimit -n or LimitNOFILE of systemd",
		"open_files", files, "connections_possible", possible)
}
