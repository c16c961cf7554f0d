// Package centrifuge is a library for real-time messaging: clients hold one
// connection each, subscribe to channels, and get what is published into them,
// in order and without gaps, in milliseconds. Presence, history and recovery
// after a lost connection are part of it.
//
// # Quick start
//
// This serves WebSockets. Every client may subscribe to every channel and gets what it has
// missed after a lost connection; only the program publishes.
//
//	node, err := centrifuge.New(centrifuge.Config{Handlers: centrifuge.Handlers{
//		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
//			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "42"}}, nil
//		},
//		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
//			return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{Recovery: true}}, nil
//		},
//	}})
//	if err != nil {
//		log.Fatal(err)
//	}
//	if err := node.Run(); err != nil {
//		log.Fatal(err)
//	}
//	handler := websocket.NewHandler(node, websocket.Config{})
//	http.Handle("/connection/websocket", handler)
//	go func() { log.Print(http.ListenAndServe("127.0.0.1:8000", nil)) }()
//
//	_, err = node.Publish(context.Background(), "news", []byte(`"hello"`), centrifuge.PublishOptions{
//		HistorySize: 100, HistoryTTL: 10 * time.Minute,
//	})
//	if err != nil {
//		log.Print(err)
//	}
//
// An application makes a [Node] with [New], sets its [Handlers], starts it with [Node.Run],
// and publishes with [Node.Publish]. A transport passes connections to [Node.Accept], and
// middleware identifies them with [SetCredentials]. [Node.Shutdown] ends everything.
// docs/library.md of the repository is a longer introduction.
//
// # Sources
//
// Read the sources in this order:
//
//	node.go      what a server is made of
//	client.go    one connection: connecting, connected, closed
//	client_*.go  what it may ask for, one file for each subject
//	broker.go    the seams to an engine; the memory engine is the default
//	internal/fanout  how one message reaches many sockets
//
// Every exported method is safe for concurrent use unless it says otherwise.
package centrifuge
