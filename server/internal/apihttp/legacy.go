package apihttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"centrifugo/server/internal/api"
)

// legacyMethods are the methods of the legacy endpoint by number
// (server-interface 1.7). Those without a call are PRO.
var legacyMethods = [...]struct {
	name string
	call call
}{
	0:  {"publish", callOf((*api.API).Publish)},
	1:  {"broadcast", calls[api.MethodBroadcast]},
	2:  {"unsubscribe", calls[api.MethodUnsubscribe]},
	3:  {"disconnect", calls[api.MethodDisconnect]},
	4:  {"presence", calls[api.MethodPresence]},
	5:  {"presence_stats", calls[api.MethodPresenceStats]},
	6:  {"history", calls[api.MethodHistory]},
	7:  {"history_remove", calls[api.MethodHistoryRemove]},
	8:  {"channels", calls[api.MethodChannels]},
	9:  {"info", calls[api.MethodInfo]},
	10: {"rpc", calls[api.MethodRPC]},
	11: {"subscribe", calls[api.MethodSubscribe]},
	12: {"refresh", calls[api.MethodRefresh]},
	14: {"connections", nil},
	15: {"update_user_status", nil},
	16: {"get_user_status", nil},
	17: {"delete_user_status", nil},
	18: {"block_user", nil},
	19: {"unblock_user", nil},
	20: {"revoke_token", nil},
	21: {"invalidate_user_tokens", nil},
	22: {"device_register", nil},
	23: {"device_update", nil},
	24: {"device_remove", nil},
	25: {"device_list", nil},
	26: {"device_topic_list", nil},
	27: {"device_topic_update", nil},
	28: {"user_topic_list", nil},
	29: {"user_topic_update", nil},
	30: {"send_push_notification", nil},
	31: {"update_push_status", nil},
	32: {"cancel_push", nil},
	33: {"map_publish", calls[api.MethodMapPublish]},
	34: {"map_remove", calls[api.MethodMapRemove]},
	35: {"map_read_state", calls[api.MethodMapReadState]},
	36: {"map_read_stream", calls[api.MethodMapReadStream]},
	37: {"map_stats", calls[api.MethodMapStats]},
	38: {"map_clear", calls[api.MethodMapClear]},
	39: {"shared_poll_publish", calls[api.MethodSharedPollPublish]},
}

// legacyInfo is the one method that needs no params.
const legacyInfo legacyMethod = 9

// legacyMethod is a method by number; a name of any letter case is decoded to it.
type legacyMethod int32

// UnmarshalJSON implements json.Unmarshaler. An unknown name is an error, an
// unknown number is not.
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
	for n := range legacyMethods {
		if known := legacyMethods[n].name; known != "" && strings.EqualFold(known, name) {
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

// legacy runs the commands of a body one after another and answers with a reply
// on each line. All are decoded first: a body that is refused has done nothing.
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
	for i := range commands {
		line, err := json.Marshal(runLegacy(r.Context(), h.api, &commands[i]))
		if err != nil {
			h.log.Warn("encoding the result of an api call", "error", err)
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

// decodeLegacy decodes one command or several, with or without white space
// between them.
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
	if command.Method < 0 || int(command.Method) >= len(legacyMethods) || legacyMethods[command.Method].call == nil {
		reply.Error = api.ErrorNotFound
		return reply
	}
	params := command.Params
	if command.Method == legacyInfo {
		params = json.RawMessage("{}")
	}
	// Params that are missing or of another form are a bad request of their
	// command alone.
	result, apiErr, err := legacyMethods[command.Method].call(ctx, a, params)
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
