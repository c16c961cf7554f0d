package protocol_test

import (
	"fmt"

	"centrifugo/protocol"
)

// A transport message holds any number of commands.
func ExampleDecoder() {
	message := []byte(`{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"news"}}`)
	d := protocol.NewDecoder(0, message, protocol.Limits{})
	for {
		var c protocol.Command
		if err := d.Next(&c); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(c.ID, c.Kind())
	}
	// Output:
	// 1 connect
	// 2 subscribe
	// EOF
}

// The same push in both generations of the protocol.
func ExampleAppendReply() {
	reply := &protocol.Reply{Push: &protocol.Push{
		Channel: "news",
		Pub:     &protocol.Publication{Data: protocol.Raw(`{"x":1}`), Offset: 7},
	}}
	for _, f := range []protocol.Format{0, protocol.FormatV1, protocol.FormatUni} {
		message, err := protocol.AppendReply(nil, f, reply)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", message)
	}
	// Output:
	// {"push":{"channel":"news","pub":{"data":{"x":1},"offset":7}}}
	// {"result":{"channel":"news","data":{"data":{"x":1},"offset":7}}}
	// {"channel":"news","pub":{"data":{"x":1},"offset":7}}
}

// Messages are encoded once, and joined for each connection.
func ExampleAppendBatch() {
	ping, err := protocol.Encode(0, &protocol.Reply{})
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := protocol.Encode(0, &protocol.Reply{ID: 3, Publish: &protocol.PublishResult{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", protocol.AppendBatch(nil, 0, []*protocol.Encoded{answer, ping}))
	// Output:
	// {"id":3,"publish":{}}
	// {}
}
