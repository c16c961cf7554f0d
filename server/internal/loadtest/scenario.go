package loadtest

import (
	"strconv"
	"time"
)

// Names of the scenarios.
const (
	Idle    = "idle"
	Storm   = "storm"
	Fanout  = "fanout"
	Unique  = "unique"
	Echo    = "echo"
	Recover = "recover"
	Slow    = "slow"
	Mixed   = "mixed"
	// ProxyStorm is a storm against a server with a connect proxy.
	ProxyStorm = "proxy-storm"
	Ways       = "ways"
)

// Scenario is one kind of load.
type Scenario struct {
	Name  string
	About string

	rate     float64       // default publications a second, or connections a second of a storm; 0 saturates
	warmup   time.Duration // default
	shared   bool          // there is a channel for all
	own      bool          // there is a channel for each client
	api      bool          // the API publishes
	echo     bool          // clients publish to their own channels
	rounds   bool          // clients are disconnected and connect again
	slow     int           // every n-th client reads slowly
	churn    int           // every n-th client disconnects and connects all the time
	many     bool          // a client may have several channels of its own
	recovers bool
	ways     bool // publishers use each way into the API in turn; no client connects
	proxied  bool // the server asks a backend of this run; clients that are told to come back do so
}

// Scenarios returns all scenarios in the order of the documentation.
func Scenarios() []Scenario {
	return []Scenario{
		{Name: Idle, About: "connections that do nothing: memory of each, CPU of pings", warmup: 3 * time.Second, shared: true, many: true},
		{Name: Storm, About: "connect and subscribe, again and again: connections a second", shared: true, rounds: true},
		{Name: Fanout, About: "one channel, all clients subscribed to it", rate: 100, warmup: time.Second, shared: true, api: true},
		{Name: Unique, About: "a channel for each client", rate: 1000, warmup: time.Second, own: true, api: true, many: true},
		{Name: Echo, About: "clients publish, each to its own channel, and get it back", rate: 1000, warmup: time.Second, own: true, echo: true},
		{Name: Recover, About: "clients come back at once and recover what was published meanwhile", shared: true, api: true, rounds: true, recovers: true},
		{Name: Slow, About: "fanout in which 1 % of the readers read 10 KB/s", rate: 100, warmup: time.Second, shared: true, api: true, slow: 100},
		{Name: Mixed, About: "a channel for all and one for each, API and clients publish, 2 % of the clients leave and come back each second", rate: 500, warmup: time.Second, shared: true, own: true, api: true, echo: true, churn: 50},
		{Name: ProxyStorm, About: "all clients connect at once to a server whose connect proxy asks a backend, a process of this run", shared: true, rounds: true, proxied: true},
		{Name: Ways, About: "the API publishes by each of its ways in turn, to channels without subscribers: CPU of a publication", warmup: 500 * time.Millisecond, api: true, ways: true},
	}
}

func scenario(name string) (Scenario, bool) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}

// echoSources is where the numbers of clients that publish begin, above those of channels.
const echoSources = 1 << 24

// plan assigns channels to clients and publishers. Every worker computes the same plan
// from the options, so workers need not communicate.
type plan struct {
	scenario Scenario
	prefix   string
	clients  int
	channels int // that the clients share
	each     int // channels of its own that a client has
	groups   []group
	echoRate float64
}

// group is a number of publishers of the API that share work.
type group struct {
	first    uint32 // number of the first source; a source numbers its publications by itself
	size     int
	own      bool // to the channels of the clients, rather than the shared ones
	channels int
	rate     float64 // of all of them; 0 saturates
}

func newPlan(o Options) plan {
	s, _ := scenario(o.Scenario)
	if s.many && o.ClientChannels > 0 {
		s.shared, s.own = false, true
	}
	p := plan{scenario: s, prefix: o.Channel, clients: o.Clients, channels: max(min(o.Channels, o.Clients), 1), each: max(o.ClientChannels, 1)}
	size := o.Publishers
	if s.recovers {
		size = min(size, o.Missed)
	}
	switch {
	case s.api && s.shared && s.own: // a tenth to all, three to the clients' own by themselves, six by the API
		few := max(size/8, 1)
		p.groups = []group{
			{size: few, channels: p.channels, rate: o.Rate * 0.1},
			{first: uint32(max(few, p.channels)), size: max(size-few, 1), own: true, channels: o.Clients, rate: o.Rate * 0.6}, //nolint:gosec // bounded by Validate
		}
		p.echoRate = o.Rate * 0.3
	case s.api && s.own:
		p.groups = []group{{size: size, own: true, channels: o.Clients * p.each, rate: o.Rate}}
	case s.api:
		p.groups = []group{{size: size, channels: p.channels, rate: o.Rate}}
	case s.echo:
		p.echoRate = o.Rate
	}
	return p
}

