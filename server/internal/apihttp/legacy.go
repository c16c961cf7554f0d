package apihttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"centrifugo/server/internal/api"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/requestid"
)

// legacyNames holds the names of the methods by their number at the legacy endpoint
// (server.md 1.7). Those that package api does not have are PRO.
var legacyNames = [...]string{
	"publish", "broadcast", "unsubscribe", "disconnect", "presence", "presence_stats", "history", "history_remove",
	"channels", "info", "rpc", "subscribe", "refresh", 13: "", "connections", "update_user_status", "get_user_status",
	"delete_user_status", "block_user", "unblock_user", "revoke_token", "invalidate_user_tokens", "device_register",
	"device_update", "device_remove", "device_list", "device_topic_list", "device_topic_update", "user_topic_list",
	"user_topic_update", "send_push_notification", "update_push_status", "cancel_push", "map_publish", "map_remove",
	"map_read_state", "map_read_stream", "map_stats", "map_clear", "shared_poll_publish",
	// Those of this server alone are far behind.
	100: "trace_start", "trace_stop", "trace_query",
}

// legacyMethods holds the methods by number; nil where there is none.
var legacyMethods = func() (methods [len(legacyNames)]*api.Method) {
	for n, name := range legacyNames {
		methods[n] = api.MethodByName(name)
	}
	return methods
}()

// legacyInfo is the only method that needs no params.
const legacyInfo legacyMethod = 9

// legacyMethod is the number of a method. In JSON it is a number or a name, of which
// the case of letters does not matter.
type legacyMethod int32

// UnmarshalJSON implements json.Unmarshaler. An unknown name is an error; an unknown
// number is not.
func (m *legacyMethod) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	if len(b) == 0 || b[0] != '"' {
		n, err := strconv.ParseInt(string(b), 10, 32)
		if err != nil {
			return errors.New("method is neither a name nor a number")
		}
		*m = legacyMethod(n)
		return nil
	}
	var name string
	if err := json.Unmarshal(b, &name); err != nil {
		return fmt.Errorf("decoding the name of a method: %w", err)
	}
	for n, known := range legacyNames {
		if known != "" && strings.EqualFold(known, name) {
			*m = legacyMethod(n) //nolint:gosec // an index of a small table
			return nil
		}
	}
	return errors.New("method has an unknown name")
}

type legacyCommand struct {
	ID     uint32          `json:"id"`
	Method legacyMethod    `json:"method"`
	Params json.RawMessage `json:"params"`
}

type legacyReply struct {
	ID     uint32     `json:"id,omitempty"`
	Error  *api.Error `json:"error,omitempty"`
	Result any        `json:"result,omitempty"`
}

// Commands returns a handler of bodies as the legacy endpoint takes them, on any path.
// It checks no key: the caller admits requests. Config is not used.
func Commands(opts Options) http.Handler {
	opts.Config = config.HTTPAPI{Insecure: true}
	h := New(opts)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, (*Handler).legacy) })
}

// legacy runs the commands of a body one after another and answers with one reply on
// each line. It decodes all commands first, so that a body that is refused has no
// effect.
func (h *Handler) legacy(w http.ResponseWriter, r *http.Request, b *buffer) {
	if h.shuttingDown() {
		plain(w, http.StatusServiceUnavailable)
		return
	}
	commands, err := decodeLegacy(b.in)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	ctx := requestid.For(r)
	for i := range commands {
		line, err := json.Marshal(runLegacy(ctx, h.api, &commands[i]))
		if err != nil {
			h.log.Log(ctx, slog.LevelWarn, "encoding the result of an api call failed", "error", err)
			plain(w, http.StatusInternalServerError)
			return
		}
		if i > 0 {
			b.out = append(b.out, '\n')
		}
		b.out = append(b.out, line...)
	}
	write(w, http.StatusOK, b.out)
}

// decodeLegacy decodes one or more commands, with or without white space between them.
func decodeLegacy(body []byte) ([]legacyCommand, error) {
	var commands []legacyCommand
	dec := json.NewDecoder(bytes.NewReader(body))
	for {
		var command legacyCommand
		err := dec.Decode(&command)
		if err == io.EOF && len(commands) > 0 { //nolint:errorlint // a Decoder returns io.EOF itself
			return commands, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decoding command %d: %w", len(commands)+1, err)
		}
		if len(commands) == api.MaxCommands {
			return nil, api.ErrTooManyCommands
		}
		commands = append(commands, command)
	}
}

func runLegacy(ctx context.Context, a *api.API, command *legacyCommand) legacyReply {
	reply := legacyReply{ID: command.ID}
	if command.Method < 0 || int(command.Method) >= len(legacyMethods) || legacyMethods[command.Method] == nil {
		reply.Error = api.ErrorNotFound
		return reply
	}
	params := command.Params
	if command.Method == legacyInfo {
		params = json.RawMessage("{}")
	}
	// Params that are missing or have another form are a bad request of this command;
	// the others run.
	result, apiErr, err := legacyMethods[command.Method].CallJSON(ctx, a, params)
	switch {
	case err != nil:
		reply.Error = api.ErrorBadRequest
	case apiErr != nil:
		reply.Error = apiErr
	default:
		reply.Result = result
	}
	return reply
}
