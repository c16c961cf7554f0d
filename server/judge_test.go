package server

import (
	"fmt"
	"reflect"
	"testing"
)

// judge compares what one client gets of a recoverable channel with what the server promises
// (protocol.md 6.3 to 6.5): offsets rise by one within an epoch, a client that recovers gets
// exactly what it has missed, and one that does not is told. Publications carry numbers that
// one publisher counts up. They show what offsets do not: an accepted publication that has no
// offset, or a stream that was filled again in the same epoch. A judge does no I/O.
type judge struct {
	// lossy: the server may have lost what it had accepted. Otherwise a client that is told so
	// is a complaint.
	lossy bool

	subscribed bool
	known      bool // there is a position
	position   position
	// The next number must be last+1 if it follows one in the same stream. Otherwise it must
	// not be less than last: a publisher repeats a number whose acceptance it has not seen.
	last     int
	adjacent bool

	told       int // times the server said that it could not recover
	lost       int // publications that never came, untold
	duplicates int
	complaints []complaint
}

// position is a place in a stream.
type position struct {
	epoch  string
	offset uint64
}

// complaint is one violation.
type complaint struct{ kind, detail string }

func (c complaint) String() string { return c.kind + ": " + c.detail }

// The kinds of complaints.
const (
	offsetMissing  = "offset left out"
	offsetRepeated = "offset repeated"
	offsetBack     = "offset behind the position"
	numberMissing  = "number left out"
	numberRepeated = "number repeated"
	numberBack     = "number behind the last one"
	otherEpoch     = "publication of another epoch"
	falseRecovery  = "recovered, but not at the position that was asked for"
	falseHistory   = "publications in a reply that does not recover"
	needlessLoss   = "not recovered, but nothing was lost"
	notSubscribed  = "publication without a subscription"
	twice          = "subscribed twice"
	sentAway       = "told not to come back"
)

// subscription is the reply to a subscribe command.
type subscription struct {
	asked        *position // to recover from, nil without recovery
	recovered    bool
	position     position
	publications []publication
}

func (j *judge) complain(kind, format string, args ...any) {
	j.complaints = append(j.complaints, complaint{kind, fmt.Sprintf(format, args...)})
}

// subscribe judges the reply to a subscribe command.
func (j *judge) subscribe(s subscription) {
	if j.subscribed {
		j.complain(twice, "at %v after %v", s.position, j.position)
	}
	j.subscribed = true
	switch {
	case s.recovered && s.asked == nil:
		j.complain(falseRecovery, "%v, and nothing was asked for", s.position)
	case s.recovered && (s.position.offset != s.asked.offset || s.asked.epoch != "" && s.position.epoch != s.asked.epoch):
		j.complain(falseRecovery, "%v; want %v", s.position, *s.asked)
	case !s.recovered && s.asked != nil:
		j.told++
		if !j.lossy {
			j.complain(needlessLoss, "asked for %v, got %v", *s.asked, s.position)
		}
	}
	if !s.recovered {
		j.adjacent = false
		if len(s.publications) > 0 {
			j.complain(falseHistory, "%d at %v", len(s.publications), s.position)
		}
	}
	j.known, j.position = true, s.position
	for i := range s.publications {
		j.publish(&s.publications[i])
	}
}

// publish judges a publication, pushed or recovered.
func (j *judge) publish(p *publication) {
	if !j.subscribed {
		j.complain(notSubscribed, "number %d at %d", p.Data.N, p.Offset)
	}
	if p.Epoch != "" && j.position.epoch == "" {
		j.position.epoch = p.Epoch
	}
	if p.Epoch != "" && p.Epoch != j.position.epoch {
		j.complain(otherEpoch, "%q at %v", p.Epoch, j.position)
		j.position.epoch = p.Epoch
	}
	before := j.position.offset
	j.position.offset = p.Offset
	var missing int
	switch {
	case p.Offset == before:
		j.complain(offsetRepeated, "%d", p.Offset)
	case p.Offset < before:
		j.complain(offsetBack, "%d after %d", p.Offset, before)
	case p.Offset > before+1:
		missing = int(p.Offset - before - 1) //nolint:gosec // a count of publications
		j.complain(offsetMissing, "%d after %d", p.Offset, before)
	}
	j.number(p.Data.N, missing)
}

