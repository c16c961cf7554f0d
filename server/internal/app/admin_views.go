package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/trace"

	dto "github.com/prometheus/client_model/go"
)

// surveyVitals is the operation by which the admin interface asks the nodes for vitals.
const surveyVitals = "vitals"

// vitalsTimeout bounds a survey for vitals. Its answer is out of date soon.
const vitalsTimeout = 5 * time.Second

// survey answers the surveys of other nodes and of this one.
func (a *App) survey(_ context.Context, e centrifuge.SurveyEvent) (centrifuge.SurveyReply, error) {
	var data []byte
	var err error
	switch e.Op {
	case api.SurveyConnections:
		data, err = api.AnswerConnections(a.node, a.node.ID(), e.Data)
	case trace.SurveyStart, trace.SurveyStop, trace.SurveyQuery:
		data, err = a.traces.Answer(e.Op, e.Data)
	case surveyVitals:
		data, err = a.vitals()
	default: // of a newer release
		return centrifuge.SurveyReply{}, centrifuge.ErrorNotAvailable
	}
	return centrifuge.SurveyReply{Data: data}, err //nolint:wrapcheck // it says what failed
}

// vitals are figures of a node. Counters run since its start; times are in seconds, sizes in
// bytes.
type vitals struct {
	ID            string  `json:"id"`
	Name          string  `json:"name"`
	Version       string  `json:"version"`
	Uptime        float64 `json:"uptime"`
	Time          float64 `json:"time"` // Unix
	Clients       int     `json:"clients"`
	Users         int     `json:"users"`
	Channels      int     `json:"channels"`
	Subscriptions int     `json:"subscriptions"`
	CPU           float64 `json:"cpu_seconds"`
	Memory        float64 `json:"memory"`
	Goroutines    float64 `json:"goroutines"`
	Received      float64 `json:"received"` // from clients
	ReceivedBytes float64 `json:"received_bytes"`
	Sent          float64 `json:"sent"` // to clients
	SentBytes     float64 `json:"sent_bytes"`
	Published     float64 `json:"published"`
}

// vitals returns those of this node.
func (a *App) vitals() ([]byte, error) {
	nodes, err := a.node.Info(context.Background())
	if err != nil {
		return nil, fmt.Errorf("describing the node: %w", err)
	}
	families, err := a.metrics.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gathering metrics: %w", err)
	}
	here := nodes[0]
	v := vitals{
		ID: here.ID, Name: here.Name, Version: here.Version, Uptime: here.Uptime.Seconds(), Time: float64(time.Now().UnixMilli()) / 1000,
		Clients: here.Clients, Users: here.Users, Channels: here.Channels, Subscriptions: here.Subscriptions,
	}
	figures := map[string]*float64{
		"process_cpu_seconds_total": &v.CPU, "process_resident_memory_bytes": &v.Memory, "go_goroutines": &v.Goroutines,
		"centrifugo_transport_messages_received": &v.Received, "centrifugo_transport_messages_received_size": &v.ReceivedBytes,
		"centrifugo_transport_messages_sent": &v.Sent, "centrifugo_transport_messages_sent_size": &v.SentBytes,
	}
	for _, f := range families {
		if figure := figures[f.GetName()]; figure != nil {
			*figure = total(f, "")
		}
		if f.GetName() == "centrifugo_node_messages_sent_count" {
			v.Published = total(f, "publication")
		}
	}
	out, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding the figures of the node: %w", err)
	}
	return out, nil
}

// total adds up the series of a family, those of one type if it is not empty.
func total(f *dto.MetricFamily, kind string) (sum float64) {
	for _, m := range f.GetMetric() {
		of := func(l *dto.LabelPair) bool { return l.GetName() == "type" && l.GetValue() == kind }
		if kind == "" || slices.ContainsFunc(m.GetLabel(), of) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// adminViews returns what the pages show beside the results of API calls.
func (a *App) adminViews() map[string]func(context.Context) (any, error) {
	return map[string]func(context.Context) (any, error){
		"nodes":         a.viewNodes,
		"methods":       func(context.Context) (any, error) { return map[string]any{"methods": describeMethods()}, nil },
		"configuration": a.viewConfiguration,
		"warnings":      a.viewWarnings,
	}
}

// viewNodes shows the vitals of all nodes. It names those that have not answered.
func (a *App) viewNodes(ctx context.Context) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, vitalsTimeout)
	defer cancel()
	answers, err := a.node.Survey(ctx, surveyVitals, nil, "")
	var incomplete *centrifuge.SurveyError
	if err != nil && !errors.As(err, &incomplete) {
		return nil, fmt.Errorf("asking the nodes: %w", err)
	}
	view := struct {
		Nodes   []json.RawMessage `json:"nodes"`
		Missing []string          `json:"missing,omitempty"`
	}{Nodes: []json.RawMessage{}}
	if incomplete != nil {
		view.Missing = incomplete.Missing
	}
	for id, answer := range answers {
		if answer.Error != nil || !json.Valid(answer.Data) {
			view.Missing = append(view.Missing, id)
			continue
		}
		view.Nodes = append(view.Nodes, answer.Data)
	}
	return view, nil
}

