package listener

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notifier tells systemd about the state of the server (man sd_notify). Where the service is
// not of Type=notify, nothing happens. It is safe for concurrent use.
type Notifier struct {
	log *slog.Logger
}

// NewNotifier returns a notifier.
func NewNotifier(log *slog.Logger) *Notifier { return &Notifier{log} }

// Ready reports that the server serves.
func (n *Notifier) Ready() { n.notify(daemon.SdNotifyReady) }

// Reloading reports that a reload has begun; Ready ends it.
func (n *Notifier) Reloading() {
	n.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping reports that the server ends within a time.
func (n *Notifier) Stopping(within time.Duration) {
	n.notify(fmt.Sprintf("%s\nEXTEND_TIMEOUT_USEC=%d", daemon.SdNotifyStopping, within.Microseconds()))
}

// Alive reports that the server is not stuck.
func (n *Notifier) Alive() { n.notify(daemon.SdNotifyWatchdog) }

// AlivePeriod returns how often Alive must be called, half of WatchdogSec= of the unit, or 0
// if it need not be.
func (n *Notifier) AlivePeriod() time.Duration {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("the watchdog of systemd is not served", "error", err)
	}
	return limit / 2
}

func (n *Notifier) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("systemd not notified", "error", err)
	}
}
