package server

import (
	"testing"
)

// TestBadInput sends all kinds of bad input to one server, and then checks that it has
// released everything.
func TestBadInput(t *testing.T) {
	t.Parallel()
	p := serve(t, open)
	before := p.warm()
	t.Run("together", func(t *testing.T) { // returns when all of them have ended
		t.Run("commands", func(t *testing.T) { t.Parallel(); malformedCommands(t, p) })
		t.Run("protobuf", func(t *testing.T) { t.Parallel(); malformedProtobuf(t, p) })
		t.Run("wrong types", func(t *testing.T) { t.Parallel(); wrongTypes(t, p) })
		t.Run("null", func(t *testing.T) { t.Parallel(); nulls(t, p) })
		t.Run("unknown channels", func(t *testing.T) { t.Parallel(); unknownChannels(t, p) })
		t.Run("frames", func(t *testing.T) { t.Parallel(); badFrames(t, p) })
		t.Run("limits", func(t *testing.T) { t.Parallel(); sizeLimits(t, p) })
		t.Run("random", func(t *testing.T) { t.Parallel(); randomBytes(t, p) })
		t.Run("slow", func(t *testing.T) { t.Parallel(); slowClients(t, p) })
		t.Run("handshakes", func(t *testing.T) { t.Parallel(); badHandshakes(t, p) })
		t.Run("api", func(t *testing.T) { t.Parallel(); malformedBodies(t, p) })
		t.Run("api types", func(t *testing.T) { t.Parallel(); wrongTypesOfCalls(t, p) })
		t.Run("api requests", func(t *testing.T) { t.Parallel(); brokenRequests(t, p) })
	})
	p.roundTrip(t)
	p.back(t, before)
	p.terminate()
}