// steady reports whether a client must receive every publication: it neither reads
// slowly nor disconnects.
func (p *plan) steady(client int) bool { return !p.isSlow(client) && !p.churns(client) }

func (p *plan) isSlow(client int) bool { return every(p.scenario.slow, client, p.clients) }

func (p *plan) churns(client int) bool { return every(p.scenario.churn, client, p.clients) }

// every reports whether client is the last of a group of n. Of fewer than n clients it
// selects the last one, but never the only one.
func every(n, client, clients int) bool {
	return n > 0 && clients > 1 && (client%n == n-1 || clients < n && client == clients-1)
}

// sharedChannel returns the name of a channel of many clients.
func (p *plan) sharedChannel(n int) string {
	if p.channels == 1 {
		return p.prefix
	}
	return p.prefix + "-all-" + strconv.Itoa(n)
}

// ownChannel returns the name of a channel of one client: those of client c
// have the numbers from c*each on.
func (p *plan) ownChannel(n int) string { return p.prefix + "-" + strconv.Itoa(n) }

// subscriptions returns how many channels a client has.
func (p *plan) subscriptions(client int) int {
	n := 0
	if p.scenario.shared {
		n++
	}
	if p.scenario.own && p.steady(client) {
		n += p.each
	}
	return n
}

// subscription returns the name of a client's i-th channel.
func (p *plan) subscription(client, i int) string {
	if p.scenario.shared {
		if i == 0 {
			return p.sharedChannel(client % p.channels)
		}
		i--
	}
	return p.ownChannel(client*p.each + i)
}

// ledgers returns the ledgers of a client for all sources of its channels.
func (p *plan) ledgers(client int) []ledger {
	var ledgers []ledger
	for _, g := range p.groups {
		channel, count := client%p.channels, 1
		if g.own {
			if !p.steady(client) {
				continue
			}
			channel, count = client*p.each, p.each
		}
		if g.channels >= g.size { // a source for each channel
			ledgers = append(ledgers, newLedger(g.first+uint32(channel), 1, count)) //nolint:gosec // bounded by Validate
			continue
		}
		for ; count > 0; channel, count = channel+1, count-1 { // there are more publishers than channels
			if l := g.ledger(channel); len(l.marks) > 0 {
				ledgers = append(ledgers, l)
			}
		}
	}
	if p.scenario.echo && p.steady(client) {
		ledgers = append(ledgers, newLedger(echoSources+uint32(client), 1, 1)) //nolint:gosec // bounded by Validate
	}
	return ledgers
}

// source returns the source number of the publications of a publisher to a channel. If
// there are at least as many channels as publishers, each channel is a source, because it
// has one publisher. Otherwise each publisher is a source, because it has one channel.
func (g group) source(publisher, channel int) uint32 {
	if g.channels >= g.size {
		return g.first + uint32(channel) //nolint:gosec // bounded by Validate
	}
	return g.first + uint32(publisher) //nolint:gosec // bounded by Validate
}

// ledger returns the ledger of a subscriber to a channel with several publishers.
func (g group) ledger(channel int) ledger {
	return newLedger(g.first+uint32(channel), uint32(g.channels), (g.size-channel+g.channels-1)/g.channels) //nolint:gosec // bounded by Validate
}

// targets returns the channels, by number, that a publisher of the group publishes to.
func (p *plan) targets(g group, publisher int) []int {
	if g.channels < g.size {
		if channel := publisher % g.channels; !g.own || p.steady(channel/p.each) {
			return []int{channel}
		}
		return nil
	}
	var channels []int
	for channel := publisher; channel < g.channels; channel += g.size {
		if !g.own || p.steady(channel/p.each) {
			channels = append(channels, channel)
		}
	}
	return channels
}

// steadySubscribers returns the number of steady clients of each shared channel.
func (p *plan) steadySubscribers() []uint64 {
	counts := make([]uint64, p.channels)
	if !p.scenario.shared {
		return counts
	}
	for client := range p.clients {
		if p.steady(client) {
			counts[client%p.channels]++
		}
	}
	return counts
}
