package app

import (
	"testing"

	"go.uber.org/goleak"

	"centrifugo/internal/acmetest"
	"centrifugo/server/internal/app/apptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, apptest.Linked(), acmetest.Linked()) }