// number judges the number of a publication. Missing is how many offsets were left out
// before it.
func (j *judge) number(n, missing int) {
	last, adjacent := j.last, j.adjacent
	j.last, j.adjacent = n, true
	switch {
	case n == last && adjacent:
		j.duplicates++
		j.complain(numberRepeated, "%d", n)
	case n < last:
		j.complain(numberBack, "%d after %d", n, last)
	case n > last+1 && adjacent:
		missing = max(missing, n-last-1)
		j.complain(numberMissing, "%d after %d", n, last)
	}
	j.lost += missing
}

// unsubscribe judges the end of a subscription by the server (protocol.md 7.3).
func (j *judge) unsubscribe(code int) {
	if code < 2500 {
		j.complain(sentAway, "unsubscribed with %d", code)
	}
	j.subscribed = false
}

// disconnect judges the end of a connection (protocol.md 7.2). The code is zero if there was
// no close frame.
func (j *judge) disconnect(code int) {
	if code >= 3500 && code < 4000 || code >= 4500 && code < 5000 {
		j.complain(sentAway, "closed with %d", code)
	}
	j.subscribed = false
}

// TestJudge: a judge finds what a server must not do, and only that. Each case is what one
// client gets.
func TestJudge(t *testing.T) {
	pub := func(offset, n int) *publication {
		p := &publication{Offset: uint64(offset)} //nolint:gosec // small
		p.Data.N = n
		return p
	}
	inEpoch := func(epoch string, p *publication) *publication { p.Epoch = epoch; return p }
	at := func(epoch string, offset uint64) *position { return &position{epoch, offset} }
	recovered := func(asked *position, pubs ...*publication) subscription {
		s := subscription{asked: asked, recovered: true, position: *asked}
		for _, p := range pubs {
			s.publications = append(s.publications, *p)
		}
		return s
	}
	told := func(asked, now *position) subscription { return subscription{asked: asked, position: *now} }
	type unsubscribed int
	type disconnected int
	first := subscription{position: position{"e", 1}}
	gone := disconnected(0)
	foreign, shifted, unasked := recovered(at("e", 2)), recovered(at("e", 2)), subscription{recovered: true, position: position{"e", 1}}
	foreign.position.epoch, shifted.position.offset = "f", 5
	history := subscription{position: position{"e", 1}, publications: []publication{*pub(2, 2)}}

	for _, c := range []struct {
		name             string
		lossy            bool
		events           []any
		want             []string // kinds of complaints
		lost, told, dups int
	}{
		{name: "live and recovered", events: []any{first, pub(2, 2), pub(3, 3), gone, recovered(at("e", 3), pub(4, 4), pub(5, 5)), pub(6, 6)}},
		{name: "nothing was missed", events: []any{first, pub(2, 2), gone, recovered(at("e", 2)), pub(3, 3)}},
		{name: "insufficient state", events: []any{first, pub(2, 2), unsubscribed(2500), recovered(at("e", 2), pub(3, 3))}},
		{name: "any first number", events: []any{first, pub(2, 70), pub(3, 71)}},
		{name: "the epoch comes with the first publication", events: []any{subscription{}, inEpoch("e", pub(1, 1)), gone, recovered(at("e", 1), pub(2, 2))}},
		{name: "no epoch was asked for", events: []any{subscription{}, gone, func() subscription { s := recovered(at("", 0)); s.position.epoch = "e"; return s }(), pub(1, 1)}},

		{name: "told of a loss", lossy: true, events: []any{first, pub(2, 2), gone, told(at("e", 2), at("f", 7)), pub(8, 9)}, told: 1},
		{name: "told, and a number is repeated", lossy: true, events: []any{first, pub(2, 2), gone, told(at("e", 2), at("f", 0)), pub(1, 2)}, told: 1},
		{name: "told without a loss", events: []any{first, pub(2, 2), gone, told(at("e", 2), at("e", 7)), pub(8, 9)}, want: []string{needlessLoss}, told: 1},
		{name: "told, then not at the new position", lossy: true, events: []any{first, pub(2, 2), gone, told(at("e", 2), at("f", 7)), pub(9, 9)}, want: []string{offsetMissing}, told: 1, lost: 1},
		{name: "told, then behind the new position", lossy: true, events: []any{first, pub(2, 2), gone, told(at("e", 2), at("f", 7)), pub(5, 9)}, want: []string{offsetBack}, told: 1},
		{name: "told, then an old number", lossy: true, events: []any{first, pub(2, 5), gone, told(at("e", 2), at("f", 7)), pub(8, 4)}, want: []string{numberBack}, told: 1},
		{name: "told, then a gap", lossy: true, events: []any{first, pub(2, 2), gone, told(at("e", 2), at("f", 7)), pub(8, 9), pub(9, 11)}, want: []string{numberMissing}, told: 1, lost: 1},
		{name: "told, with publications", lossy: true, events: []any{first, pub(2, 2), gone, subscription{asked: at("e", 2), position: position{"f", 0}, publications: []publication{*pub(1, 3)}}}, want: []string{falseHistory}, told: 1},

		{name: "live delivery leaves out", events: []any{first, pub(2, 2), pub(4, 4)}, want: []string{offsetMissing, numberMissing}, lost: 1},
		{name: "the first publication is left out", events: []any{first, pub(3, 3)}, want: []string{offsetMissing}, lost: 1},
		{name: "an accepted publication has no offset", events: []any{first, pub(2, 2), pub(3, 4)}, want: []string{numberMissing}, lost: 1},
		{name: "an offset without a publication", events: []any{first, pub(2, 2), pub(4, 3)}, want: []string{offsetMissing}, lost: 1},
		{name: "recovery leaves out the first", events: []any{first, pub(2, 2), gone, recovered(at("e", 2), pub(5, 5))}, want: []string{offsetMissing, numberMissing}, lost: 2},
		{name: "recovery leaves out the middle", events: []any{first, pub(2, 2), gone, recovered(at("e", 2), pub(3, 3), pub(5, 5))}, want: []string{offsetMissing, numberMissing}, lost: 1},
		{name: "recovery leaves out the last", events: []any{first, pub(2, 2), gone, recovered(at("e", 2), pub(3, 3)), pub(5, 5)}, want: []string{offsetMissing, numberMissing}, lost: 1},
		{name: "delivered twice", events: []any{first, pub(2, 2), pub(2, 2)}, want: []string{offsetRepeated, numberRepeated}, dups: 1},
		{name: "accepted twice", events: []any{first, pub(2, 2), pub(3, 2)}, want: []string{numberRepeated}, dups: 1},
		{name: "recovers what was delivered", events: []any{first, pub(2, 2), pub(3, 3), gone, recovered(at("e", 3), pub(3, 3))}, want: []string{offsetRepeated, numberRepeated}, dups: 1},
		{name: "swapped", events: []any{first, pub(2, 2), pub(4, 4), pub(3, 3), pub(5, 5)},
			want: []string{offsetMissing, numberMissing, offsetBack, numberBack, offsetMissing, numberMissing}, lost: 2},
		{name: "recovered in another epoch", events: []any{first, pub(2, 2), gone, foreign}, want: []string{falseRecovery}},
		{name: "recovered from another offset", events: []any{first, pub(2, 2), gone, shifted}, want: []string{falseRecovery}},
		{name: "recovered unasked", events: []any{unasked}, want: []string{falseRecovery}},
		{name: "a stream is filled again in the same epoch", events: []any{first, pub(2, 2), gone, recovered(at("e", 2), pub(3, 9))}, want: []string{numberMissing}, lost: 6},
		{name: "history unasked", events: []any{history}, want: []string{falseHistory}},
		{name: "the epoch changes silently", lossy: true, events: []any{first, pub(2, 2), inEpoch("f", pub(3, 3))}, want: []string{otherEpoch}},
		{name: "publication after the end", events: []any{first, pub(2, 2), unsubscribed(2500), pub(3, 3)}, want: []string{notSubscribed}},
		{name: "subscribed twice", events: []any{first, first}, want: []string{twice}},
		{name: "unsubscribed for good", events: []any{first, unsubscribed(2000)}, want: []string{sentAway}},
		{name: "disconnected for good", events: []any{first, disconnected(3501)}, want: []string{sentAway}},
	} {
		j := &judge{lossy: c.lossy}
		for _, e := range c.events {
			switch e := e.(type) {
			case subscription:
				j.subscribe(e)
			case *publication:
				j.publish(e)
			case unsubscribed:
				j.unsubscribe(int(e))
			case disconnected:
				j.disconnect(int(e))
			}
		}
		var got []string
		for _, complaint := range j.complaints {
			got = append(got, complaint.kind)
		}
		if !reflect.DeepEqual(got, c.want) || j.lost != c.lost || j.told != c.told || j.duplicates != c.dups {
			t.Errorf("%s: complaints %q, lost %d, told %d, duplicates %d; want %q, %d, %d, %d",
				c.name, j.complaints, j.lost, j.told, j.duplicates, c.want, c.lost, c.told, c.dups)
		}
	}
}
