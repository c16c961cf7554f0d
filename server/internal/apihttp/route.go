package apihttp

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"centrifugo/server/internal/api"
)

// routes are the endpoints by the last part of their path. What is not here is
// answered with 404, the PRO methods included.
var routes = func() map[string]endpoint {
	routes := map[string]endpoint{
		api.MethodPublish.String(): (*Handler).publish,
		api.MethodBatch.String():   (*Handler).batch,
	}
	for m, call := range calls {
		routes[m.String()] = func(h *Handler, w http.ResponseWriter, r *http.Request, b *buffer) {
			result, apiErr, err := call(r.Context(), h.api, b.in)
			h.answer(w, r, b, success{result}, apiErr, err)
		}
	}
	return routes
}()

// call decodes a request, makes the call and returns what is to be encoded.
type call func(ctx context.Context, a *api.API, body []byte) (result any, apiErr *api.Error, decodeErr error)

// calls are the methods whose requests and results take the same way. Batch has
// an answer of its own, and publish is the one that has to be fast.
var calls = map[api.Method]call{
	api.MethodBroadcast:         callOf((*api.API).Broadcast),
	api.MethodSubscribe:         callOf((*api.API).Subscribe),
	api.MethodUnsubscribe:       callOf((*api.API).Unsubscribe),
	api.MethodDisconnect:        callOf((*api.API).Disconnect),
	api.MethodRefresh:           callOf((*api.API).Refresh),
	api.MethodPresence:          callOf((*api.API).Presence),
	api.MethodPresenceStats:     callOf((*api.API).PresenceStats),
	api.MethodHistory:           callOf((*api.API).History),
	api.MethodHistoryRemove:     callOf((*api.API).HistoryRemove),
	api.MethodInfo:              callOf((*api.API).Info),
	api.MethodChannels:          callOf((*api.API).Channels),
	api.MethodRPC:               callOf((*api.API).RPC),
	api.MethodMapPublish:        callOf((*api.API).MapPublish),
	api.MethodMapRemove:         callOf((*api.API).MapRemove),
	api.MethodMapReadState:      callOf((*api.API).MapReadState),
	api.MethodMapReadStream:     callOf((*api.API).MapReadStream),
	api.MethodMapStats:          callOf((*api.API).MapStats),
	api.MethodMapClear:          callOf((*api.API).MapClear),
	api.MethodSharedPollPublish: callOf((*api.API).SharedPollPublish),
}

func callOf[Req, Res any](do func(*api.API, context.Context, *Req) (Res, *api.Error)) call {
	return func(ctx context.Context, a *api.API, body []byte) (any, *api.Error, error) {
		req := new(Req)
		if err := json.Unmarshal(body, req); err != nil {
			return nil, nil, err //nolint:wrapcheck // the answer does not say why
		}
		res, apiErr := do(a, ctx, req)
		return res, apiErr, nil
	}
}

// success is the envelope of a result, failure that of an error.
type (
	success struct {
		Result any `json:"result"`
	}
	failure struct {
		Error *api.Error `json:"error"`
	}
)

// batch answers {"replies":[…]} without an envelope (server-interface 1.4).
func (h *Handler) batch(w http.ResponseWriter, r *http.Request, b *buffer) {
	result, apiErr, err := callOf((*api.API).Batch)(r.Context(), h.api, b.in)
	h.answer(w, r, b, result, apiErr, err)
}

// publish is the hot path: neither decoding nor encoding reflects, where the
// body is of the usual form.
func (h *Handler) publish(w http.ResponseWriter, r *http.Request, b *buffer) {
	req := new(api.PublishRequest)
	if !decodePublish(b.in, req) {
		*req = api.PublishRequest{}
		if err := json.Unmarshal(b.in, req); err != nil {
			h.refuse(w, r, err)
			return
		}
	}
	res, apiErr := h.api.Publish(r.Context(), req)
	if apiErr != nil {
		h.answer(w, r, b, nil, apiErr, nil)
		return
	}
	var ok bool
	if b.out, ok = appendPublishResult(b.out[:0], res); !ok {
		h.answer(w, r, b, success{res}, nil, nil)
		return
	}
	write(w, http.StatusOK, b.out)
}

// appendPublishResult reports false when the epoch needs escaping.
func appendPublishResult(out []byte, res api.PublishResult) ([]byte, bool) {
	if !plainASCII(res.Epoch) {
		return out, false
	}
	out = append(out, `{"result":{`...)
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

// answer writes the end of a call: decodeErr when the body was no request,
// apiErr when the call failed, otherwise result.
func (h *Handler) answer(
	w http.ResponseWriter, r *http.Request, b *buffer, result any, apiErr *api.Error, decodeErr error,
) {
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
	// A payload that is no JSON cannot be told (server-interface 1.1).
	out, err := json.Marshal(result)
	if err != nil {
		h.log.Warn("encoding the result of an api call", "error", err)
		plain(w, http.StatusInternalServerError)
		return
	}
	write(w, status, out)
}

// jsonType is shared by all answers: net/http does not write into it.
var jsonType = []string{"application/json"}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that is gone needs no answer
}

// transportStatus is the HTTP status of an error in transport mode
// (server-interface 1.3).
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
