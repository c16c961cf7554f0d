package apihttp

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"

	"centrifugo/server/internal/api"
	"centrifugo/server/internal/requestid"
)

// routes holds the endpoints by the last part of their path. All other paths, those
// of the PRO methods included, are answered with 404.
var routes = func() map[string]endpoint {
	routes := make(map[string]endpoint)
	for _, m := range api.Methods() {
		routes[m.Name] = methodEndpoint(m)
	}
	routes[api.MethodPublish.Name] = (*Handler).publish
	routes[api.MethodBatch.Name] = (*Handler).batch
	return routes
}()

func methodEndpoint(m *api.Method) endpoint {
	return func(h *Handler, w http.ResponseWriter, r *http.Request, b *buffer) {
		ctx := requestid.For(r)
		result, apiErr, err := m.CallJSON(ctx, h.api, b.in)
		h.answer(ctx, w, r, success{result}, apiErr, err)
	}
}

// success is the envelope of a result, and failure that of an error.
type (
	success struct {
		Result any `json:"result"`
	}
	failure struct {
		Error *api.Error `json:"error"`
	}
)

// batch answers {"replies":[…]} without an envelope (server.md 1.4).
func (h *Handler) batch(w http.ResponseWriter, r *http.Request, b *buffer) {
	ctx := requestid.For(r)
	result, apiErr, err := api.MethodBatch.CallJSON(ctx, h.api, b.in)
	h.answer(ctx, w, r, result, apiErr, err)
}

// publishCall is what a publish request allocates.
type publishCall struct {
	ctx     requestid.Context
	request api.PublishRequest
}

// publish is the hot path. For bodies of the usual form it decodes and encodes without
// reflection.
func (h *Handler) publish(w http.ResponseWriter, r *http.Request, b *buffer) {
	call := new(publishCall)
	call.ctx.BeginHTTP(r)
	ctx, req := &call.ctx, &call.request
	if !decodePublish(b.in, req) {
		*req = api.PublishRequest{}
		if err := json.Unmarshal(b.in, req); err != nil {
			h.refuse(w, r, err)
			return
		}
	}
	res, apiErr := api.MethodPublish.Call(ctx, h.api, req)
	if apiErr != nil {
		h.answer(ctx, w, r, nil, apiErr, nil)
		return
	}
	var ok bool
	if b.out, ok = appendPublishResult(b.out[:0], "result", res); !ok {
		h.answer(ctx, w, r, success{res}, nil, nil)
		return
	}
	write(w, http.StatusOK, b.out)
}

// appendPublishResult appends an object with one key, whose value is the result. It reports
// false when the epoch needs escaping.
func appendPublishResult(out []byte, key string, res api.PublishResult) ([]byte, bool) {
	if !plainASCII(res.Epoch) {
		return out, false
	}
	out = append(out, '{', '"')
	out = append(out, key...)
	out = append(out, `":{`...)
	if res.Offset != 0 {
		out = append(out, `"offset":`...)
		out = strconv.AppendUint(out, res.Offset, 10)
	}
	if res.Epoch != "" {
		if res.Offset != 0 {
			out = append(out, ',')
		}
		out = append(out, `"epoch":"`...)
		out = append(out, res.Epoch...)
		out = append(out, '"')
	}
	return append(out, '}', '}'), true
}

// answer writes the answer to a call with the context ctx: a refusal if decodeErr is set, an error if apiErr
// is set, and result otherwise.
func (h *Handler) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, result any, apiErr *api.Error, decodeErr error) {
	if decodeErr != nil {
		h.refuse(w, r, decodeErr)
		return
	}
	status := http.StatusOK
	if apiErr != nil {
		result = failure{apiErr}
		if h.transportMode || r.Header.Get("X-Centrifugo-Error-Mode") == errorModeTransport {
			status, result = transportStatus(apiErr.Code), apiErr
		}
	}
	// A payload that is not JSON cannot be encoded (server.md 1.1).
	out, err := json.Marshal(result)
	if err != nil {
		h.log.Log(ctx, slog.LevelWarn, "encoding the result of an api call failed", "error", err)
		plain(w, http.StatusInternalServerError)
		return
	}
	write(w, status, out)
}

// jsonType is shared by all answers, because net/http does not modify it.
var jsonType = []string{"application/json"}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only if the caller has disconnected
}

// transportStatus returns the HTTP status of an error in transport mode
// (server.md 1.3).
func transportStatus(code uint32) int {
	switch code {
	case api.ErrorUnknownChannel.Code, api.ErrorNotFound.Code:
		return http.StatusNotFound
	case api.ErrorBadRequest.Code, api.ErrorNotAvailable.Code:
		return http.StatusBadRequest
	case api.ErrorConflict.Code:
		return http.StatusConflict
	case api.ErrorUnrecoverablePosition.Code:
		return http.StatusRequestedRangeNotSatisfiable
	}
	return http.StatusInternalServerError
}
