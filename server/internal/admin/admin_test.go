package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/server/internal/config"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// interfaceOf returns a handler whose calls answer with the body of the request.
func interfaceOf(t *testing.T, c config.Admin) *Handler {
	t.Helper()
	h, err := New(Options{
		Config: c,
		Commands: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		}),
		Views: map[string]func(context.Context) (any, error){
			"view":   func(context.Context) (any, error) { return map[string]int{"n": 1}, nil },
			"broken": func(context.Context) (any, error) { return nil, errors.New("secret reason") },
		},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

var secured = config.Admin{Password: "pass word", Secret: "secret"}

func ask(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func form(password string) (body string, header []string) {
	return url.Values{"password": {password}}.Encode(), []string{"Content-Type", "application/x-www-form-urlencoded"}
}

func tokenOf(t *testing.T, h http.Handler, password string) string {
	t.Helper()
	body, header := form(password)
	w := ask(h, "POST", "/admin/auth", body, header...)
	var answer struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); w.Code != 200 || err != nil || answer.Token == "" {
		t.Fatalf("log-in: status %d, body %q; want a token", w.Code, w.Body)
	}
	return answer.Token
}

func TestInit(t *testing.T) {
	h := interfaceOf(t, secured)
	token := tokenOf(t, h, "pass word")
	tests := []struct {
		name   string
		h      *Handler
		header []string
		want   string
	}{
		{"no token", h, nil, `{"authenticated":false,"edition":"oss","insecure":false}`},
		{"a token", h, []string{"Authorization", "token " + token}, `{"authenticated":true,"edition":"oss","insecure":false}`},
		{"a wrong token", h, []string{"Authorization", "token x" + token[1:]}, `{"authenticated":false,"edition":"oss","insecure":false}`},
		{"insecure", interfaceOf(t, config.Admin{Insecure: true}), nil, `{"authenticated":true,"edition":"oss","insecure":true}`},
	}
	for _, test := range tests {
		w := ask(test.h, "GET", "/admin/init", "", test.header...)
		if w.Code != 200 || w.Body.String() != test.want || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: status %d, body %s, type %s; want %s", test.name, w.Code, w.Body, w.Header().Get("Content-Type"), test.want)
		}
		if got := w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control = %q, want no-store", test.name, got)
		}
		if got := w.Header()["Set-Cookie"]; got != nil {
			t.Errorf("%s: cookies %v, want none", test.name, got)
		}
	}
}

func TestAuth(t *testing.T) {
	var multi bytes.Buffer
	parts := multipart.NewWriter(&multi)
	if err := parts.WriteField("password", "pass word"); err != nil {
		t.Fatal(err)
	}
	if err := parts.Close(); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	files := multipart.NewWriter(&file)
	if w, err := files.CreateFormFile("password", "p"); err != nil {
		t.Fatal(err)
	} else if _, err := io.WriteString(w, "pass word"); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	const urlencoded = "application/x-www-form-urlencoded"
	tests := []struct {
		name              string
		config            config.Admin
		method            string
		contentType, body string
		query             string
		status            int
	}{
		{"urlencoded", secured, "POST", urlencoded, "password=pass+word", "", 200},
		{"multipart", secured, "POST", parts.FormDataContentType(), multi.String(), "", 200},
		{"wrong", secured, "POST", urlencoded, "password=pass", "", 400},
		{"empty", secured, "POST", urlencoded, "", "", 400},
		{"in the query", secured, "POST", urlencoded, "", "?password=pass+word", 400},
		{"a file", secured, "POST", files.FormDataContentType(), file.String(), "", 400},
		{"another type", secured, "POST", "application/json", `{"password":"pass word"}`, "", 400},
		{"malformed", secured, "POST", urlencoded, "password=%zz", "", 400},
		{"malformed multipart", secured, "POST", "multipart/form-data; boundary=x", "--x", "", 400},
		{"too large", secured, "POST", urlencoded, "password=" + strings.Repeat("x", formLimit), "", 413},
		{"too large multipart", secured, "POST", "multipart/form-data; boundary=x",
			"--x\r\nContent-Disposition: form-data; name=password\r\n\r\n" + strings.Repeat("x", formLimit) + "\r\n--x--", "", 413},
		{"no password is set", config.Admin{Secret: "s"}, "POST", urlencoded, "password=", "", 400},
		{"no secret is set", config.Admin{Password: "p"}, "POST", urlencoded, "password=p", "", 400},
		{"insecure", config.Admin{Insecure: true}, "POST", urlencoded, "", "", 200},
		{"GET", secured, "GET", "", "", "?password=pass+word", 405},
	}
	for _, test := range tests {
		w := ask(interfaceOf(t, test.config), test.method, "/admin/auth"+test.query, test.body, "Content-Type", test.contentType)
		if w.Code != test.status {
			t.Errorf("%s: status %d, want %d; body %q", test.name, w.Code, test.status, w.Body)
		}
		if got := strings.HasPrefix(w.Body.String(), `{"token":"`); got != (test.status == 200) {
			t.Errorf("%s: body %q, want a token: %v", test.name, w.Body, test.status == 200)
		}
	}
}

func TestAuthIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := interfaceOf(t, secured)
		try := func(password string) *httptest.ResponseRecorder {
			body, header := form(password)
			return ask(h, "POST", "/admin/auth", body, header...)
		}
		for i := range addressBurst {
			if w := try("wrong"); w.Code != 400 {
				t.Fatalf("attempt %d: status %d, want 400", i, w.Code)
			}
		}
		// Not even the right password is tried then.
		w := try("pass word")
		if w.Code != 429 || w.Header().Get("Retry-After") != "6" {
			t.Errorf("after %d attempts: status %d, Retry-After %q; want 429 and 6", addressBurst, w.Code, w.Header().Get("Retry-After"))
		}
		time.Sleep(addressInterval)
		if w := try("pass word"); w.Code != 200 {
			t.Errorf("after the time of Retry-After: status %d, want 200", w.Code)
		}
	})
}

// The calls need a token in the header, and take it from nowhere else.
func TestCalls(t *testing.T) {
	h := interfaceOf(t, secured)
	token := tokenOf(t, h, "pass word")
	tests := []struct {
		name, method, target string
		header               []string
		status               int
		body                 string
	}{
		{"a call", "POST", "/admin/api", []string{"Authorization", "token " + token}, 200, "commands"},
		{"upper case", "POST", "/admin/api", []string{"Authorization", "TOKEN   " + token}, 200, "commands"},
		{"no token", "POST", "/admin/api", nil, 401, "Unauthorized\n"},
		{"another scheme", "POST", "/admin/api", []string{"Authorization", "Bearer " + token}, 401, "Unauthorized\n"},
		{"no scheme", "POST", "/admin/api", []string{"Authorization", token}, 401, "Unauthorized\n"},
		{"more", "POST", "/admin/api", []string{"Authorization", "token " + token + " x"}, 401, "Unauthorized\n"},
		{"in the query", "POST", "/admin/api?token=" + token, nil, 401, "Unauthorized\n"},
		{"in a cookie", "POST", "/admin/api", []string{"Cookie", "token=" + token}, 401, "Unauthorized\n"},
		{"GET", "GET", "/admin/api", []string{"Authorization", "token " + token}, 405, "Method Not Allowed\n"},
		{"a view", "GET", "/admin/view", []string{"Authorization", "token " + token}, 200, `{"n":1}`},
		{"a view without a token", "GET", "/admin/view", nil, 401, "Unauthorized\n"},
		{"POST to a view", "POST", "/admin/view", []string{"Authorization", "token " + token}, 405, "Method Not Allowed\n"},
		{"a view that fails", "GET", "/admin/broken", []string{"Authorization", "token " + token}, 500, "Internal Server Error\n"},
		{"no such call", "GET", "/admin/none", []string{"Authorization", "token " + token}, 404, "404 page not found\n"},
	}
	for _, test := range tests {
		w := ask(h, test.method, test.target, "commands", test.header...)
		if w.Code != test.status || w.Body.String() != test.body {
			t.Errorf("%s: status %d, body %q; want %d, %q", test.name, w.Code, w.Body, test.status, test.body)
		}
	}
}

func TestSetSecretsEndsSessions(t *testing.T) {
	for _, changed := range []config.Admin{{Password: "pass word", Secret: "new"}, {Password: "new", Secret: "secret"}} {
		h := interfaceOf(t, secured)
		header := []string{"Authorization", "token " + tokenOf(t, h, "pass word")}
		h.SetSecrets(secured)
		if w := ask(h, "POST", "/admin/api", "", header...); w.Code != 200 {
			t.Errorf("same secrets: status %d, want 200", w.Code)
		}
		h.SetSecrets(changed)
		if w := ask(h, "POST", "/admin/api", "", header...); w.Code != 401 {
			t.Errorf("changed to %+v: status %d, want 401", changed, w.Code)
		}
	}
}

func TestRefusalsAreLoggedWithoutSecrets(t *testing.T) {
	var logged bytes.Buffer
	h, err := New(Options{Config: secured, Commands: http.NotFoundHandler(), Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	body, header := form("wrong-password")
	ask(h, "POST", "/admin/auth", body, header...)
	ask(h, "POST", "/admin/api", "", "Authorization", "token wrong-token")
	token := tokenOf(t, h, "pass word")
	text := logged.String()
	for _, want := range []string{"wrong password", "invalid token", "admin logged in", "remote=192.0.2.1:1234"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %q; want it in: %s", want, text)
		}
	}
	for _, secret := range []string{"wrong-password", "wrong-token", "pass word", token} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has %q; want it left out: %s", secret, text)
		}
	}
}

