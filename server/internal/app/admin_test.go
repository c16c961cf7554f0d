package app

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"centrifugo/internal/redistest"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/app/apptest"
	"centrifugo/server/internal/config"
)

// withAdmin enables the admin interface beside anonymous clients without permissions.
const withAdmin = anonymous + `, "admin": {"enabled": true, "password": "pass", "secret": "one"},
	"channel": {"without_namespace": {"presence": true, "join_leave": true, "history_size": 10, "history_ttl": "1m"},
		"namespaces": [{"name": "open", "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true, "presence": true, "join_leave": true}]}`

// adminToken logs in.
func (i *instance) adminToken(password string) string {
	i.t.Helper()
	status, body := i.request(http.MethodPost, i.internal(), "/admin/auth", "password="+password, "Content-Type", "application/x-www-form-urlencoded")
	var answer struct{ Token string }
	if err := json.Unmarshal([]byte(body), &answer); status != 200 || err != nil {
		i.t.Fatalf("log-in: status %d, body %s; want a token", status, body)
	}
	return answer.Token
}

func (i *instance) adminCall(token, command string) (int, string) {
	i.t.Helper()
	return i.request(http.MethodPost, i.internal(), "/admin/api", command, "Authorization", "token "+token)
}

// adminConnected returns a connection of the admin interface.
func (i *instance) adminConnected(token string) *apptest.Conn {
	i.t.Helper()
	c := i.dial(apptest.Dialer{Path: "/admin/websocket"})
	if reply := ask(i.t, c, `{"id":1,"connect":{"token":"`+token+`"}}`); !strings.Contains(reply, `"connect":{`) {
		i.t.Fatalf("connecting: %s; want a connect result", reply)
	}
	return c
}

func TestAdminAPI(t *testing.T) {
	i := start(t, withAdmin+`, "http_api": {"disabled": true}, "prometheus": {"enabled": true}`)
	if status, body := i.adminCall("x", `{"method":"info"}`); status != 401 || body != "Unauthorized\n" {
		t.Errorf("without a token: status %d, body %q; want 401", status, body)
	}
	token := i.adminToken("pass")
	tests := []struct{ name, command, want string }{
		{"by name", `{"method":"info","params":{}}`, `"num_clients":0`},
		{"by number", `{"id":7,"method":9}`, `{"id":7,"result":{"nodes":[`},
		{"several", `{"method":"publish","params":{"channel":"x","data":1}}` + "\n" + `{"method":"history","params":{"channel":"x","limit":1}}`, "\n" + `{"result":{"publications":[{"data":1`},
		{"an error", `{"method":"publish","params":{"channel":"none:x","data":1}}`, `"code":102`},
	}
	for _, test := range tests {
		if status, body := i.adminCall(token, test.command); status != 200 || !strings.Contains(body, test.want) {
			t.Errorf("%s: status %d, body %s; want %s", test.name, status, body, test.want)
		}
	}
	if _, metrics := i.request(http.MethodGet, i.external(), "/metrics", ""); !strings.Contains(metrics, `method="info",protocol="admin"} 2`) {
		t.Errorf("the metrics do not count two calls of info by the admin interface: got %v; want %q in it",
			metrics, `method="info",protocol="admin"} 2`)
	}
	if status, body := i.request(http.MethodGet, i.external(), "/", ""); status != 200 || !strings.Contains(body, "<!doctype html>") {
		t.Errorf("the page: status %d, body %.100q; want the page", status, body)
	}
}

