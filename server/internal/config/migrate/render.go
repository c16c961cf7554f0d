package migrate

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"centrifugo/server/internal/config"
)

// Render writes the configuration as the content of a file. In YAML each key has a comment
// that says what it was, in TOML the notes stand at the beginning; JSON has no comments.
func (r *Result) Render(format config.Format) ([]byte, error) {
	switch format {
	case config.YAML:
		return r.renderYAML()
	case config.TOML:
		body, err := config.RenderTree(r.Tree, format)
		if err != nil {
			return nil, err //nolint:wrapcheck // it says what it does
		}
		var out bytes.Buffer
		for _, line := range r.header() {
			fmt.Fprintf(&out, "# %s\n", line)
		}
		out.WriteByte('\n')
		out.Write(body)
		return out.Bytes(), nil
	}
	return config.RenderTree(r.Tree, format) //nolint:wrapcheck // it says what it does
}

// header returns the lines at the beginning of a file.
func (r *Result) header() []string {
	lines := []string{"Migrated from " + r.From.String() + " by centrifugo migrate."}
	for _, n := range r.Notes {
		if n.Kind == Decision || n.Kind == Lost || n.Kind == Meaning {
			lines = append(lines, n.String())
		}
	}
	return lines
}

func (r *Result) renderYAML() ([]byte, error) {
	root, err := r.node("", r.Tree)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, line := range r.header() {
		fmt.Fprintf(&out, "# %s\n", line)
	}
	out.WriteByte('\n')
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("rendering configuration: %w", err)
	}
	return out.Bytes(), nil
}

// node turns a part of the tree into YAML, in the order of the reference.
func (r *Result) node(path string, raw any) (*yaml.Node, error) {
	switch x := raw.(type) {
	case map[string]any:
		out := &yaml.Node{Kind: yaml.MappingNode}
		keys := sortedKeys(x)
		slices.SortStableFunc(keys, func(a, b string) int {
			return cmp.Compare(config.Position(general(below(path, a))), config.Position(general(below(path, b))))
		})
		for _, key := range keys {
			at := below(path, key)
			name := new(yaml.Node)
			name.SetString(key)
			for _, comment := range r.comments[at] {
				name.HeadComment = strings.TrimPrefix(name.HeadComment+"\n# "+printable(comment), "\n")
			}
			child, err := r.node(at, x[key])
			if err != nil {
				return nil, err
			}
			out.Content = append(out.Content, name, child)
		}
		return out, nil
	case []any:
		out := &yaml.Node{Kind: yaml.SequenceNode}
		for i, item := range x {
			child, err := r.node(fmt.Sprintf("%s[%d]", path, i), item)
			if err != nil {
				return nil, err
			}
			out.Content = append(out.Content, child)
		}
		return out, nil
	}
	out := new(yaml.Node)
	if err := out.Encode(raw); err != nil {
		return nil, fmt.Errorf("rendering configuration: %s: %w", path, err)
	}
	return out, nil
}

func below(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
