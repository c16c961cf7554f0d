package loadtest

import (
	"fmt"
	"io"
	"time"
)

// Progress writes a line about how a run goes: on a terminal it is rewritten in
// place, elsewhere there is one every five seconds and whenever the phase changes.
type Progress struct {
	w        io.Writer
	terminal bool
	clients  int
	phase    string
	last     float64
	written  bool
}

const progressPause = 5 * time.Second

// NewProgress writes to w.
func NewProgress(w io.Writer, terminal bool, clients int) *Progress {
	return &Progress{w: w, terminal: terminal, clients: clients}
}

// Show writes a point, if it is time to. Output that cannot be written is not missed.
func (p *Progress) Show(at Point) {
	if !p.terminal && at.Phase == p.phase && at.AtS-p.last < progressPause.Seconds() {
		return
	}
	p.phase, p.last = at.Phase, at.AtS
	line := fmt.Sprintf("%6.1f s  %-8s %d/%d clients", at.AtS, at.Phase, at.Clients, p.clients)
	if at.Connects > 0 {
		line += fmt.Sprintf("  %s connects/s", count(at.Connects))
	}
	if at.Publications > 0 || at.Deliveries > 0 {
		line += fmt.Sprintf("  %s pub/s  %s deliveries/s", count(at.Publications), count(at.Deliveries))
	}
	if at.P99MS > 0 {
		line += fmt.Sprintf("  p50 %s  p99 %s", span(at.P50MS), span(at.P99MS))
	}
	if at.RSSBytes > 0 {
		line += fmt.Sprintf("  server %s, %.2f cores", size(float64(at.RSSBytes)), at.CPUUser+at.CPUSystem)
	}
	if p.terminal {
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.written = true
		return
	}
	_, _ = fmt.Fprintln(p.w, line)
}

// Done leaves the terminal as it was.
func (p *Progress) Done() {
	if p.written {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}
