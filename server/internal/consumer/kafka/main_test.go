package kafka_test

import (
	"encoding/json"
	"testing"

	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/kafka"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	consumertest.Main(func(text []byte) (consumer.Source, error) {
		var o kafka.Options
		if err := json.Unmarshal(text, &o); err != nil {
			return nil, err
		}
		return kafka.New(o)
	})
	goleak.VerifyTestMain(m)
}