func TestPrefixes(t *testing.T) {
	tests := []struct {
		prefix, target string
		status         int
	}{
		{"/", "/", 200}, {"/", "/admin/init", 200}, {"/", "/robots.txt", 200}, {"/", "/none", 404},
		{"/x/y", "/x/y/", 200}, {"/x/y", "/x/y/admin/init", 200}, {"/x/y", "/x/y", 301}, {"/x/y", "/admin/init", 404}, {"/x/y", "/x/y/none", 404},
	}
	for _, test := range tests {
		h := interfaceOf(t, config.Admin{HandlerPrefix: test.prefix, Password: "p", Secret: "s"})
		mux := http.NewServeMux()
		for _, pattern := range h.Patterns() {
			mux.Handle(pattern, h)
		}
		w := ask(mux, "GET", test.target, "")
		if w.Code != test.status {
			t.Errorf("prefix %s, %s: status %d, want %d", test.prefix, test.target, w.Code, test.status)
		}
		if location := w.Header().Get("Location"); test.status == 301 && location != test.target+"/" {
			t.Errorf("prefix %s, %s: redirected to %q, want %q", test.prefix, test.target, location, test.target+"/")
		}
	}
}

// web_path serves an own build of the page, and nothing outside of it.
func TestOwnPage(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"index.html": "own page", "assets/app.js": "own script", ".env": "secret", ".git/config": "secret",
	} {
		file := filepath.Join(dir, "page", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "outside"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := interfaceOf(t, config.Admin{HandlerPrefix: "/", WebPath: filepath.Join(dir, "page")})
	tests := []struct {
		target string
		status int
		body   string
	}{
		{"/", 200, "own page"}, {"/assets/app.js", 200, "own script"}, {"/channels/news", 200, "own page"}, {"/assets/", 200, "own page"},
		{"/assets/none.js", 404, "404 page not found\n"}, {"/.env", 404, "404 page not found\n"}, {"/.git/config", 404, "404 page not found\n"},
		{"/../outside", 400, "invalid URL path\n"}, {"/assets/../../outside", 400, "invalid URL path\n"}, {"/admin/init", 200, `{"authenticated":false,"edition":"oss","insecure":false}`},
	}
	for _, test := range tests {
		w := ask(h, "GET", test.target, "")
		if w.Code != test.status || w.Body.String() != test.body {
			t.Errorf("%s: status %d, body %q; want %d, %q", test.target, w.Code, w.Body, test.status, test.body)
		}
		if policy := w.Header().Get("Content-Security-Policy"); test.target == "/" && !strings.Contains(policy, "script-src 'self'") {
			t.Errorf("%s: policy %q, want one without inline scripts", test.target, policy)
		}
	}
}

// web_proxy_address passes requests for the page on, without the token.
func TestProxy(t *testing.T) {
	development := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
	}))
	defer development.Close()
	h := interfaceOf(t, config.Admin{HandlerPrefix: "/x", WebProxyAddress: development.URL})
	server := httptest.NewServer(h)
	defer server.Close()
	get := func(path string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "token x")
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	for path, want := range map[string]string{
		"/x/": "GET / ", "/x/src/main.ts": "GET /src/main.ts ", "/x/admin/init": `{"authenticated":false,"edition":"oss","insecure":false}`,
	} {
		if status, body := get(path); status != 200 || body != want {
			t.Errorf("%s: status %d, body %q; want 200, %q", path, status, body, want)
		}
	}
	development.Close()
	if status, _ := get("/x/"); status != http.StatusBadGateway {
		t.Errorf("without the development server: status %d, want 502", status)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() // of the proxy, for the check of leaks
}

func TestBadPages(t *testing.T) {
	tests := []struct {
		config config.Admin
		want   string
	}{
		{config.Admin{WebPath: t.TempDir()}, "admin.web_path: there is no file index.html"},
		{config.Admin{WebPath: "/none"}, "admin.web_path: there is no file index.html"},
		{config.Admin{WebProxyAddress: "127.0.0.1:5173"}, "admin.web_proxy_address: want a URL"},
		{config.Admin{WebProxyAddress: "ftp://x"}, "admin.web_proxy_address: want a URL"},
		{config.Admin{WebProxyAddress: "http://"}, "admin.web_proxy_address: want a URL"},
		{config.Admin{WebProxyAddress: "http://x", WebPath: "/"}, "admin.web_path and admin.web_proxy_address are both set"},
	}
	for _, test := range tests {
		_, err := New(Options{Config: test.config, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v, want %q", test.config, err, test.want)
		}
	}
}
