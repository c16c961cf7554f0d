package awssqs

import (
	"encoding/json"
	"net/http"
	"testing"

	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/consumertest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	consumertest.Main(func(text []byte) (consumer.Source, error) {
		var o Options
		if err := json.Unmarshal(text, &o); err != nil {
			return nil, err
		}
		return New(o)
	})
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { http.DefaultTransport.(*http.Transport).CloseIdleConnections() }))
}
