package prommetrics_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/prommetrics"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// An endpoint for Prometheus.
func Example() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		panic(err)
	}
	if err := node.Run(); err != nil {
		panic(err)
	}
	defer func() { _ = node.Shutdown(context.Background()) }()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prommetrics.NewCollector(node, prommetrics.Options{Version: "1.2.3"}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(answer.Body.String()) {
		if strings.HasPrefix(line, "centrifugo_node_build") || strings.HasPrefix(line, "centrifugo_node_num_clients") {
			fmt.Print(line)
		}
	}
	// Output:
	// centrifugo_node_build{version="1.2.3"} 1
	// centrifugo_node_num_clients 0
}
