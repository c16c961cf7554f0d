//go:build linux

package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Publisher publishes numbered messages over the HTTP API.
type Publisher struct {
	url    string
	client *http.Client
	filler string
	number atomic.Uint64
}

// NewPublisher publishes payloads of about size bytes to the server at addr.
func NewPublisher(addr string, size int) *Publisher {
	const numbers = 50 // bytes of the numbers and names in a payload
	return &Publisher{
		url:    "http://" + addr + "/api/publish",
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}},
		filler: strings.Repeat("x", max(size-numbers, 0)),
	}
}

// Publish sends the next message.
func (p *Publisher) Publish(ctx context.Context, channel string) error {
	body := fmt.Sprintf(`{"channel":%q,"data":{"n":%d,"t":%d,"x":%q}}`, channel, p.number.Add(1), time.Now().UnixNano(), p.filler)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	response, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || bytes.Contains(answer, []byte(`"error"`)) {
		return fmt.Errorf("publish answered with %s: %s", response.Status, answer)
	}
	return nil
}

// Paced publishes n messages a second, evenly spaced, for as long as d.
func (p *Publisher) Paced(channel string, n int, d time.Duration) (published uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), d+10*time.Second)
	defer cancel()
	ticker := time.NewTicker(time.Second / time.Duration(n))
	defer ticker.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); published++ {
		<-ticker.C
		if err := p.Publish(ctx, channel); err != nil {
			return published, err
		}
	}
	return published, nil
}

// Saturated publishes from n goroutines for as long as d. Each has numbers of
// its own order only: the run must not count gaps.
func (p *Publisher) Saturated(channel string, n int, d time.Duration) (published uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), d+10*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	var total atomic.Uint64
	errs := make(chan error, n)
	for range n {
		wg.Go(func() {
			for end := time.Now().Add(d); time.Now().Before(end); total.Add(1) {
				if err := p.Publish(ctx, channel); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return total.Load(), <-errs
}