// A page sees a channel that clients may not subscribe to, and is not seen there.
func TestAdminSocket(t *testing.T) {
	i := start(t, withAdmin)
	token := i.adminToken("pass")
	page := i.adminConnected(token)
	for _, channel := range []string{"x", "open:x"} {
		if reply := ask(t, page, `{"id":2,"subscribe":{"channel":"`+channel+`"}}`); !strings.Contains(reply, `"subscribe":{`) {
			t.Fatalf("subscribing to %s: %s; want %q in it", channel, reply, `"subscribe":{`)
		}
	}
	if _, body := i.adminCall(token, `{"method":"publish","params":{"channel":"x","data":"hello"}}`); !strings.Contains(body, `"offset":1`) {
		t.Fatalf("publishing: %s; want %q in it", body, `"offset":1`)
	}
	if message, err := page.Next(); err != nil || !strings.Contains(message, `"data":"hello"`) {
		t.Errorf("received %s, %v; want the publication", message, err)
	}
	client := i.connected(apptest.Dialer{})
	if reply := ask(t, client, `{"id":2,"subscribe":{"channel":"open:x"}}`); !strings.Contains(reply, `"subscribe":{`) {
		t.Fatalf("a client: %s; want %q in it", reply, `"subscribe":{`)
	}
	if message, err := page.Next(); err != nil || !strings.Contains(message, `"join":{`) {
		t.Errorf("received %s, %v; want a join", message, err)
	}
	if _, body := i.adminCall(token, `{"method":"presence_stats","params":{"channel":"open:x"}}`); !strings.Contains(body, `"num_clients":1`) {
		t.Errorf("presence: %s; want the client alone", body)
	}
	for _, command := range []string{
		`"publish":{"channel":"x","data":1}`, `"presence":{"channel":"x"}`, `"presence_stats":{"channel":"x"}`, `"history":{"channel":"x"}`, `"rpc":{"method":"x"}`,
	} {
		if reply := ask(t, page, `{"id":3,`+command+`}`); !strings.Contains(reply, `"code":103`) {
			t.Errorf("%s: %s; want the error 103", command, reply)
		}
	}
	if reply := ask(t, page, `{"id":4,"subscribe":{"channel":"none:x"}}`); !strings.Contains(reply, `"code":102`) {
		t.Errorf("an unknown namespace: %s; want the error 102", reply)
	}
}

// The socket of the admin interface is for those who have logged in, and the others stay
// as they are.
func TestAdminSocketNeedsAToken(t *testing.T) {
	i := start(t, withAdmin)
	token := i.adminToken("pass")
	tests := []struct {
		name, path, connect string
		want                int
	}{
		{"no token", "/admin/websocket", `{"id":1,"connect":{}}`, 3500},
		{"a wrong token", "/admin/websocket", `{"id":1,"connect":{"token":"x"}}`, 3500},
		{"the token of an administrator, for clients", apptest.Path, `{"id":1,"connect":{"token":"` + token + `"}}`, 3500},
	}
	for _, test := range tests {
		c := i.dial(apptest.Dialer{Path: test.path})
		if err := c.Text(test.connect); err != nil {
			t.Fatal(err)
		}
		if code, err := c.WaitClosed(); code != test.want {
			t.Errorf("%s: closed with %d, %v; want %d", test.name, code, err, test.want)
		}
	}
	for origin, want := range map[string]int{"http://" + i.external(): 101, "https://evil.example": 403, "": 101, "null": 403} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		if got := handshakeStatus(t, i, apptest.Dialer{Path: "/admin/websocket", Header: header}); got != want {
			t.Errorf("origin %q: status %d, want %d", origin, got, want)
		}
	}
	client := i.connected(apptest.Dialer{})
	if reply := ask(t, client, `{"id":2,"subscribe":{"channel":"x"}}`); !strings.Contains(reply, `"code":103`) {
		t.Errorf("a client: %s; want the error 103", reply)
	}
}

// A reload with another secret or password ends log-ins and connections.
func TestAdminReload(t *testing.T) {
	for _, change := range [][2]string{{`"secret": "one"`, `"secret": "two"`}, {`"password": "pass"`, `"password": "other"`}} {
		i := start(t, withAdmin)
		token := i.adminToken("pass")
		page := i.adminConnected(token)
		client := i.connected(apptest.Dialer{})
		i.configure(strings.Replace(withAdmin, change[0], change[1], 1))
		i.hangUp()
		i.awaitLogged("info", "configuration reloaded", "admin.")
		if code, err := page.WaitClosed(); code != 3500 {
			t.Errorf("%s: the page is closed with %d, %v; want 3500", change[1], code, err)
		}
		if status, _ := i.adminCall(token, `{"method":"info"}`); status != 401 {
			t.Errorf("%s: status %d with the old token, want 401", change[1], status)
		}
		if reply := ask(t, client, `{"id":2,"subscribe":{"channel":"open:x"}}`); !strings.Contains(reply, `"subscribe":{`) {
			t.Errorf("%s: a client: %s; want it untouched", change[1], reply)
		}
	}
}

