package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"
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

// readTree reads and parses a configuration file. The error of a missing file
// satisfies errors.Is(err, fs.ErrNotExist).
func readTree(name string) (map[string]any, error) {
	format, err := FormatOf(name)
	if err != nil {
		return nil, err
	}
	raw, err := readBounded(name, maxFile)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	tree, err := parse(format, raw)
	if err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", name, err)
	}
	return tree, nil
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
func parse(format Format, raw []byte) (map[string]any, error) {
	var tree any
	var err error
	switch format {
	case JSON:
		tree, err = parseJSON(raw)
	case YAML:
		tree, err = parseYAML(raw)
	case TOML:
		object := map[string]any{}
		err = toml.Unmarshal(raw, &object)
		tree = object
	default:
		err = fmt.Errorf("unknown format %q", format)
	}
	if err != nil {
		return nil, err
	}
	if tree == nil && format == YAML { // an empty document
		return map[string]any{}, nil
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, errors.New("the top level must be an object")
	}
	return object, nil
}

func parseYAML(raw []byte) (any, error) {
	var tree any
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&tree); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var more any
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document")
	}
	return stringKeys(tree, 0)
}

// stringKeys turns YAML maps with keys that are not strings into maps with their text.
func stringKeys(tree any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch x := tree.(type) {
	case map[any]any:
		out := make(map[string]any, len(x))
		for k, v := range x {
			clean, err := stringKeys(v, depth+1)
			if err != nil {
				return nil, err
			}
			out[fmt.Sprint(k)] = clean
		}
		return out, nil
	case map[string]any:
		for k, v := range x {
			clean, err := stringKeys(v, depth+1)
			if err != nil {
				return nil, err
			}
			x[k] = clean
		}
	case []any:
		for i, v := range x {
			clean, err := stringKeys(v, depth+1)
			if err != nil {
				return nil, err
			}
			x[i] = clean
		}
	}
	return tree, nil
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
