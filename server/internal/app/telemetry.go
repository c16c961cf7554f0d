package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/proxy"
	"centrifugo/server/internal/telemetry"

	"google.golang.org/grpc/metadata"
)

// newTelemetry starts the exporters of OpenTelemetry, before anything that is traced.
func (a *App) newTelemetry() error {
	if !a.config.OpenTelemetry.Enabled {
		return nil
	}
	var err error
	a.telemetry, err = telemetry.Start(context.Background(), telemetry.Options{
		Node: nodeName(a.config), Version: a.options.Version, Log: a.log,
		Gatherer: a.registry, GoogleCredentials: a.config.OpenTelemetry.GoogleCloudADCAuth,
	})
	if err != nil {
		return fmt.Errorf("opentelemetry: %w", err)
	}
	return nil
}

// consuming is the protocol of the API of consumers.
const consuming = "consuming"

// closeTelemetry sends what was not sent yet. A receiver that is gone does not make the
// shutdown fail.
func (a *App) closeTelemetry(ctx context.Context) {
	if a.telemetry == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := a.telemetry.Close(ctx); err != nil {
		a.log.Warn("telemetry was not exported", "error", err)
	}
}

// spans returns what traces the publications of the node, nil if nothing is traced.
func (a *App) spans() centrifuge.Spans {
	if a.telemetry == nil {
		return nil
	}
	return a.telemetry
}

// callTracer returns the tracer of the API of a carrier, nil if it is not traced.
func (a *App) callTracer(protocol string) api.Tracer {
	c := a.config.OpenTelemetry
	switch {
	case a.telemetry == nil || protocol == consuming && !c.Consuming || protocol != consuming && !c.API:
		return nil
	case protocol != "grpc":
		return a.telemetry.Call
	}
	return func(ctx context.Context, protocol, method string) (context.Context, func(uint32)) {
		headers := make(http.Header)
		md, _ := metadata.FromIncomingContext(ctx)
		for _, field := range []string{"traceparent", "tracestate"} {
			for _, value := range md.Get(field) {
				headers.Add(field, value)
			}
		}
		return a.telemetry.Call(a.telemetry.Received(ctx, headers), protocol, method)
	}
}

// traceRequests reads the trace context of requests of the HTTP API.
func (a *App) traceRequests(h http.Handler) http.Handler {
	if a.telemetry == nil || !a.config.OpenTelemetry.API {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(a.telemetry.Received(r.Context(), r.Header)))
	})
}

// traceMessages returns what reads the trace context of messages of consumers, nil if they are
// not traced. The case of the attributes' names does not matter.
func (a *App) traceMessages() func(context.Context, []consumer.Attribute) context.Context {
	if a.telemetry == nil || !a.config.OpenTelemetry.Consuming {
		return nil
	}
	return func(ctx context.Context, attributes []consumer.Attribute) context.Context {
		headers := make(http.Header, len(attributes))
		for _, attribute := range attributes {
			headers.Add(attribute.Name, attribute.Value)
		}
		return a.telemetry.Received(ctx, headers)
	}
}

// traceProxy begins the span of a call of a proxy.
func (a *App) traceProxy() func(context.Context, proxy.Event, string, http.Header) (context.Context, func(error)) {
	if a.telemetry == nil {
		return nil
	}
	return func(ctx context.Context, e proxy.Event, name string, headers http.Header) (context.Context, func(error)) {
		return a.telemetry.ProxyCall(ctx, e.String(), name, headers)
	}
}
