package kafka_test

import (
	"testing"

	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/kafka"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	consumertest.Main(kafka.New)
	goleak.VerifyTestMain(m)
}
