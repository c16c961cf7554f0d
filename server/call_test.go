package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"centrifugo/server/internal/api"
	"centrifugo/server/internal/app/apptest"
)

// largest is the size of the largest body that the API accepts. For a larger one the
// server may close the connection while the client is still sending.
const largest = 10 << 20

// status calls the server API and returns the status of the answer, which must
// be JSON if it is 200.
func (p *process) status(t *testing.T, path, body string) int {
	t.Helper()
	status, answer, err := apptest.Request(http.MethodPost, p.url(path), body, http.Header{"X-Api-Key": {"k"}})
	if len(body) > largest && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)) {
		return http.StatusRequestEntityTooLarge
	}
	if err != nil {
		t.Fatalf("%s %.100q: %v", path, body, err)
	}
	for line := range strings.Lines(answer) {
		if status == http.StatusOK && !json.Valid([]byte(line)) {
			t.Errorf("%s %.100q: the answer is %.200q; want valid JSON", path, body, answer)
		}
	}
	return status
}

// Malformed bodies: server.md 1.1 and 1.7.
func malformedBodies(t *testing.T, p *process) {
	deep := strings.Repeat("[", 20_000)
	bodies := map[string]struct {
		body string
		want int
	}{
		"empty":                    {"", 400},
		"blank":                    {" \n ", 400},
		"truncated object":         {`{"channel":"x","data":{`, 400},
		"truncated string":         {`{"channel":"x`, 400},
		"truncated escape":         {`{"channel":"\u00`, 400},
		"trailing garbage":         {`{"channel":"x","data":1}}`, 400},
		"two values":               {`{"channel":"x","data":1}{"channel":"x","data":1}`, 400},
		"array":                    {`[{"channel":"x","data":1}]`, 400},
		"string":                   {`"x"`, 400},
		"number":                   {`5`, 400},
		"HTML":                     {`<html>`, 400},
		"form":                     {`channel=x&data=1`, 400},
		"single quotes":            {`{'channel':'x'}`, 400},
		"NaN":                      {`{"channel":"x","data":NaN}`, 400},
		"control character":        {"{\"channel\":\"x\x00\",\"data\":1}", 400},
		"byte order mark":          {"\xEF\xBB\xBF{\"channel\":\"x\",\"data\":1}", 400},
		"UTF-16":                   {"\xFF\xFE{\x00}\x00", 400},
		"random":                   {"\x9b\x01\xfe\x00\x80", 400},
		"10,000 levels not closed": {deep, 400},
		"data of 20,000 levels":    {`{"channel":"x","data":` + deep + strings.Repeat("]", 20_000) + `}`, 400},
		"a key of 20,000 levels":   {`{"channel":"x","data":1,"more":` + deep + strings.Repeat("]", 20_000) + `}`, 400},
		"11 MiB":                   {`{"channel":"x","data":"` + strings.Repeat("x", 11<<20) + `"}`, 413},
		"11 MiB of blanks":         {strings.Repeat(" ", 11<<20), 413},
		"a huge number as data":    {`{"channel":"x","data":` + strings.Repeat("9", 100_000) + `}`, 200},
		"a huge exponent as data":  {`{"channel":"x","data":1e999999}`, 200},
		"not UTF-8":                {"{\"channel\":\"x\",\"data\":\"\xFF\"}", 200},
		"a lone surrogate":         {`{"channel":"x","data":"\ud800"}`, 200},
		"repeated keys":            {`{"channel":"none:x","channel":"x","data":1,"data":2}`, 200},
		"many keys":                {`{"channel":"x","data":1` + strings.Repeat(`,"k":1`, 50_000) + `}`, 200},
	}
	for name, test := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := p.status(t, "/api/publish", test.body); got != test.want {
				t.Errorf("publish: status %d, want %d", got, test.want)
			}
			for _, path := range []string{"/api/batch", "/api/history", "/api"} {
				if got := p.status(t, path, test.body); got >= 500 || test.want == 413 && got != 413 {
					t.Errorf("%s: status %d; want below 500, and 413 if the body is too large", path, got)
				}
			}
		})
	}
	long := `{"commands":[` + strings.Repeat(`{},`, 100_000) + `{}]}`
	if got := p.status(t, "/api/batch", long); got != 413 {
		t.Errorf("a batch of 100,001 commands: status %d; want 413", got)
	}
	if got := p.status(t, "/api/channels", `{"pattern":"`+strings.Repeat("{a,", 500)+`"}`); got != 200 {
		t.Errorf("a pattern without end: status %d; want 200", got)
	}
}

