//go:build linux

package main

import (
	"strings"
	"testing"
	"testing/iotest"
)

func TestGreeting(t *testing.T) {
	message := "{\"id\":1,\"connect\":{\"name\":\"bench\"}}\n{\"id\":2,\"subscribe\":{\"channel\":\"" + strings.Repeat("c", 100) + "\"}}"
	for name, size := range map[string]int{"narrow": 35, "wide": len(message)} {
		masked := []byte{0x81, 0x80 | byte(size)}
		if size > 125 {
			masked = []byte{0x81, 0x80 | 126, byte(size >> 8), byte(size)}
		}
		mask := []byte{1, 2, 3, 4}
		masked = append(masked, mask...)
		for i := range size {
			masked = append(masked, message[i]^mask[i%4])
		}
		got, err := firstMessage(iotest.OneByteReader(strings.NewReader(string(masked))))
		if err != nil || string(got) != message[:size] {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := firstMessage(strings.NewReader("\x81\xfe\xff\xff....")); err == nil {
		t.Error("a message of 64 KB was taken")
	}
	if got, want := string(replies([]byte(message))), "{\"id\":1,\"connect\":{\"client\":\"x\"}}\n{\"id\":2,\"subscribe\":{}}"; got != want {
		t.Errorf("replies %s; want %s", got, want)
	}
}

func TestPush(t *testing.T) {
	const want = `{"push":{"channel":"a","pub":{"data":{"data":1}}}}`
	if got := string(push([]byte(`{"channel":"a","data":{"data":1}}`))); got != want {
		t.Errorf("%s; want %s", got, want)
	}
}
