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

// memoryShare is the part of the container's memory limit that becomes the limit of the
// Go runtime. The rest is for memory that the runtime does not count, such as the
// socket buffers of the kernel.
const memoryShare = 0.9

// limits holds the limits of the process and their sources.
type limits struct {
	procs        int
	procsSource  string
	memory       int64 // bytes; math.MaxInt64 for none
	memorySource string
}

// The sources of limits.
const (
	fromEnvironment = "environment" // GOMAXPROCS, GOMEMLIMIT
	fromProgram     = "program"     // the program that embeds the server
	fromContainer   = "container"
	fromMachine     = "machine"
	fromNowhere     = "none"
)

// takeLimits returns the limits of the process. It sets the memory limit of the runtime
// to that of the container, unless the environment or the embedding program has set one.
// container returns the memory limit of the container in bytes.
//
// The runtime sets GOMAXPROCS from the CPU quota of the container and the affinity of the
// process.
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

// fromEnvironmentProcs reports whether GOMAXPROCS is set to a value that the runtime
// uses, a positive number.
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
		return limit, fromNowhere
	case err != nil:
		log.Warn("reading the memory limit of the container", "error", err)
		return limit, fromNowhere
	case total >= math.MaxInt64:
		return limit, fromNowhere
	}
	limit = int64(float64(total) * memoryShare)
	debug.SetMemoryLimit(limit)
	return limit, fromContainer
}

// log logs the limits. The node has one delivery lane for each of GOMAXPROCS.
func (l limits) log(log *slog.Logger) {
	memory := any("none")
	if l.memory != math.MaxInt64 {
		memory = l.memory
	}
	log.Info("limits", "gomaxprocs", l.procs, "gomaxprocs_from", l.procsSource, "lanes", l.procs,
		"memory_limit", memory, "memory_limit_from", l.memorySource)
}

const (
	// fewFiles is the limit of open files below which the server warns. Each connection
	// needs one.
	fewFiles = 65536
	// ownFiles is the number of files reserved for other purposes than connections of
	// clients: standard streams, listeners, the event loop, the log, calls of the API.
	ownFiles = 32
)

// warnOfFiles warns if the limit of open files allows too few connections. connections is
// client.connection_limit, zero for none.
func warnOfFiles(log *slog.Logger, files uint64, connections int) {
	if files == 0 || files >= fewFiles {
		return
	}
	possible := files - min(files, ownFiles)
	if connections > 0 && uint64(connections) <= possible {
		return
	}
	log.Warn("the limit of open files allows few connections: raise it, for example with ulimit -n or LimitNOFILE of systemd",
		"open_files", files, "connections_possible", possible)
}
