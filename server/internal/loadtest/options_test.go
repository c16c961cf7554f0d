package loadtest

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func valid() Options {
	return Options{
		Scenario: Fanout, Address: DefaultAddress, Clients: 10, Publishers: 2, Duration: time.Second, Payload: DefaultPayload,
		Missed: DefaultMissed, Channel: DefaultChannel, Rate: ScenarioRate, Warmup: ScenarioWarmup,
	}
}

func TestValidate(t *testing.T) {
	o := valid()
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"unknown scenario":                func(o *Options) { o.Scenario = "fan" },
		"clients: 0":                      func(o *Options) { o.Clients = 0 },
		"clients: 1000001":                func(o *Options) { o.Clients = MaxClients + 1 },
		"channels: -1":                    func(o *Options) { o.Channels = -1 },
		"publishers: 0":                   func(o *Options) { o.Publishers = 0 },
		"workers: 65":                     func(o *Options) { o.Workers = 65 },
		"workers: 11":                     func(o *Options) { o.Workers = 11 },
		"rate: -2":                        func(o *Options) { o.Rate = -2 },
		"rate: 1e+08":                     func(o *Options) { o.Rate = 1e8 },
		"duration: 0s":                    func(o *Options) { o.Duration = 0 },
		"duration: 25h":                   func(o *Options) { o.Duration = 25 * time.Hour },
		"warmup: -1s":                     func(o *Options) { o.Warmup = -time.Second },
		"payload: 10 bytes":               func(o *Options) { o.Payload = 10 },
		"payload: 1048577":                func(o *Options) { o.Payload = MaxPayload + 1 },
		"payload: 60001":                  func(o *Options) { o.Scenario, o.Payload = Echo, MaxEchoed+1 },
		"payloads: number 2":              func(o *Options) { o.Payloads = [][]byte{{'1'}, make([]byte, MaxPayload)} },
		"missed: 0":                       func(o *Options) { o.Missed = 0 },
		"concurrency: -1":                 func(o *Options) { o.Concurrency = -1 },
		"channels per client: -1":         func(o *Options) { o.Scenario, o.ClientChannels = Idle, -1 },
		"channels per client: 1000001 is": func(o *Options) { o.Scenario, o.ClientChannels = Unique, MaxOwnChannels/10+1 },
		fmt.Sprintf("channels per client: %d", math.MaxInt): func(o *Options) { o.Scenario, o.ClientChannels = Unique, math.MaxInt },
		"scenario fanout has none":                          func(o *Options) { o.ClientChannels = 2 },
		"pid: -1":                                           func(o *Options) { o.PID = -1 },
		"channel: \"\"":                                     func(o *Options) { o.Channel = "" },
		"channel: \"a\\nb\"":                                func(o *Options) { o.Channel = "a\nb" },
		"token: it has control":                             func(o *Options) { o.Token = "a\r\nb" },
		"API key: it has control":                           func(o *Options) { o.APIKey = "a\r\nX: b" },
		"the scheme is none of":                             func(o *Options) { o.Address = "ftp://a" },
		"a host is needed":                                  func(o *Options) { o.API = "http:///api" },
		"source addresses: 2-1":                             func(o *Options) { o.Sources = "127.0.0.2-127.0.0.1" },
		"source addresses: more":                            func(o *Options) { o.Sources = "10.0.0.0-10.1.0.0" },
		"backend: \"a\" is not":                             func(o *Options) { o.Scenario, o.Backend, o.BackendParallel = ProxyStorm, "a", 1 },
		"backend time: -1s":                                 func(o *Options) { o.Scenario, o.Backend, o.BackendTime = ProxyStorm, "a:1", -time.Second },
		"backend outage: 1m1s":                              func(o *Options) { o.Scenario, o.Backend, o.BackendOutage = ProxyStorm, "a:1", 61*time.Second },
		"backend parallel: 0":                               func(o *Options) { o.Scenario, o.Backend = ProxyStorm, "a:1" },
		"token: a connect":                                  func(o *Options) { o.Scenario, o.Backend, o.BackendParallel, o.Token = ProxyStorm, "a:1", 1, "x" },
		"API over gRPC: scenario":                           func(o *Options) { o.APIGRPC = "a:1" },
		"source addresses: ParseA":                          func(o *Options) { o.Sources = "localhost" },
	} {
		o := valid()
		change(&o)
		err := o.Validate()
		want = strings.ReplaceAll(want, "2-1", "127.0.0.2-127.0.0.1")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run = %v; want %q", err, want)
		}
		if _, err := Run(t.Context(), o, nil); err == nil {
			t.Errorf("Run = nil; want the error %q", want)
		}
	}
}

