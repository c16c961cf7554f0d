package loadtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

const contentJSON = "application/json"

// contentType returns the type of the bodies of requests that have commands.
func (f *fleet) contentType() string {
	if f.format.Protobuf() {
		return "application/octet-stream"
	}
	return contentJSON
}

// requestHead begins a request with a body, up to the length of the body.
func requestHead(e endpoint, contentType, path string, headers ...string) []byte {
	var head bytes.Buffer
	fmt.Fprintf(&head, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: centrifugo-bench\r\nContent-Type: %s\r\n", path, e.host, contentType)
	for _, h := range headers {
		head.WriteString(h + "\r\n")
	}
	head.WriteString("Content-Length: ")
	return head.Bytes()
}

// appendRequest appends a request.
func appendRequest(to, head, body []byte) []byte {
	to = strconv.AppendInt(append(to, head...), int64(len(body)), 10)
	return append(append(to, "\r\n\r\n"...), body...)
}

// checkStream reads the head of the response that is a connection, at the beginning of b. A
// size of 0 means that its end has not come.
func checkStream(b []byte) (size int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxHandshake {
			return 0, errors.New("response: head too long")
		}
		return 0, nil
	}
	size = end + 4
	response, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(b[:size]), 512), nil)
	if err != nil {
		return 0, fmt.Errorf("response: %w", err)
	}
	_ = response.Body.Close()
	switch {
	case response.StatusCode != http.StatusOK:
		return 0, fmt.Errorf("answered with %s", response.Status)
	case !slices.Equal(response.TransferEncoding, []string{"chunked"}):
		return 0, errors.New("response: the body is not chunked, and so no stream")
	}
	return size, nil
}

var errChunk = errors.New("malformed chunk")

// chunkHead reads the size of a chunk; n is 0 if its end has not come. Extensions do not
// occur.
func chunkHead(b []byte) (size, n int, err error) {
	const most = len("ffffffff\r\n")
	end := bytes.IndexByte(b[:min(len(b), most)], '\n')
	if end < 0 {
		if len(b) >= most {
			return 0, 0, errChunk
		}
		return 0, 0, nil
	}
	parsed, err := strconv.ParseUint(string(bytes.TrimSuffix(b[:end], []byte{'\r'})), 16, 31)
	if err != nil || parsed > maxMessage {
		return 0, 0, errChunk
	}
	return int(parsed), end + 1, nil
}

// chunks takes a part of the body and returns what is left of it: the beginning of the head
// of a chunk.
func (f *fleet) chunks(c *client, b []byte) (rest []byte) {
	for c.state != stateClosed && len(b) > 0 {
		if c.chunk == 0 {
			size, n, err := chunkHead(b)
			switch {
			case err != nil:
				f.fail(c, Cause{Kind: causeTransport, Reason: err.Error()})
				return nil
			case n == 0:
				return b
			case size == 0:
				f.fail(c, Cause{Kind: kindOf(c), Reason: "closed without a word"})
				return nil
			}
			b, c.chunk = b[n:], size+len("\r\n")
		}
		n := min(c.chunk, len(b))
		c.chunk -= n
		if data := n - max(len("\r\n")-c.chunk, 0); data > 0 {
			f.messages(c, b[:data])
		}
		b = b[n:]
	}
	return nil
}

// messages takes a part of a stream of messages, without the framing of what carries it.
func (f *fleet) messages(c *client, part []byte) {
	if f.format.Protobuf() {
		f.delimited(c, part)
		return
	}
	f.lines(c, part)
}

// delimited takes a part of a stream of Protobuf messages, each behind its length.
func (f *fleet) delimited(c *client, part []byte) {
	if len(c.parts) > 0 {
		c.parts = append(c.parts, part...)
		part = c.parts
	}
	for len(part) > 0 && c.state != stateClosed {
		size, n := binary.Uvarint(part)
		if n < 0 || size > maxMessage {
			f.fail(c, Cause{Kind: causeTransport, Reason: errTooLarge.Error()})
			return
		}
		if n == 0 || size > uint64(len(part)-n) {
			break
		}
		f.protobufMessage(c, part[n:n+int(size)])
		part = part[n+int(size):]
	}
	if c.state != stateClosed {
		c.parts = append(c.parts[:0], part...)
	}
}

// lines takes a part of a stream of JSON messages, each with a newline behind it.
func (f *fleet) lines(c *client, part []byte) {
	for len(part) > 0 && c.state != stateClosed {
		end := bytes.IndexByte(part, '\n')
		if end < 0 {
			if c.parts = append(c.parts, part...); len(c.parts) > maxMessage {
				f.fail(c, Cause{Kind: causeTransport, Reason: errTooLarge.Error()})
			}
			return
		}
		line := part[:end]
		part = part[end+1:]
		if len(c.parts) > 0 {
			c.parts = append(c.parts, line...)
			line = c.parts
		}
		c.parts = c.parts[:0]
		if f.transport.events {
			data, ok := bytes.CutPrefix(line, []byte("data: "))
			if !ok {
				continue // an id, or the end of an event
			}
			line = data
		}
		f.json(c, line)
	}
}
