package consumertest

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"centrifugo/internal/await"
)

// Channel is the channel into which the messages of a partition publish.
func Channel(partition int) string { return fmt.Sprintf("p%d", partition) }

// Request is the request of message number of a partition: it publishes the number.
func Request(partition, number int) string {
	return fmt.Sprintf(`{"channel":%q,"data":%d}`, Channel(partition), number)
}

// Command is Request as a body that has the method in it.
func Command(partition, number int) string {
	return `{"method":"publish","payload":` + Request(partition, number) + `}`
}

// Subject is a source with its server, for Faults.
type Subject struct {
	// Config returns the configuration of the source for a node, which Main gets as JSON.
	Config func(node string) any
	// Partitions is how many there are. Messages of one are in order.
	Partitions int
	// Send adds the messages from <= number < to of a partition. After an error it is
	// called again with the same arguments, and must then add only those that are missing.
	Send func(partition, from, to int) error
	// Stop stops the server of the source as a crash does; Start starts it again.
	Stop, Start func()
	// Waiting returns how many messages are not acknowledged yet.
	Waiting func() (int, error)
	// Batch is how many messages of a partition may be delivered again after a crash.
	Batch int
	// Unordered is set if messages that are delivered again come after later ones.
	// UnorderedShared is set if there is no order while two nodes work.
	Unordered, UnorderedShared bool
}

// messages is how many each partition gets in a test.
const messages = 600

// Faults tests that nothing is lost, that duplicates are as promised, and that the order is
// kept, whatever ends in the middle of the work.
func Faults(t *testing.T, s func(t *testing.T) Subject) {
	t.Run("killed in a batch", func(t *testing.T) { s(t).killed(t) })
	t.Run("stopped in a batch", func(t *testing.T) { s(t).stopped(t) })
	t.Run("source stopped under load", func(t *testing.T) { s(t).interrupted(t) })
	t.Run("one of two nodes is killed", func(t *testing.T) { s(t).shared(t) })
}

// killed kills the process of a node while it publishes, several times.
func (s Subject) killed(t *testing.T) {
	s.send(t, messages)
	var children []*Child
	for range 3 {
		c := StartChild(t, s.Config("a"), messages*s.Partitions/5)
		c.Printed(messages * s.Partitions / 5)
		c.Kill()
		children = append(children, c)
	}
	s.finish(t, 3*s.Partitions*s.Batch, append(children, StartChild(t, s.Config("a"), 0)))
}

// stopped stops a node while it publishes: what it has published is not published again.
func (s Subject) stopped(t *testing.T) {
	s.send(t, messages)
	first := StartChild(t, s.Config("a"), messages*s.Partitions/2)
	first.Printed(messages * s.Partitions / 2)
	first.Stop()
	s.finish(t, 0, []*Child{first, StartChild(t, s.Config("a"), 0)})
}

// interrupted stops and starts the server of the source while messages are sent and processed.
func (s Subject) interrupted(t *testing.T) {
	c := StartChild(t, s.Config("a"), 0)
	sent := make(chan error, 1)
	go func() { sent <- s.load() }()
	const stops = 2
	for i := range stops {
		c.Printed((i + 1) * messages * s.Partitions / (stops + 2))
		s.Stop()
		s.Start()
	}
	if err := await.Receive(t, sent, "the end of the load"); err != nil {
		t.Fatal(err)
	}
	s.finish(t, stops*s.Partitions*s.Batch, []*Child{c})
}

// shared has two nodes, one of which is killed and started again.
func (s Subject) shared(t *testing.T) {
	a, b := StartChild(t, s.Config("a"), 0), StartChild(t, s.Config("b"), 0)
	sent := make(chan error, 1)
	go func() { sent <- s.load() }()
	await.Until(t, "both nodes to work", func() bool {
		return len(a.Publications())+len(b.Publications()) > messages*s.Partitions/4
	})
	a.Kill()
	again := StartChild(t, s.Config("a"), 0)
	if err := await.Receive(t, sent, "the end of the load"); err != nil {
		t.Fatal(err)
	}
	s.Unordered = s.Unordered || s.UnorderedShared
	// Partitions change hands when the node ends and when it comes back.
	s.finish(t, 2*s.Partitions*s.Batch, []*Child{a, b, again})
}

// send adds messages to each partition before a consumer runs.
func (s Subject) send(t *testing.T, number int) {
	t.Helper()
	for p := range s.Partitions {
		if err := s.Send(p, 0, number); err != nil {
			t.Fatalf("sending: %v", err)
		}
	}
}

// load adds messages in small portions, and again after errors.
func (s Subject) load() error {
	const portion = 20
	for from := 0; from < messages; from += portion {
		for p := range s.Partitions {
			var err error
			if !await.Reached(func() bool { err = s.Send(p, from, from+portion); return err == nil }) {
				return fmt.Errorf("sending: %w", err)
			}
		}
	}
	return nil
}

// finish waits until every message was published and acknowledged, stops the children, and
// checks what they have published.
func (s Subject) finish(t *testing.T, duplicates int, children []*Child) {
	t.Helper()
	all := func() (merged []Publication) {
		for _, c := range children {
			merged = append(merged, c.Publications()...)
		}
		return merged
	}
	complete := await.Reached(func() bool { return distinct(all()) >= messages*s.Partitions })
	var waiting int
	var err error
	drained := complete && await.Reached(func() bool { waiting, err = s.Waiting(); return err == nil && waiting == 0 })
	for _, c := range children {
		if !c.hasEnded() {
			c.Stop()
		}
	}
	if !complete || !drained {
		t.Errorf("published %d different messages; want %d; waiting are %d, %v", distinct(all()), messages*s.Partitions, waiting, err)
		for _, c := range children {
			t.Logf("log of a child: %s", c.Log())
		}
	}
	merged := all()
	slices.SortStableFunc(merged, func(a, b Publication) int { return cmp.Compare(a.Time, b.Time) })
	for p := range s.Partitions {
		for _, problem := range judge(merged, Channel(p), s.Unordered) {
			t.Errorf("partition %d: %s", p, problem)
		}
	}
	repeated := len(merged) - distinct(merged)
	t.Logf("%d messages, %d of them twice; at most %d may be", distinct(merged), repeated, duplicates)
	if repeated > duplicates {
		t.Errorf("published %d messages twice; want at most %d", repeated, duplicates)
	}
}

func distinct(publications []Publication) int {
	seen := make(map[Publication]bool)
	for _, p := range publications {
		seen[Publication{Channel: p.Channel, Number: p.Number}] = true
	}
	return len(seen)
}

// judge returns what is wrong with the publications of a channel: numbers that are missing, or
// that come before an earlier one was ever published. A replay may begin at any earlier number;
// from there it is in order.
func judge(publications []Publication, channel string, unordered bool) (problems []string) {
	last, highest := -1, -1
	seen := make(map[int]bool)
	for _, p := range publications {
		if p.Channel != channel {
			continue
		}
		seen[p.Number] = true
		if !unordered && p.Number > last+1 && len(problems) < 10 {
			problems = append(problems, fmt.Sprintf("%d follows %d; want at most %d", p.Number, last, last+1))
		}
		last, highest = p.Number, max(highest, p.Number)
	}
	for n := range highest {
		if !seen[n] && len(problems) < 20 {
			problems = append(problems, fmt.Sprintf("%d is missing", n))
		}
	}
	return problems
}
