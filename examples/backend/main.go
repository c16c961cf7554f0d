// Command backend is the backend of an application: it gives tokens to its users
// (docs/tokens.md), and is asked by the server about its clients (docs/proxy.md). backend.py and
// backend.mjs beside it do the same in Python and in Node.js.
//
// usage: backend [PORT [LIFETIME]], with the lifetime of tokens, connections and subscriptions
// in seconds.
package main

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	key     = "backend-secret" // what the server shows, so that others cannot ask
	maxBody = 1 << 20
)

// request has the fields that this backend uses, of all events.
type request struct {
	User    string          `json:"user"`
	Channel string          `json:"channel"`
	Method  string          `json:"method"`
	Data    json.RawMessage `json:"data"`
}

// refusal is what the client gets instead of a result.
type refusal struct {
	field string // error or disconnect
	value any
}

func (r *refusal) Error() string { return fmt.Sprint(r.field, r.value) }

func refuse(code int, message string) error {
	return &refusal{"error", object{"code": code, "message": message}}
}

type object map[string]any

// backend has what an application has in its database.
type backend struct {
	lifetime time.Duration

	// Guarded by mu.
	mu       sync.Mutex
	sessions map[string]string              // users by session
	members  map[string]map[string]struct{} // by channel
}

func (b *backend) expiry() int64 { return time.Now().Add(b.lifetime).Unix() }

func (b *backend) isMember(user, channel string) bool {
	_, ok := b.members[channel][user]
	return ok
}

// userOf returns the user who is logged in, "" if there is none.
func (b *backend) userOf(header http.Header) string {
	cookie, err := (&http.Request{Header: header}).Cookie("session")
	if err != nil {
		return ""
	}
	return b.sessions[cookie.Value]
}

func infoOf(user string) object { return object{"name": strings.ToUpper(user[:1]) + user[1:]} }

func (b *backend) connect(_ request, header http.Header) (any, error) {
	user := b.userOf(header)
	if user == "" { // 4500 and above: the client does not try again
		return nil, &refusal{"disconnect", object{"code": 4501, "reason": "not logged in"}}
	}
	return object{"user": user, "expire_at": b.expiry(), "info": infoOf(user)}, nil
}

func (b *backend) refresh(r request, _ http.Header) (any, error) {
	for _, user := range b.sessions {
		if user == r.User {
			return object{"expire_at": b.expiry()}, nil
		}
	}
	return object{"expired": true}, nil
}

func (b *backend) subscribe(r request, _ http.Header) (any, error) {
	if !b.isMember(r.User, r.Channel) {
		return nil, refuse(403, "not a member")
	}
	return object{"expire_at": b.expiry()}, nil
}

func (b *backend) subRefresh(r request, _ http.Header) (any, error) {
	if !b.isMember(r.User, r.Channel) {
		return object{"expired": true}, nil
	}
	return object{"expire_at": b.expiry()}, nil
}

func (b *backend) publish(r request, _ http.Header) (any, error) {
	var data struct {
		Text string `json:"text"`
	}
	err := json.Unmarshal(r.Data, &data)
	text := strings.TrimSpace(data.Text)
	if n := len([]rune(text)); err != nil || n == 0 || n > 200 {
		return nil, refuse(400, "text must have 1 to 200 characters")
	}
	return object{"data": object{"text": text, "from": r.User}}, nil // this is published instead
}

func (b *backend) rpc(r request, _ http.Header) (any, error) {
	switch r.Method {
	case "teams":
		teams := []string{}
		for channel := range b.members {
			if b.isMember(r.User, channel) {
				teams = append(teams, channel)
			}
		}
		slices.Sort(teams)
		return object{"data": teams}, nil
	case "leave":
		var channel string
		_ = json.Unmarshal(r.Data, &channel) // what is no channel has no members
		delete(b.members[channel], r.User)
		return object{"data": object{}}, nil
	case "logout":
		for session, user := range b.sessions {
			if user == r.User {
				delete(b.sessions, session)
			}
		}
		return object{"data": object{}}, nil
	}
	return nil, refuse(404, "no such method")
}

// handler answers one kind of event.
func (b *backend) handler(name string, event func(request, http.Header) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Backend-Key")), []byte(key)) != 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var q request
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&q); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		b.mu.Lock()
		result, err := event(q, r.Header)
		b.mu.Unlock()
		answer := object{"result": result}
		var refused *refusal
		if errors.As(err, &refused) {
			answer = object{refused.field: refused.value}
		}
		text, err := json.Marshal(answer)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Println(name, q.User, q.Channel+q.Method, string(text))
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text) // the server counts an answer that does not arrive
	}
}

func main() {
	port, lifetime := "3000", "300"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	if len(os.Args) > 2 {
		lifetime = os.Args[2]
	}
	seconds, err := strconv.Atoi(lifetime)
	if err != nil {
		log.Fatal(err)
	}
	b := &backend{
		lifetime: time.Duration(seconds) * time.Second,
		sessions: map[string]string{"session-of-ann": "ann", "session-of-bob": "bob"},
		members:  map[string]map[string]struct{}{"team:red": {"ann": {}, "bob": {}}, "team:blue": {"bob": {}}},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /token", b.serveToken)
	for name, event := range map[string]func(request, http.Header) (any, error){
		"connect": b.connect, "refresh": b.refresh, "subscribe": b.subscribe,
		"sub_refresh": b.subRefresh, "publish": b.publish, "rpc": b.rpc,
	} {
		mux.Handle("POST /centrifugo/"+name, b.handler(name, event))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening")
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}
