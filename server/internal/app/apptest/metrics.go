package apptest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// client keeps no connections, which would count in the metrics of the server.
var client = &http.Client{Timeout: 2 * Timeout, Transport: &http.Transport{DisableKeepAlives: true}}

// Request sends a request and returns the status and body of its answer.
func Request(method, url, body string, header http.Header) (status int, answer string, err error) {
	request, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	return Do(client, request)
}

// Do sends a request by c.
func Do(c *http.Client, request *http.Request) (status int, answer string, err error) {
	response, err := c.Do(request) //nolint:gosec // the test says where to
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// Metrics holds samples by name and labels, in the text form.
type Metrics map[string]float64

// ReadMetrics reads the endpoint at url.
func ReadMetrics(url string) (Metrics, error) {
	status, text, err := Request(http.MethodGet, url, "", nil)
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("reading metrics: status %d, %w", status, err)
	}
	m := Metrics{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("reading metrics: %q: %w", line, err)
		}
		m[line[:i]] = value
	}
	return m, nil
}