// methodView describes a method of the API for a form.
type methodView struct {
	Name    string      `json:"name"`
	Summary string      `json:"summary"`
	Fields  []fieldView `json:"fields"`
}

// fieldView is a field of a request. The kind is string, boolean, integer, strings or json.
type fieldView struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Required bool   `json:"required,omitempty"`
}

// describeMethods returns the methods of the table that the legacy form of a command can
// name, which are all but batch.
func describeMethods() []methodView {
	var methods []methodView
	for _, m := range api.Methods() {
		if m == &api.MethodBatch.Method {
			continue
		}
		view := methodView{Name: m.Name, Summary: m.Summary, Fields: []fieldView{}}
		for _, f := range reflect.VisibleFields(m.Request) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous || name == "" || name == "-" {
				continue
			}
			view.Fields = append(view.Fields, fieldView{Name: name, Kind: kindOf(f.Type), Required: f.Tag.Get("required") == "true"})
		}
		methods = append(methods, view)
	}
	return methods
}

func kindOf(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.String:
		return "string"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return "strings"
	case t.ConvertibleTo(reflect.TypeFor[float64]()):
		return "integer"
	}
	return "json"
}

// applied is the last configuration that was loaded without an error.
type applied struct {
	config   *config.Config
	warnings []config.Warning
	restart  []string // keys whose values are those of the start until a restart
}

// nodeName returns the name of this node.
func (a *App) nodeName() string {
	nodes, err := a.node.Info(context.Background())
	if err != nil {
		return "" // it is not running
	}
	return nodes[0].Name
}

// viewConfiguration shows the configuration and says which keys wait for a restart.
func (a *App) viewConfiguration(context.Context) (any, error) {
	applied := a.applied.Load()
	values := applied.config.Values()
	for i := range values {
		waits := func(key string) bool { return values[i].Key == key || strings.HasPrefix(values[i].Key, key+"[") }
		if slices.ContainsFunc(applied.restart, waits) {
			values[i].NoEffect = "changed, waits for a restart"
		}
	}
	return struct {
		Node   string         `json:"node"`
		Values []config.Value `json:"values"`
	}{a.nodeName(), values}, nil
}

// warningView is a reason for concern.
type warningView struct {
	Kind    string `json:"kind"`
	Key     string `json:"key"`
	Message string `json:"message"`
}

// limitView is how much of a limit is used. A limit of zero is none.
type limitView struct {
	Name  string  `json:"name"`
	Key   string  `json:"key,omitempty"`
	Used  float64 `json:"used"`
	Limit float64 `json:"limit"`
}

// viewWarnings shows what is insecure, what has no effect, and what is near a limit.
func (a *App) viewWarnings(context.Context) (any, error) {
	view := struct {
		Node     string        `json:"node"`
		Engine   string        `json:"engine,omitempty"` // why it is not usable
		Warnings []warningView `json:"warnings"`
		Limits   []limitView   `json:"limits"`
	}{Node: a.nodeName(), Warnings: []warningView{}}
	if err := a.engine.health(); err != nil {
		view.Engine = err.Error()
	}
	for _, w := range a.applied.Load().warnings {
		view.Warnings = append(view.Warnings, warningView{string(w.Kind), w.Key, w.Message})
	}
	var err error
	view.Limits, err = a.viewLimits()
	return view, err
}

func (a *App) viewLimits() ([]limitView, error) {
	families, err := a.metrics.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gathering metrics: %w", err)
	}
	figures := map[string]float64{}
	for _, f := range families {
		figures[f.GetName()] = total(f, "")
	}
	memory := a.limits.memory
	if memory == math.MaxInt64 {
		memory = 0
	}
	// derived returns a limit of which zero stands for a part of the memory limit.
	derived := func(configured int, part, without int64) float64 {
		switch {
		case configured > 0:
			return float64(configured)
		case memory > 0:
			return float64(memory / part)
		}
		return float64(without)
	}
	c := a.config
	views := []limitView{
		{"Connections of this node", "client.connection_limit", figures["centrifugo_node_num_clients"], float64(c.Client.ConnectionLimit)},
		{"Memory, bytes", "", figures["process_resident_memory_bytes"], float64(memory)},
		{"Open files", "", figures["process_open_fds"], figures["process_max_fds"]},
		{"Bytes that wait for slow readers", "client.queue_max_total_size", figures["centrifugo_client_slow_queue_bytes"], derived(c.Client.QueueMaxTotalSize, 4, 256<<20)},
	}
	if _, ok := figures["centrifugo_memory_history_bytes"]; ok {
		views = append(views,
			limitView{"History in memory, bytes", "engine.memory.history_max_size", figures["centrifugo_memory_history_bytes"], derived(c.Engine.Memory.HistoryMaxSize, 2, 1<<30)},
			limitView{"Channels with history in memory", "engine.memory.history_max_channels", figures["centrifugo_memory_history_channels"], float64(c.Engine.Memory.HistoryMaxChannels)})
	}
	return views, nil
}
