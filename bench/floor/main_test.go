//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestReplies(t *testing.T) {
	message := "{\"id\":1,\"connect\":{\"name\":\"bench\"}}\n{\"id\":2,\"subscribe\":{\"channel\":\"" + strings.Repeat("c", 100) + "\"}}"
	if got, want := string(replies([]byte(message))), "{\"id\":1,\"connect\":{\"client\":\"x\"}}\n{\"id\":2,\"subscribe\":{}}"; got != want {
		t.Errorf("replies = %s; want %s", got, want)
	}
}

func TestPush(t *testing.T) {
	const want = `{"push":{"channel":"a","pub":{"data":{"data":1}}}}`
	if got := string(push([]byte(`{"channel":"a","data":{"data":1}}`))); got != want {
		t.Errorf("push = %s; want %s", got, want)
	}
}
