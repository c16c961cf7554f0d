package config

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"

	"github.com/pelletier/go-toml/v2"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 4 << 20

// maxDepth bounds the nesting of a configuration file.
const maxDepth = 64

// Format is a syntax of configuration files.
type Format string

// The formats of configuration files.
const (
	JSON Format = "json"
	YAML Format = "yaml"
	TOML Format = "toml"
)

// FormatOf returns the format that belongs to the extension of a file name.
func FormatOf(name string) (Format, error) {
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".json":
		return JSON, nil
	case ".yaml", ".yml":
		return YAML, nil
	case ".toml":
		return TOML, nil
	default:
		return "", fmt.Errorf("configuration file %s: extension %q is none of .json, .yaml, .yml, .toml", name, ext)
	}
}

// document is the content of a configuration file.
type document struct {
	tree     map[string]any  // nested maps, lists and scalars
	loose    []string        // the strict form of what the syntax tolerates
	anchored map[string]bool // top-level keys of YAML that hold an anchor which is used
}

var errNotObject = errors.New("the top level must be an object")

// readDocument reads and parses a configuration file. The error of a missing file
// satisfies errors.Is(err, fs.ErrNotExist).
func readDocument(name string) (*document, error) {
	return readPrepared(name, func(_ Format, raw []byte) []byte { return raw })
}

// readPrepared is readDocument with what prepare makes of the content.
func readPrepared(name string, prepare func(Format, []byte) []byte) (*document, error) {
	format, err := FormatOf(name)
	if err != nil {
		return nil, err
	}
	raw, err := readBounded(name, maxFile)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	doc, err := parse(format, prepare(format, raw))
	if err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", name, err)
	}
	return doc, nil
}

func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s exceeds %d bytes", name, limit)
	}
	return raw, err
}

// parse turns the content of a file into maps, lists and scalars.
func parse(format Format, raw []byte) (*document, error) {
	raw, loose, err := decodeText(raw)
	if err != nil {
		return nil, err
	}
	doc := &document{tree: map[string]any{}}
	switch format {
	case JSON:
		var tree any
		var ok bool
		if tree, err = parseJSON(raw); err != nil {
			break
		}
		if doc.tree, ok = tree.(map[string]any); !ok {
			err = errNotObject
		}
	case YAML:
		doc, err = parseYAML(raw)
	case TOML:
		err = toml.Unmarshal(raw, &doc.tree)
	default:
		err = fmt.Errorf("unknown format %q", format)
	}
	if err != nil {
		return nil, err
	}
	if loose != "" {
		doc.loose = append(doc.loose, loose)
	}
	return doc, nil
}

// decodeText removes a byte order mark, and turns UTF-16 that has one into UTF-8.
// It returns the strict form of a file that has one.
func decodeText(raw []byte) (text []byte, loose string, err error) {
	if rest, ok := bytes.CutPrefix(raw, []byte("\ufeff")); ok {
		return rest, "a file without a byte order mark", nil
	}
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe}):
		order = binary.LittleEndian
	case bytes.HasPrefix(raw, []byte{0xfe, 0xff}):
		order = binary.BigEndian
	default:
		return raw, "", nil
	}
	if len(raw)%2 != 0 {
		return nil, "", errors.New("an odd number of bytes is not UTF-16; write the file in UTF-8")
	}
	units := make([]uint16, 0, len(raw)/2)
	for i := 2; i < len(raw); i += 2 {
		units = append(units, order.Uint16(raw[i:]))
	}
	return []byte(string(utf16.Decode(units))), "a file in UTF-8 without a byte order mark", nil
}

// parseJSON parses one JSON value. Unlike json.Unmarshal it refuses a key given
// twice, of which one would be lost without a word.
func parseJSON(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	tree, err := readJSON(dec, 0)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("JSON at byte %d: %w", dec.InputOffset(), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("JSON at byte %d: more after the first value", dec.InputOffset())
	}
	return tree, nil
}

func readJSON(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return nil, err
			}
			key, ok := name.(string)
			if !ok {
				return nil, errors.New("an object key must be a string")
			}
			if _, twice := object[key]; twice {
				return nil, fmt.Errorf("key %q given twice", key)
			}
			if object[key], err = readJSON(dec, depth+1); err != nil {
				return nil, err
			}
		}
		_, err = dec.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			item, err := readJSON(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err = dec.Token()
		return list, err
	}
	return token, nil
}
