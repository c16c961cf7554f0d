package trace

import (
	"fmt"
	"strings"
	"time"

	"centrifugo/centrifuge"
)

// Verdict is what became of a publication for a connection.
type Verdict string

// The verdicts.
const (
	Written       Verdict = "written"
	Recovered     Verdict = "recovered"
	Queued        Verdict = "queued"
	Filtered      Verdict = "filtered"
	Excluded      Verdict = "excluded"
	NotJSON       Verdict = "not_json"
	TooSlow       Verdict = "too_slow"
	Closed        Verdict = "closed"
	Dropped       Verdict = "dropped"
	Postponed     Verdict = "postponed"
	Superseded    Verdict = "superseded"
	Gap           Verdict = "gap"
	Held          Verdict = "held"
	Ended         Verdict = "ended"
	Behind        Verdict = "began_behind"
	NotSubscribed Verdict = "not_subscribed"
	NotConnected  Verdict = "not_connected"
	NotReceived   Verdict = "not_received"
	NotPublished  Verdict = "not_published"
	Unknown       Verdict = "unknown"
	// Mixed is the verdict of a client for several publications that differ.
	Mixed Verdict = "mixed"
)

// phrases are the verdicts in words, in the order in which they are summed up.
var phrases = []struct {
	verdict Verdict
	words   string
}{
	{Written, "written to the socket"},
	{Recovered, "recovered later"},
	{Queued, "queued, not written yet"},
	{Filtered, "not sent: its tags do not match the filter of the subscription"},
	{Excluded, "not sent: the publisher excluded this client"},
	{NotJSON, "not sent: its payload is not JSON, which a JSON connection cannot receive"},
	{TooSlow, "not written: the client read too slowly, so the connection was closed"},
	{Closed, "not written: the connection or its subscription ended before"},
	{Dropped, "not sent: the client read too slowly, so the subscription was ended"},
	{Postponed, "postponed until the client has read enough"},
	{Superseded, "not sent: a newer publication was sent in its place, since the client reads slowly"},
	{Gap, "not sent: an earlier publication was lost, so the subscription was ended"},
	{Held, "held: the subscription was being made"},
	{Ended, "not sent: the subscription was ending"},
	{Behind, "not sent: the subscription began behind it, or had it before"},
	{NotSubscribed, "was not subscribed"},
	{NotConnected, "was not connected"},
	{NotReceived, "subscribed, but the node has not received the publication"},
	{NotPublished, "was not published"},
	{Unknown, "unknown"},
}

func words(v Verdict) string {
	for _, p := range phrases {
		if p.verdict == v {
			return p.words
		}
	}
	return string(v)
}

// verdictOf maps the kinds of outcomes.
var verdictOf = map[centrifuge.TraceKind]Verdict{
	centrifuge.TraceQueued: Queued, centrifuge.TraceWritten: Written, centrifuge.TraceHeld: Held, centrifuge.TraceOld: Behind,
	centrifuge.TraceFiltered: Filtered, centrifuge.TraceExcluded: Excluded, centrifuge.TraceNotJSON: NotJSON, centrifuge.TraceGap: Gap,
	centrifuge.TraceEnded: Ended, centrifuge.TraceTooSlow: TooSlow, centrifuge.TraceDropped: Dropped,
	centrifuge.TracePostponed: Postponed, centrifuge.TraceSuperseded: Superseded,
}

// clock returns a time of day. What is asked for is at most some hours ago.
func clock(micro int64) string { return time.UnixMicro(micro).UTC().Format("15:04:05.000") + " UTC" }

// code returns a code with its reason.
func code(e *Event) string { return strings.TrimSpace(fmt.Sprintf("%d %s", e.Code, e.Reason)) }

// at returns a position in words, nothing without history.
func at(offset uint64) string {
	if offset == 0 {
		return ""
	}
	return fmt.Sprintf(" at offset %d", offset)
}

// publisher says who published.
func publisher(e *Event) string {
	switch {
	case e.User != "":
		return fmt.Sprintf(" by client %s of user %s", e.Client, e.User)
	case e.Client != "":
		return " by client " + e.Client
	case e.Source != "":
		return " by " + e.Source
	}
	return ""
}

// Text says in words what an event means.
func (e *Event) Text() string {
	switch e.Kind {
	case centrifuge.TracePublished:
		return "published" + publisher(e) + at(e.Offset)
	case centrifuge.TraceSuppressed:
		if e.Reason == string(centrifuge.SuppressedIdempotency) {
			return "not published" + publisher(e) + ": a publication with the same idempotency key exists" + at(e.Offset)
		}
		return "not published" + publisher(e) + ": its version is not greater than that of the publication" + at(e.Offset)
	case centrifuge.TracePublishFailed:
		return "not published" + publisher(e) + ": " + e.Reason
	case centrifuge.TraceReceived:
		return fmt.Sprintf("received by the node, which has %s", plural(e.Count, "subscriber"))
	case centrifuge.TraceWritten:
		if e.Count > 0 {
			return fmt.Sprintf("given to the socket, which is full: %s wait", plural(e.Count, "byte"))
		}
		return words(Written)
	case centrifuge.TraceQueued:
		return "queued"
	case centrifuge.TraceSubscribed:
		return "subscribed" + at(e.Offset)
	case centrifuge.TraceRecovered:
		return fmt.Sprintf("recovered offsets %d to %d: %s sent", e.First, e.Offset, plural(e.Count, "publication"))
	case centrifuge.TraceUnrecovered:
		return fmt.Sprintf("could not recover: the history does not go back to offset %d", e.First)
	case centrifuge.TraceRefused:
		return "the subscription was refused: " + code(e)
	case centrifuge.TraceUnsubscribed:
		return "the subscription ended" + at(e.Offset) + ": " + code(e)
	case centrifuge.TraceConnected:
		return "connected over " + e.Reason
	case centrifuge.TraceDisconnected:
		return "the connection ended: " + code(e)
	default:
		return words(verdictOf[e.Kind])
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
