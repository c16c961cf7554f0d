package loadtest

import (
	"context"
	"strconv"
	"time"

	"centrifugo/protocol"
)

// echo lets clients publish to their own channels from start on, rate a second
// in all; with a rate of 0 each publishes again when it was answered.
func (f *fleet) echo(ctx context.Context, start int64, rate float64) {
	var speakers []*client
	for _, c := range f.clients {
		if c.channel != nil {
			speakers = append(speakers, c)
		}
	}
	if len(speakers) == 0 {
		return
	}
	if rate == 0 {
		f.mu.Lock()
		f.echoing = true
		for _, c := range speakers {
			f.speak(c, f.clock.now())
		}
		f.mu.Unlock()
		<-ctx.Done()
	} else {
		pace := newPace(start, rate, f.clock)
		for i := 0; ; i++ {
			at, err := pace.wait(ctx)
			if err != nil {
				break
			}
			f.mu.Lock()
			f.speak(speakers[i%len(speakers)], at)
			f.mu.Unlock()
		}
	}
	f.mu.Lock()
	f.echoing = false
	f.mu.Unlock()
	for range int(apiTimeout / (10 * time.Millisecond)) { // for the last answers
		f.mu.Lock()
		open := f.echoCount
		f.mu.Unlock()
		if open == 0 || !pause(f.stop, 10*time.Millisecond) {
			return
		}
	}
}

// speak publishes as a client. One that still waits for an answer publishes
// when it has come, with the time it was due at.
func (f *fleet) speak(c *client, at int64) {
	if c.state != stateReady {
		return
	}
	if c.waiting {
		if c.due == 0 {
			c.due = at
		}
		return
	}
	c.waiting, c.sent, c.due = true, at, 0
	f.echoCount++
	data := f.payloads.append(nil, stamp{echoSources + uint32(c.index), c.number + 1, at}) //nolint:gosec // bounded by Validate
	f.command(c, protocol.Command{ID: c.publishID(), Publish: &protocol.PublishRequest{Channel: string(c.channel), Data: data}})
}

// published takes the answer to a publication of a client.
func (f *fleet) published(c *client, reply *protocol.Reply) {
	if !c.waiting {
		f.fail(c, Cause{Kind: causeTransport, Reason: "reply to command " + strconv.Itoa(int(reply.ID)) + ", which was not sent"})
		return
	}
	c.waiting = false
	f.echoCount--
	if reply.Error != nil { // the number is used again
		f.tally.cause(Cause{Kind: causePublish, Code: reply.Error.Code, Reason: clip(reply.Error.Message)})
		return
	}
	c.number++
	f.tally.Published++
	f.tally.Expected++
	now := f.clock.now()
	f.tally.Publishing.Record(time.Duration(now - c.sent))
	switch {
	case c.due != 0:
		f.speak(c, c.due)
	case f.echoing:
		f.speak(c, now)
	}
}
