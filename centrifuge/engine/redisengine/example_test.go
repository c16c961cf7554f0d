package redisengine_test

import (
	"log"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/engine/redisengine"
)

// A node of a cluster. Every node is made like this; what one of them publishes, the clients of
// all receive.
func Example() {
	redis, err := redisengine.New(redisengine.Config{Shards: []redisengine.ShardConfig{{Address: "127.0.0.1:6379"}}})
	if err != nil {
		log.Fatal(err)
	}
	node, err := centrifuge.New(centrifuge.Config{
		Broker:          redisengine.NewBroker(redis, redisengine.BrokerConfig{}),
		PresenceManager: redisengine.NewPresence(redis, redisengine.PresenceConfig{}),
		Controller:      redisengine.NewController(redis),
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
}