func TestParseEndpoint(t *testing.T) {
	for address, want := range map[string]endpoint{
		"127.0.0.1:8000":            {host: "127.0.0.1:8000", address: "127.0.0.1:8000", path: "/default"},
		"ws://a/":                   {host: "a", address: "a:80", path: "/default"},
		"https://a":                 {host: "a", address: "a:443", path: "/default", tls: true},
		"wss://a:1/b/c?format=json": {host: "a:1", address: "a:1", path: "/b/c?format=json", tls: true},
		"http://[::1]:8000":         {host: "[::1]:8000", address: "[::1]:8000", path: "/default"},
	} {
		if got, err := parseEndpoint(address, "/default"); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", address, got, err, want)
		}
	}
	if _, err := parseEndpoint("ws://user:secret@a", "/"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("user in an address: %v; want an error and no \"secret\" in it", err)
	}
}

func TestParseSources(t *testing.T) {
	for text, want := range map[string]int{"": 0, "127.0.0.1": 1, "127.0.0.1-127.0.0.20": 20, "::1, 10.0.0.255-10.0.1.1": 4} {
		if got, err := parseSources(text); err != nil || len(got) != want {
			t.Errorf("%q: %v, %v; want %d", text, got, err, want)
		}
	}
}

func TestReadPayloads(t *testing.T) {
	lines, err := ReadPayloads(strings.NewReader("{\"a\":1}\n\n5\n"))
	if err != nil || len(lines) != 2 || string(lines[0]) != `{"a":1}` || string(lines[1]) != "5" {
		t.Errorf("%q, %v; want length 2, [0] %q and [1] \"5\"", lines, err, `{"a":1}`)
	}
	for text, want := range map[string]string{"": "no lines", "1\nx": "line 2 is not JSON", strings.Repeat("1", MaxPayload+1): "too long"} {
		if _, err := ReadPayloads(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.10q: %v; want %s", text, err, want)
		}
	}
}

// TestPlan: who publishes where and who listens to whom must fit in every
// scenario, whatever the numbers of clients, channels and publishers.
func TestPlan(t *testing.T) {
	for _, s := range Scenarios() {
		for _, n := range [][4]int{{1, 1, 1, 0}, {7, 1, 32, 1}, {100, 1, 3, 0}, {100, 7, 32, 4}, {250, 64, 5, 3}, {3, 9, 8, 2}, {3, 9, 8, 100}} {
			o := valid()
			o.Scenario, o.Clients, o.Channels, o.Publishers = s.Name, n[0], n[1], n[2]
			if s.many {
				o.ClientChannels = n[3]
			}
			o.complete()
			p := newPlan(o)
			listeners := map[string][]int{}
			for client := range o.Clients {
				for i := range p.subscriptions(client) {
					channel := p.subscription(client, i)
					listeners[channel] = append(listeners[channel], client)
				}
			}
			sources := map[uint32]string{} // and the one channel that each has
			for _, g := range p.groups {
				for i := range g.size {
					for _, channel := range p.targets(g, i) {
						source := g.source(i, channel)
						if other, taken := sources[source]; taken {
							t.Errorf("%s %v: source %d of channel %d of publisher %d is also that of %s; want one each", s.Name, n, source, channel, i, other)
						}
						sources[source] = fmt.Sprintf("channel %d of publisher %d", channel, i)
						checkTarget(t, &p, g, source, channel, listeners)
					}
				}
			}
			if s.api && len(sources) == 0 {
				t.Errorf("%s %v: no client publishes; want one at least", s.Name, n)
			}
			if s.own && s.api && o.ClientChannels > 0 && len(listeners) != o.Clients*o.ClientChannels {
				t.Errorf("%s %v: %d channels; want %d", s.Name, n, len(listeners), o.Clients*o.ClientChannels)
			}
		}
	}
}

func checkTarget(t *testing.T, p *plan, g group, source uint32, channel int, listeners map[string][]int) {
	t.Helper()
	name, subscribers := p.ownChannel(channel), uint64(1)
	if !g.own {
		name, subscribers = p.sharedChannel(channel), p.steadySubscribers()[channel]
	}
	steady := uint64(0)
	for _, client := range listeners[name] {
		if p.steady(client) {
			steady++
		}
		owners := 0
		for _, l := range p.ledgers(client) {
			if _, ok := l.owns(source); ok {
				owners++
			}
		}
		if owners != 1 {
			t.Errorf("%s: client %d has %d ledgers for source %d of %s; want 1", p.scenario.Name, client, owners, source, name)
		}
	}
	if steady != subscribers {
		t.Errorf("%s: %s has %d steady subscribers by the ledgers; want %d, as the publisher expects", p.scenario.Name, name, steady, subscribers)
	}
}
