package websocket

import (
	"io"
	"slices"
	"testing"

	"centrifugo/centrifuge/internal/eventloop"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/internal/await"
)

// The close frame is written before the end of the stream, though the socket accepts what
// waited while the connection is being closed.
func TestCloseDuringAFlush(t *testing.T) {
	closeFrame := func(e CloseError) string { return string(appendClose(nil, e.Code, e.Reason)) }
	for name, test := range map[string]struct {
		received []byte
		want     []string
	}{
		"the peer closes":        {frame(finClose, "\x0b\xb8"), []string{closeFrame(CloseError{Code: 3000}), "Close"}},
		"the peer breaks a rule": {frame(finText|0x10, ""), []string{closeFrame(CloseError{closeProtocolError, "reserved bit is set"}), "CloseWrite"}},
	} {
		t.Run(name, func(t *testing.T) {
			socket := &transporttest.FullSocket{}
			c := newSinkConn(request{})
			c.writer = eventloop.Writer{Socket: socket}
			c.handler.group.Begin()
			defer c.Closed(io.EOF)
			if pending := write(t, &peer{session: &testSession{transport: c}}, frames("message")); pending == 0 {
				t.Fatal("no bytes are pending; want those of the message")
			}
			read := make(chan bool, 1)
			socket.Accepts, socket.Writing = true, func() {
				go func() {
					_, more := c.Data(test.received)
					read <- more
				}()
				if !await.Reached(func() bool { return !c.stateIs(stateOpen) }) {
					t.Error("the connection is open; want it to be closed")
				}
			}
			c.Writable()
			await.Receive(t, read, "end of Data")
			if got := socket.Calls[1:]; !slices.Equal(got, test.want) {
				t.Errorf("behind the message, the socket accepted %q; want %q", got, test.want)
			}
		})
	}
}
