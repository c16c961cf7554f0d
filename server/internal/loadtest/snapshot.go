package loadtest

import "time"

// Kinds of Cause.
const (
	causeConnect    = "connect"    // the connection could not be made
	causeReply      = "reply"      // a command was answered with an error
	causeDisconnect = "disconnect" // the server closed the connection
	causeUnsub      = "unsubscribe"
	causeTransport  = "transport" // the connection broke, or what came was malformed
	causePublish    = "publish"   // the API refused a publication
	causeRecover    = "recover"   // the server could not recover what was missed
	causeDelta      = "delta"     // what came as a delta, or should have, makes no sense
	causeComeBack   = "come back" // a client was told to connect again later, and does; only proxy-storm
	causeSlow       = "slow"      // the end of a slow reader: expected, no failure
)

// Cause is why something went wrong.
type Cause struct {
	Kind   string
	Code   uint32 // of the protocol or of HTTP; 0 when there is none
	Reason string
}

// maxCauses bounds how many different causes are told apart.
const maxCauses = 64

// Snapshot is what a worker has counted since it began.
type Snapshot struct {
	Ready      int64  // clients that are connected and subscribed now
	Connects   uint64 // how often one became so
	Published  uint64 // publications that the server has accepted
	Expected   uint64 // deliveries that must come of them to steady clients
	Received   uint64 // of these, duplicates not counted
	Deliveries uint64 // all
	Recovered  uint64 // of these, those that came with a subscription
	Bytes      uint64 // from the server, as they came over the socket
	Gaps       uint64 // how often numbers were missing
	Missing    uint64 // numbers that were missing and did not come later
	Duplicates uint64
	Disorder   uint64 // numbers that came later than a higher one
	Foreign    uint64 // publications of others
	Pings      uint64
	SlowBytes  uint64
	SlowCount  uint64 // deliveries to slow readers
	CPU        time.Duration
	Latency    Histogram // from publication to delivery
	Connecting Histogram // from dialing to subscribed
	Publishing Histogram // from sending to the answer of the API, or of the publish command
	Causes     map[Cause]uint64
}

// cause counts one.
func (s *Snapshot) cause(c Cause) {
	if s.Causes == nil {
		s.Causes = make(map[Cause]uint64)
	}
	if _, known := s.Causes[c]; !known && len(s.Causes) >= maxCauses {
		c = Cause{Kind: c.Kind, Reason: "others"}
	}
	s.Causes[c]++
}

// clone returns a copy that shares nothing.
func (s *Snapshot) clone() Snapshot {
	c := *s
	c.Latency, c.Connecting, c.Publishing = s.Latency.Clone(), s.Connecting.Clone(), s.Publishing.Clone()
	c.Causes = make(map[Cause]uint64, len(s.Causes))
	for k, n := range s.Causes {
		c.Causes[k] = n
	}
	return c
}

// add adds what another worker has counted.
func (s *Snapshot) add(o *Snapshot) {
	s.Ready += o.Ready
	s.CPU += o.CPU
	to, from := s.counters(), o.counters()
	for i := range to {
		*to[i] += *from[i]
	}
	s.Latency.Add(&o.Latency)
	s.Connecting.Add(&o.Connecting)
	s.Publishing.Add(&o.Publishing)
	for c, n := range o.Causes {
		if s.Causes == nil {
			s.Causes = make(map[Cause]uint64)
		}
		s.Causes[c] += n
	}
}

// since takes away what an earlier snapshot had; Ready and Causes stay.
func (s *Snapshot) since(o *Snapshot) Snapshot {
	d := s.clone()
	d.CPU -= o.CPU
	to, from := d.counters(), o.counters()
	for i := range to {
		*to[i] -= *from[i]
	}
	d.Latency.Subtract(&o.Latency)
	d.Connecting.Subtract(&o.Connecting)
	d.Publishing.Subtract(&o.Publishing)
	return d
}

func (s *Snapshot) counters() [15]*uint64 {
	return [15]*uint64{
		&s.Connects, &s.Published, &s.Expected, &s.Received, &s.Deliveries, &s.Recovered, &s.Bytes, &s.Gaps,
		&s.Missing, &s.Duplicates, &s.Disorder, &s.Foreign, &s.Pings, &s.SlowBytes, &s.SlowCount,
	}
}