// A wrong type in any field of any method is a bad request, alone and in a batch.
func wrongTypesOfCalls(t *testing.T, p *process) {
	count := 0
	for _, method := range api.Methods() {
		if method == &api.MethodBatch.Method {
			continue // its requests are commands
		}
		for _, m := range wrongMembers(method.Request, 1) {
			body := fmt.Sprintf(`{%q:%s}`, m.name, m.value)
			if got := p.status(t, "/api/"+method.Name, body); got != 400 {
				t.Errorf("%s %s: status %d; want 400", method.Name, body, got)
			}
			count++
		}
		// Null is the same as nothing.
		for field := range fieldsOf(method.Request) {
			body := fmt.Sprintf(`{%q:null}`, keyOf(field))
			with, without := p.call(method.Name, body), p.call(method.Name, `{}`)
			if with != without && method != &api.MethodInfo.Method {
				t.Errorf("%s %s: got %s; want %s, as without it", method.Name, body, with, without)
			}
		}
		if got := p.status(t, "/api/batch", fmt.Sprintf(`{"commands":[{%q:5}]}`, method.Name)); got != 400 {
			t.Errorf("batch with a wrong %s: status %d; want 400", method.Name, got)
		}
	}
	t.Logf("%d calls", count)
	if count < 200 {
		t.Errorf("only %d calls: the schema was not seen; want at least 200", count)
	}
}

// Requests to the API that are broken as HTTP.
func brokenRequests(t *testing.T, p *process) {
	const head = "POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nConnection: close\r\n"
	const body = `{"channel":"x","data":1}`
	tests := []struct{ name, request, want string }{
		{"good", head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body, "200"},
		{"good, in chunks", head + "Transfer-Encoding: chunked\r\n\r\n10\r\n" + body[:16] + "\r\n8\r\n" + body[16:] + "\r\n0\r\n\r\n", "200"},
		{"length too small", head + "Content-Length: 5\r\n\r\n" + body, "400"},
		{"negative length", head + "Content-Length: -1\r\n\r\n" + body, "400"},
		{"length is no number", head + "Content-Length: ten\r\n\r\n" + body, "400"},
		{"length beyond all measure", head + "Content-Length: 99999999999999999999\r\n\r\n" + body, "400"},
		{"length of a gigabyte", head + "Content-Length: 1073741824\r\n\r\n" + body, "413"},
		{"chunk size is no number", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body + "\r\n0\r\n\r\n", "500"},
		{"chunk shorter than it says", head + "Transfer-Encoding: chunked\r\n\r\n5\r\n" + body + "\r\n0\r\n\r\n", "500"},
		{"chunk beyond all measure", head + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n" + body, "500"},
		{"unknown encoding", head + "Transfer-Encoding: gzip\r\n\r\n" + body, "501"},
		{"GET", strings.Replace(head, "POST", "GET", 1) + "\r\n", "405"},
		{"no key", strings.Replace(head, "X-API-Key: k\r\n", "", 1) + "Content-Length: 0\r\n\r\n", "401"},
		{"wrong key", strings.Replace(head, "Key: k", "Key: kk", 1) + "Content-Length: 0\r\n\r\n", "401"},
		{"unknown method", strings.Replace(head, "publish", "publsh", 1) + "Content-Length: 0\r\n\r\n", "404"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := statusOf(t, p.address, test.request); got != test.want {
				t.Errorf("status %s, want %s", got, test.want)
			}
		})
	}
}
