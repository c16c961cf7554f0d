package trace

import (
	"slices"

	"centrifugo/centrifuge"
)

// unwrittenOf are the publications of a subscription that are held, queued and postponed, as
// indexes of outcomes in the order in which they came.
type unwrittenOf struct{ held, queued, postponed []int }

// take removes the first of a list, or the last one, and returns it; -1 if there is none.
func take(list *[]int, last bool) int {
	if len(*list) == 0 {
		return -1
	}
	at := 0
	if last {
		at = len(*list) - 1
	}
	i := (*list)[at]
	*list = slices.Delete(*list, at, at+1)
	return i
}

// unnumbered returns the outcomes of publications without an offset. What an event is about
// follows from the order of the events of a subscription.
func (c *client) unnumbered() (outcomes []Outcome) {
	type subscription struct{ channel, pattern string }
	lists := map[subscription]*unwrittenOf{}
	var latest []*Event // by outcome
	for n, e := range c.outcomes[0] {
		key := subscription{e.Channel, e.Pattern}
		if lists[key] == nil {
			lists[key] = &unwrittenOf{}
		}
		list, i := lists[key], -1
		switch e.Kind {
		case centrifuge.TraceWritten:
			if i = take(&list.queued, false); i < 0 {
				continue // it was queued before the trace
			}
		case centrifuge.TraceSuperseded:
			i = take(&list.postponed, false)
		case centrifuge.TraceTooSlow, centrifuge.TraceDropped, centrifuge.TracePostponed:
			i = take(&list.queued, true)
		case centrifuge.TraceOld, centrifuge.TraceFiltered, centrifuge.TraceExcluded, centrifuge.TraceNotJSON:
			i = take(&list.held, false)
		case centrifuge.TraceQueued:
			if i = take(&list.held, false); i < 0 && !supersedes(e, c.outcomes[0][n+1:]) {
				i = take(&list.postponed, false)
			}
		default:
		}
		if i < 0 {
			i = len(outcomes)
			outcomes, latest = append(outcomes, Outcome{Channel: e.Channel, Time: e.Time}), append(latest, nil)
		}
		latest[i] = e
		o := &outcomes[i]
		o.Verdict = verdictOf[e.Kind]
		o.Text = words(o.Verdict)
		switch e.Kind {
		case centrifuge.TraceWritten:
			o.Text = e.Text() + ", " + clock(e.Time)
		case centrifuge.TraceHeld:
			list.held = append(list.held, i)
		case centrifuge.TraceQueued:
			list.queued = append(list.queued, i)
		case centrifuge.TracePostponed:
			list.postponed = append(list.postponed, i)
		default:
		}
	}
	for _, list := range lists {
		for _, i := range slices.Concat(list.held, list.queued, list.postponed) {
			if ended, text := c.unwritten(latest[i]); ended != "" {
				outcomes[i].Verdict, outcomes[i].Text = ended, text
			}
		}
	}
	return outcomes
}

// supersedes reports whether a publication that is queued takes the place of one that is
// postponed, by the events after it. Otherwise it is the postponed one, if there is one.
func supersedes(queued *Event, after []*Event) bool {
	for _, e := range after {
		if e.Channel == queued.Channel && e.Pattern == queued.Pattern && e.Kind != centrifuge.TraceWritten {
			return e.Kind == centrifuge.TraceSuperseded
		}
	}
	return false
}
