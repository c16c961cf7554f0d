package redisstream_test

import (
	"testing"

	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/redisstream"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	consumertest.Main(redisstream.New)
	goleak.VerifyTestMain(m)
}
