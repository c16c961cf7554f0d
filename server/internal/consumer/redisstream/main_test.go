package redisstream_test

import (
	"encoding/json"
	"testing"

	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/redisstream"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	consumertest.Main(func(text []byte) (consumer.Source, error) {
		var o redisstream.Options
		if err := json.Unmarshal(text, &o); err != nil {
			return nil, err
		}
		return redisstream.New(o)
	})
	goleak.VerifyTestMain(m)
}
