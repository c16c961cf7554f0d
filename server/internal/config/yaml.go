package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds what a YAML file becomes when its aliases are replaced.
const maxNodes = 1 << 20

// yamlNumber is a number that is not written in decimal. A name may be one, and
// keeps its text; decimal is empty when the number is not whole.
type yamlNumber struct{ text, decimal string }

var decimalNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// yamlReader turns nodes into maps, lists and scalars. The decoder of the package
// would lose the text of numbers and take a key with an anchor for any other.
type yamlReader struct {
	nodes int
	open  map[*yaml.Node]bool // anchors whose content is being read
	used  map[*yaml.Node]bool // anchors that an alias refers to
}

// parseYAML reads the first document of a file.
func parseYAML(raw []byte) (*document, error) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var first, more yaml.Node
	if err := dec.Decode(&first); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	doc := &document{tree: map[string]any{}, anchored: map[string]bool{}}
	if err := dec.Decode(&more); err == nil && !isNull(&more) || err != nil && !errors.Is(err, io.EOF) {
		doc.loose = append(doc.loose, "one document; what follows the first is not read")
	}
	if isNull(&first) {
		return doc, nil
	}
	top := first.Content[0]
	r := &yamlReader{open: map[*yaml.Node]bool{}, used: map[*yaml.Node]bool{}}
	value, err := r.value(top, 0)
	if err != nil {
		return nil, err
	}
	var ok bool
	if doc.tree, ok = value.(map[string]any); !ok {
		return nil, errNotObject
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		doc.anchored[top.Content[i].Value] = r.holdsAnchor(top.Content[i+1])
	}
	return doc, nil
}

func isNull(document *yaml.Node) bool {
	return len(document.Content) == 0 || document.Content[0].ShortTag() == "!!null"
}

// holdsAnchor tells whether a node holds an anchor that is used.
func (r *yamlReader) holdsAnchor(n *yaml.Node) bool {
	if r.used[n] {
		return true
	}
	for _, inner := range n.Content {
		if r.holdsAnchor(inner) {
			return true
		}
	}
	return false
}

func (r *yamlReader) value(n *yaml.Node, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("line %d: nested deeper than %d", n.Line, maxDepth)
	}
	if r.nodes++; r.nodes > maxNodes {
		return nil, fmt.Errorf("line %d: aliases make more than %d values", n.Line, maxNodes)
	}
	switch n.Kind {
	case yaml.AliasNode:
		r.used[n.Alias] = true
		if r.open[n.Alias] {
			return nil, fmt.Errorf("line %d: anchor %q contains itself", n.Line, n.Value)
		}
		return r.value(n.Alias, depth+1)
	case yaml.MappingNode:
		r.open[n] = true
		defer delete(r.open, n)
		return r.mapping(n, depth)
	case yaml.SequenceNode:
		r.open[n] = true
		defer delete(r.open, n)
		list := make([]any, 0, len(n.Content))
		for _, inner := range n.Content {
			item, err := r.value(inner, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		return list, nil
	}
	return yamlScalar(n)
}

func (r *yamlReader) mapping(n *yaml.Node, depth int) (any, error) {
	object := map[string]any{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, inner := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch {
		case key.Kind != yaml.ScalarNode:
			return nil, fmt.Errorf("line %d: a key must be text", key.Line)
		case key.ShortTag() == "!!merge":
			merged = append(merged, inner)
			continue
		}
		if _, twice := object[key.Value]; twice {
			return nil, fmt.Errorf("line %d: key %q given twice", key.Line, key.Value)
		}
		value, err := r.value(inner, depth+1)
		if err != nil {
			return nil, err
		}
		object[key.Value] = value
	}
	for _, from := range merged {
		if err := r.merge(object, from, depth); err != nil {
			return nil, err
		}
	}
	return object, nil
}

// merge adds the keys of an object, or of several of which the first wins, that
// are not there yet.
func (r *yamlReader) merge(object map[string]any, from *yaml.Node, depth int) error {
	value, err := r.value(from, depth+1)
	if err != nil {
		return err
	}
	sources, isList := value.([]any)
	if !isList {
		sources = []any{value}
	}
	for _, source := range sources {
		keys, ok := source.(map[string]any)
		if !ok {
			return fmt.Errorf("line %d: << wants an object or an array of objects", from.Line)
		}
		for k, v := range keys {
			if _, there := object[k]; !there {
				object[k] = v
			}
		}
	}
	return nil
}

func yamlScalar(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!null":
		return nil, nil //nolint:nilnil // null is a value
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return nil, fmt.Errorf("line %d: not a boolean", n.Line)
		}
		return b, nil
	case "!!int", "!!float":
		if decimalNumber.MatchString(n.Value) {
			return json.Number(n.Value), nil
		}
		out := yamlNumber{text: n.Value}
		var whole int64
		if n.ShortTag() == "!!int" && n.Decode(&whole) == nil {
			out.decimal = strconv.FormatInt(whole, 10)
		}
		return out, nil
	}
	return n.Value, nil
}
