package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"centrifugo/server/internal/loadtest"
)

// benchOutput is the destination of the result.
type benchOutput struct {
	json, quiet bool
	html        string
}

// benchSecrets are flags that must be read before they are options.
type benchSecrets struct{ tokenFile, keyFile, payloadFile string }

// benchWorkerFlag makes the command a worker of another one. It is hidden: the
// controller speaks over standard input and output.
const benchWorkerFlag = "worker-process"

func (env Env) benchCommand() *cobra.Command {
	o := loadtest.Options{}
	out := benchOutput{}
	files := benchSecrets{}
	cmd := &cobra.Command{
		Use:   "bench SCENARIO",
		Short: "Load a server and say what it can do",
		Long:  benchLong(),
		Example: `  centrifugo bench fanout --clients 1000 --rate 100 --pid $(pgrep -x centrifugo)
  centrifugo bench unique --address wss://rt.example.com/connection/websocket --token-file token --api-key-file key --html report.html
  centrifugo bench idle --clients 100000 --workers 4 --source-addresses 127.0.0.1-127.0.0.20`,
		Args: cobra.MaximumNArgs(1),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Transport, "transport", loadtest.DefaultTransport, "how clients are connected: "+transportNames())
	flags.IntVar(&o.HTTP2Streams, "http2-streams", 0, "HTTP streams and SSE over HTTP/2, and how many clients share a connection; 0 is HTTP/1.1")
	flags.StringVar(&o.Address, "address", loadtest.DefaultAddress, "server: host:port, or URL of the endpoint (ws, wss, http, https); over gRPC the default port is 8001 or 11000")
	flags.StringVar(&o.API, "api", "", "URL of its HTTP API (default /api at the address; over gRPC at port 8000 of its host)")
	flags.StringVar(&o.APIGRPC, "api-grpc", "", "ways: host:port or URL of the API over gRPC, which is left out without it")
	flags.StringVar(&o.APIKey, "api-key", "", "key of the HTTP API")
	flags.StringVar(&files.keyFile, "api-key-file", "", "file with the key of the HTTP API")
	flags.StringVar(&o.Token, "token", "", "connection token of all clients")
	flags.StringVar(&files.tokenFile, "token-file", "", "file with the connection token")
	flags.IntVar(&o.Clients, "clients", loadtest.DefaultClients, "clients")
	flags.IntVar(&o.Channels, "channels", 1, "channels that the clients share")
	flags.IntVar(&o.ClientChannels, "channels-per-client", 0, "idle, unique: channels of its own that each client subscribes to (default unique 1, idle none but the shared one)")
	flags.Float64Var(&o.Rate, "rate", loadtest.ScenarioRate, "publications (storm: connections) a second; 0 saturates; -1 is the default of the scenario")
	flags.IntVar(&o.Publishers, "publishers", loadtest.DefaultPublishers, "concurrent publishers of the API")
	flags.DurationVar(&o.Duration, "duration", loadtest.DefaultDuration, "how long to measure")
	flags.DurationVar(&o.Warmup, "warmup", loadtest.ScenarioWarmup, "how long to wait or publish before; -1ns is the default of the scenario")
	flags.IntVar(&o.Payload, "payload", loadtest.DefaultPayload, "bytes of a payload")
	flags.StringVar(&files.payloadFile, "payload-file", "", "file with payloads to publish in turn, one JSON value a line")
	flags.IntVar(&o.Missed, "missed", loadtest.DefaultMissed, "recover: publications that each client misses; the channel's history must hold them")
	flags.IntVar(&o.Concurrency, "concurrency", 0, "clients that connect at the same time (default 128, recover 1024, proxy-storm all)")
	flags.BoolVar(&o.Protobuf, "protobuf", false, "speak Protobuf rather than JSON")
	flags.BoolVar(&o.Delta, "delta", false, "fanout, slow: subscribe with deltas; the namespace of the channel must have allowed_delta_types and delta_publish")
	flags.BoolVar(&o.Deflate, "deflate", false, "compress with permessage-deflate")
	flags.StringVar(&o.Channel, "channel", loadtest.DefaultChannel, "channel, and prefix of the others; may have a namespace")
	flags.StringVar(&o.Backend, "backend", loadtest.DefaultBackend, "proxy-storm: where the backend listens, which the connect proxy of the server calls")
	flags.DurationVar(&o.BackendTime, "backend-time", loadtest.DefaultBackendTime, "proxy-storm: how long a call of the backend takes")
	flags.IntVar(&o.BackendParallel, "backend-parallel", loadtest.DefaultBackendParallel, "proxy-storm: calls that the backend works on at the same time")
	flags.DurationVar(&o.BackendOutage, "backend-outage", 0, "proxy-storm: how long the backend answers with status 503, from the first call on")
	flags.StringVar(&o.Sources, "source-addresses", "", "addresses to connect from, such as 127.0.0.1-127.0.0.20: each has some 28,000 ports")
	flags.IntVar(&o.Workers, "workers", 1, "worker processes")
	flags.IntVar(&o.PID, "pid", 0, "process of a local server, whose CPU and memory are sampled")
	flags.BoolVar(&o.SkipVerify, "insecure-skip-verify", false, "INSECURE: accept any certificate of the server")
	flags.BoolVar(&out.json, "json", false, "print the result as JSON")
	flags.StringVar(&out.html, "html", "", "file to write a report with plots to")
	flags.BoolVar(&out.quiet, "quiet", false, "no progress line")
	worker := flags.Bool(benchWorkerFlag, false, "")
	_ = flags.MarkHidden(benchWorkerFlag) // it is defined above
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *worker {
			return loadtest.ServeWorker(os.Stdin, os.Stdout)
		}
		if len(args) == 0 {
			return errors.New("which scenario? See centrifugo bench --help")
		}
		o.Scenario = args[0]
		if err := files.read(&o); err != nil {
			return err
		}
		return env.bench(o, out)
	}
	return cmd
}

