//go:build !linux

package loadtest

import "errors"

// poller exists on Linux only; elsewhere every client has a goroutine.
type poller struct{}

func newPoller(*fleet) (*poller, error) { return nil, nil } //nolint:nilnil // there is none

var errNoPoller = errors.New("no poller on this system")

func (*poller) dial(*client) error { return errNoPoller }

func (*poller) close() {}
