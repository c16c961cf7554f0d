package awssqs

import (
	"net/http"
	"testing"

	"centrifugo/server/internal/consumer/consumertest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	consumertest.Main(New)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { http.DefaultTransport.(*http.Transport).CloseIdleConnections() }))
}