func transportNames() string {
	var names []string
	for _, t := range loadtest.Transports() {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}

// benchLong explains the scenarios.
func benchLong() string {
	var b strings.Builder
	b.WriteString(`Load a server that speaks the client protocol and say what it can do. Every
publication is numbered: when one is lost, comes twice or out of order, or when
anything is refused, the exit status is 1. Use it on servers that are yours.

Scenarios:
`)
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, s := range loadtest.Scenarios() {
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", s.Name, s.About) // never fails for a Builder
	}
	_ = w.Flush() // likewise
	return strings.TrimSuffix(b.String(), "\n")
}

// maxSecretFile bounds a file with a token or key, in bytes.
const maxSecretFile = 64 << 10

// read reads the files that options come from.
func (f benchSecrets) read(o *loadtest.Options) error {
	for _, secret := range []struct {
		file string
		into *string
	}{{f.tokenFile, &o.Token}, {f.keyFile, &o.APIKey}} {
		if secret.file == "" {
			continue
		}
		if *secret.into != "" {
			return fmt.Errorf("reading %s: the flag with the value itself is given too", secret.file)
		}
		file, err := os.Open(secret.file)
		if err != nil {
			return fmt.Errorf("reading secret: %w", err)
		}
		text, err := io.ReadAll(io.LimitReader(file, maxSecretFile))
		_ = file.Close() // it was read
		if err != nil {
			return fmt.Errorf("reading secret: %w", err)
		}
		*secret.into = strings.TrimSpace(string(text))
	}
	if f.payloadFile == "" {
		return nil
	}
	file, err := os.Open(f.payloadFile)
	if err != nil {
		return fmt.Errorf("reading payloads: %w", err)
	}
	defer func() { _ = file.Close() }()
	o.Payloads, err = loadtest.ReadPayloads(file)
	return err
}

// bench runs a scenario and writes its result.
func (env Env) bench(o loadtest.Options, out benchOutput) error {
	self, err := os.Executable()
	if err != nil && o.Workers > 1 {
		return fmt.Errorf("starting workers: %w", err)
	}
	o.WorkerCommand = []string{self, "bench", "--" + benchWorkerFlag}
	ctx, stop := signal.NotifyContext(env.Context, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	progress := loadtest.NewProgress(env.Stderr, isTerminal(env.Stderr), o.Clients)
	show := progress.Show
	if out.quiet {
		show = nil
	}
	report, err := loadtest.Run(ctx, o, show)
	progress.Done()
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if out.html != "" {
		if err := writeReport(out.html, report); err != nil {
			return err
		}
	}
	if out.json {
		encoder := json.NewEncoder(env.Stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.WriteTable(env.Stdout)
	}
	if err != nil {
		return fmt.Errorf("writing result: %w", err)
	}
	if !report.OK {
		return fmt.Errorf("bench: %s", strings.Join(report.Failures, "; "))
	}
	return nil
}

func writeReport(name string, report *loadtest.Report) error {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("writing report: %w", err)
	}
	err = report.WriteHTML(file)
	if closing := file.Close(); err == nil && closing != nil {
		err = fmt.Errorf("writing report: %w", closing)
	}
	return err
}

// isTerminal reports whether a line can be rewritten.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
