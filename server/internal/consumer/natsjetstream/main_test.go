package natsjetstream_test

import (
	"testing"

	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/natsjetstream"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	consumertest.Main(natsjetstream.New)
	goleak.VerifyTestMain(m)
}