func TestAdminInsecure(t *testing.T) {
	i := start(t, `"admin": {"enabled": true, "insecure": true}, "http_api": {"key": "k"}`)
	if status, body := i.request(http.MethodPost, i.external(), "/admin/api", `{"method":"info"}`); status != 200 || !strings.Contains(body, `"nodes":[`) {
		t.Errorf("without a token: status %d, body %s; want the nodes", status, body)
	}
	for _, foreign := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
		for _, path := range []string{"/admin/api", "/admin/auth"} {
			if status := i.asked("POST", path, "", foreign...); status != 403 {
				t.Errorf("%s, %v: status %d, want 403", path, foreign, status)
			}
		}
	}
	if status := i.asked("GET", "/", "evil.example:8000"); status != 403 {
		t.Errorf("a foreign host: status %d, want 403", status)
	}
	if status := i.asked("POST", "/api/info", "evil.example:8000", "X-API-Key", "k"); status != 200 {
		t.Errorf("the HTTP API needs no guard: status %d, want 200", status)
	}
	i.awaitLogged("warn", "INSECURE endpoints on a loopback address: only this machine, or this container, reaches them", "admin.insecure")
}

// Without a password every log-in is refused, and the log says so.
func TestAdminWithoutPassword(t *testing.T) {
	i := start(t, `"admin": {"enabled": true, "secret": "s"}`)
	status, body := i.request(http.MethodPost, i.external(), "/admin/auth", "password=", "Content-Type", "application/x-www-form-urlencoded")
	if status != 400 || body != "Bad Request\n" {
		t.Errorf("log-in: status %d, body %q; want 400", status, body)
	}
	i.awaitLogged("error", "admin.password or admin.secret is not set: every log-in to the admin interface is refused", "")
}

// The interface follows the internal listener unless it is external, and the playground
// of development mode leaves it the root.
func TestAdminPlace(t *testing.T) {
	tests := []struct {
		name, settings string
		adjust         []func(*App)
		outer, inner   []string
	}{
		{"internal", split + `, "admin": {"enabled": true}`, nil, []string{"/connection/websocket"}, []string{"/", "/admin/init", "/api"}},
		{"external", split + `, "admin": {"enabled": true, "external": true}`, nil, []string{"/connection/websocket", "/", "/admin/init"}, []string{"/api"}},
		{"prefix", split + `, "admin": {"enabled": true, "handler_prefix": "/a"}`, nil, []string{"/connection/websocket"}, []string{"/a", "/a/", "/a/admin/init", "/api"}},
		{"development", split + `, "admin": {"enabled": true, "external": true}`, []func(*App){dev}, []string{"/connection/websocket", "/", "/admin/init", "/playground/"}, []string{"/api"}},
		{"development, prefix", split + `, "admin": {"enabled": true, "external": true, "handler_prefix": "/a"}`, []func(*App){dev}, []string{"/connection/websocket", "/", "/a", "/a/", "/a/admin/init"}, []string{"/api"}},
	}
	paths := []string{"/", "/admin/init", "/a", "/a/", "/a/admin/init", "/playground/", "/connection/websocket", "/api"}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			i := start(t, test.settings, test.adjust...)
			for n, want := range [][]string{test.outer, test.inner} {
				var got []string
				for _, path := range paths {
					if status, _ := i.request(http.MethodGet, i.address[n], path, ""); status != http.StatusNotFound {
						got = append(got, path)
					}
				}
				if strings.Join(got, " ") != strings.Join(inOrder(paths, want), " ") {
					t.Errorf("listener %d serves %v, want %v", n, got, want)
				}
			}
		})
	}
}

// inOrder returns the wanted paths in the order of all.
func inOrder(all, want []string) (ordered []string) {
	for _, path := range all {
		for _, w := range want {
			if path == w {
				ordered = append(ordered, path)
			}
		}
	}
	return ordered
}

