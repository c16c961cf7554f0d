package azureservicebus_test

import (
	"encoding/json"
	"testing"

	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/azureservicebus"
	"centrifugo/server/internal/consumer/consumertest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	consumertest.Main(func(encoded []byte) (consumer.Source, error) {
		var o azureservicebus.Options
		if err := json.Unmarshal(encoded, &o); err != nil {
			return nil, err
		}
		return azureservicebus.New(o)
	})
	goleak.VerifyTestMain(m)
}
