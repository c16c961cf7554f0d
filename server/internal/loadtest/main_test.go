package loadtest_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"centrifugo/server/internal/app/apptest"
	"centrifugo/server/internal/loadtest"
)

// workerArgument makes the test binary a worker process.
const workerArgument = "be-a-worker"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == workerArgument {
		if err := loadtest.ServeWorker(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, apptest.Linked())
}