// The views show all nodes, every method, the configuration without secrets, and limits.
func TestAdminViews(t *testing.T) {
	nodes := startCluster(t, redisEngine(redistest.Start(t).Address())+`, "admin": {"enabled": true, "password": "pass word", "secret": "s3cret"}`, 2)
	for range 2 {
		nodes[1].connected(apptest.Dialer{})
	}
	token := nodes[0].adminToken("pass+word")
	view := func(name string, into any) string {
		t.Helper()
		status, body := nodes[0].request(http.MethodGet, nodes[0].external(), "/admin/"+name, "", "Authorization", "token "+token)
		if err := json.Unmarshal([]byte(body), into); status != 200 || err != nil {
			t.Fatalf("%s: status %d, %v, body %.200s; want 200", name, status, err, body)
		}
		return body
	}
	var all struct {
		Nodes   []vitals
		Missing []string
	}
	view("nodes", &all)
	if len(all.Nodes) != 2 || len(all.Missing) != 0 {
		t.Fatalf("nodes: %+v; want two", all)
	}
	clients := map[string]int{}
	for _, v := range all.Nodes {
		clients[v.Name] = v.Clients
		if v.ID == "" || v.Version != "0.0.0 OSS" || v.Time == 0 || v.CPU <= 0 || v.Memory <= 0 || v.Goroutines <= 0 {
			t.Errorf("%+v; want every figure of a process", v)
		}
		if v.Name == "node1" && (v.Received != 2 || v.Sent != 2 || v.ReceivedBytes == 0 || v.SentBytes == 0) {
			t.Errorf("%+v; want two connect commands and their replies", v)
		}
	}
	if clients["node0"] != 0 || clients["node1"] != 2 {
		t.Errorf("clients by node: %v; want 0 and 2", clients)
	}

	var methods struct{ Methods []methodView }
	view("methods", &methods)
	byName := map[string]methodView{}
	for _, m := range methods.Methods {
		byName[m.Name] = m
	}
	if got, want := len(byName), len(api.Methods())-1; got != want || byName["batch"].Name != "" {
		t.Errorf("%d methods, batch %v; want %d without batch", got, byName["batch"], want)
	}
	fields := map[string]fieldView{}
	for _, f := range byName["publish"].Fields {
		fields[f.Name] = f
	}
	for _, want := range []fieldView{{"channel", "string", true}, {"data", "json", false}, {"skip_history", "boolean", false}, {"tags", "json", false}, {"version", "integer", false}} {
		if fields[want.Name] != want {
			t.Errorf("field %+v; want %+v", fields[want.Name], want)
		}
	}

	var configuration struct {
		Node   string
		Values []config.Value
	}
	body := view("configuration", &configuration)
	if configuration.Node != "node0" || strings.Contains(body, "pass word") || strings.Contains(body, "s3cret") || !strings.Contains(body, `"admin.password"`) {
		t.Errorf("configuration of %q, want that of node0 without secrets", configuration.Node)
	}

	var health struct {
		Engine   string
		Warnings []warningView
		Limits   []limitView
	}
	view("warnings", &health)
	if len(health.Warnings) == 0 || health.Warnings[0].Kind != "insecure" || health.Engine != "" {
		t.Errorf("warnings %+v, engine %q; want that of the insecure mode", health.Warnings, health.Engine)
	}
	for _, l := range health.Limits {
		if l.Name == "Open files" && (l.Used <= 0 || l.Limit <= l.Used) {
			t.Errorf("%+v; want the open files of the process", l)
		}
	}
}

// After a reload the view of the configuration says which keys wait for a restart.
func TestAdminConfigurationAfterReload(t *testing.T) {
	i := start(t, withAdmin)
	token := i.adminToken("pass")
	i.configure(withAdmin + `, "node": {"name": "new"}, "log": {"level": "debug"}`)
	i.hangUp()
	i.awaitLogged("info", "configuration reloaded", "node.name")
	_, body := i.request(http.MethodGet, i.external(), "/admin/configuration", "", "Authorization", "token "+token)
	for _, want := range []string{
		`{"key":"node.name","value":"new","source":"file","no_effect":"changed, waits for a restart"}`,
		`{"key":"log.level","value":"debug","source":"file"}`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the view lacks %s; want it there", want)
		}
	}
}
