package postgresql_test

import (
	"encoding/json"
	"testing"

	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/postgresql"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	consumertest.Main(func(text []byte) (consumer.Source, error) {
		var o postgresql.Options
		if err := json.Unmarshal(text, &o); err != nil {
			return nil, err
		}
		return postgresql.New(o)
	})
	goleak.VerifyTestMain(m)
}
