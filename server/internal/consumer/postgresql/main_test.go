package postgresql_test

import (
	"testing"

	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/postgresql"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	consumertest.Main(postgresql.New)
	goleak.VerifyTestMain(m)
}
