package azureservicebus_test

import (
	"testing"

	"centrifugo/server/internal/consumer/azureservicebus"
	"centrifugo/server/internal/consumer/consumertest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	consumertest.Main(azureservicebus.New)
	goleak.VerifyTestMain(m)
}
