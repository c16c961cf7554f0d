package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"centrifugo/server/internal/config"
)

// Options say what is migrated.
type Options struct {
	// File is the path of the old configuration file; its extension names the format. It
	// need not exist unless it is explicit.
	File string
	// FileExplicit says that the file must exist.
	FileExplicit bool
	// DotEnv is the path of a file with environment variables; it need not exist. Empty: none.
	DotEnv string
	// Environ are the variables of the process, as os.Environ returns them. They win over
	// DotEnv and File.
	Environ []string
	// Flags are flags of the old server, without dashes. They win over everything.
	Flags map[string]string
	// From is the version that the configuration was written for. Unknown: it is found from
	// the keys.
	From Version
	// Accept names keys whose decisions are taken: what is lost with them may be lost.
	Accept []string
}

// Kind is a closed list of what a note says.
type Kind string

// The kinds of notes.
const (
	Decision Kind = "decision" // to be taken by the operator, who may accept a loss by its key
	Lost     Kind = "lost"     // an accepted loss
	Meaning  Kind = "meaning"  // the configuration means something else than it did, or now says what was implied
	Dropped  Kind = "dropped"  // not needed any more
	Moved    Kind = "moved"    // has another name, value or place
	Server   Kind = "server"   // what this version of the server says of the result
)

// Note tells about one key.
type Note struct {
	Kind    Kind
	Old     string // the key, variable or flag as it was written; may be empty
	New     string // dotted key of v6; may be empty
	Message string // never contains a value that may be secret
}

// String returns `kind: old -> new: message`, on one line.
func (n Note) String() string {
	text := n.Old
	if n.New != "" {
		if text != "" {
			text += " -> "
		}
		text += n.New
	}
	if n.Message != "" {
		if text != "" {
			text += ": "
		}
		text += n.Message
	}
	return string(n.Kind) + ": " + printable(text)
}

// maxNote bounds the text of a note, in bytes: keys may be of any length.
const maxNote = 1000

// printable returns text without what would disturb a terminal or end a comment.
func printable(text string) string {
	if len(text) > maxNote {
		text = strings.ToValidUTF8(text[:maxNote], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// Result is a migrated configuration.
type Result struct {
	From  Version
	Notes []Note
	Tree  map[string]any // the configuration in the form of v6

	comments map[string][]string // by path, with indexes of lists
}

// Open reports whether something needs a decision.
func (r *Result) Open() bool {
	return slices.ContainsFunc(r.Notes, func(n Note) bool { return n.Kind == Decision })
}

// value is a value of an old configuration and where it was written.
type value struct {
	raw    any
	origin string
}

type migration struct {
	Result
	old    map[string]value // by flat key; what has been migrated is removed
	accept []string
}

// Run migrates a configuration. An error says that the sources cannot be read. Everything
// else is in the notes of the result.
func Run(o Options) (*Result, error) {
	m := &migration{old: map[string]value{}, accept: o.Accept}
	m.Tree, m.comments = map[string]any{}, map[string][]string{}
	if err := m.read(o); err != nil {
		return nil, err
	}
	m.From = o.From
	if m.From == Unknown {
		m.From = m.detect()
	}
	if m.From == V6 {
		m.keep()
	} else {
		m.migrate()
	}
	m.Tree = plain(m.Tree).(map[string]any)
	m.check()
	m.settle()
	return &m.Result, nil
}

func (m *migration) migrate() {
	m.dropOlder()
	if m.From <= V2 {
		m.fromV2()
	}
	if m.From <= V3 {
		m.fromV3()
	}
	m.fromFlat()
}

// dropOlder removes the keys that the version does not have any more: it ignored them, and
// some would admit users if they came into effect now.
func (m *migration) dropOlder() {
	for _, key := range sortedKeys(m.old) {
		if s, ok := spans[key]; ok && s.last < m.From {
			v, _ := m.take(key)
			m.decide(v, "only "+s.String()+" has this key; it was without effect")
		}
	}
}

// keep takes a configuration of v6 as it is.
func (m *migration) keep() {
	for key, v := range m.old {
		if v.origin == key { // variables and flags of v6 work as before
			m.Tree[key] = v.raw
		}
	}
}

// implied begins the origin of a value that the old version had without being told.
const implied = "implied: "

// take removes a key of the old configuration and returns its value.
func (m *migration) take(key string) (value, bool) {
	v, ok := m.old[key]
	delete(m.old, key)
	return v, ok
}

// takeObjects takes a key that holds an array of objects. Any other value needs a decision.
func (m *migration) takeObjects(key string) (v value, items []map[string]any, ok bool) {
	if v, ok = m.take(key); !ok {
		return v, nil, false
	}
	items = objects(v.raw)
	if items == nil && !isZero(v.raw) {
		m.decide(v, "want an array of objects")
		return v, nil, false
	}
	return v, items, true
}

func (m *migration) has(key string) bool {
	_, ok := m.old[key]
	return ok
}

// on reports whether a switch of the old configuration is on.
func (m *migration) on(key string) bool { return isTrue(m.old[key].raw) }

// rename gives a key the name of the next version. A key that has that name wins.
func (m *migration) rename(key, next string) {
	if v, ok := m.take(key); ok && !m.has(next) {
		m.old[next] = v
	}
}

// imply adds a key that the old version implied.
func (m *migration) imply(key string, raw any, message string) {
	if !m.has(key) {
		m.old[key] = value{raw, implied + message}
		path, _ := config.Former(key)
		m.note(Meaning, "", path, message)
	}
}

func (m *migration) note(kind Kind, old, now, message string) {
	m.Notes = append(m.Notes, Note{Kind: kind, Old: old, New: now, Message: message})
}

// decide adds a decision about something that v6 does not have.
func (m *migration) decide(v value, message string) {
	m.note(Decision, v.origin, "", message)
}

// check judges the result as the server would.
func (m *migration) check() {
	cfg, warnings, err := config.CheckTree(m.Tree)
	var problems config.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			m.note(Decision, "", p.Key, p.Message)
		}
		return
	}
	if err := cfg.CheckBuilt(); errors.As(err, &problems) {
		for _, p := range problems {
			m.note(Server, "", p.Key, p.Message)
		}
	}
	for _, w := range warnings {
		if w.Kind == config.NotBuilt || w.Kind == config.Insecure || w.Kind == config.ZeroIgnored {
			m.note(Server, "", w.Key, w.Message)
		}
	}
}

// settle turns decisions about accepted keys into losses, and orders the notes.
func (m *migration) settle() {
	unused := slices.Clone(m.accept)
	for i := range m.Notes {
		n := &m.Notes[i]
		for _, key := range m.accept {
			if n.Kind == Decision && (key == n.Old || key == n.New) {
				n.Kind = Lost
				unused = slices.DeleteFunc(unused, func(k string) bool { return k == key })
			}
		}
	}
	for _, key := range unused {
		m.note(Dropped, "", "", fmt.Sprintf("--accept %s: nothing is to be decided about it", key))
	}
	order := []Kind{Decision, Lost, Meaning, Server, Dropped, Moved}
	slices.SortStableFunc(m.Notes, func(a, b Note) int {
		if d := slices.Index(order, a.Kind) - slices.Index(order, b.Kind); d != 0 {
			return d
		}
		return strings.Compare(a.Old+a.New, b.Old+b.New)
	})
}

// read collects the old configuration from its sources, the weakest first.
func (m *migration) read(o Options) error {
	if o.File != "" {
		tree, err := config.ReadTree(o.File)
		if errors.Is(err, fs.ErrNotExist) && !o.FileExplicit {
			tree, err = nil, nil
		}
		if err != nil {
			return err //nolint:wrapcheck // it names the file
		}
		for key, raw := range tree {
			if raw != nil { // null means not given
				m.old[key] = value{raw, key}
			}
		}
	}
	variables, err := config.Variables(o.Environ, o.DotEnv)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	for _, name := range sortedKeys(variables) {
		if err := m.readText(strings.ToLower(strings.TrimPrefix(name, "CENTRIFUGO_")), variables[name], name); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(o.Flags) {
		key := strings.ToLower(strings.ReplaceAll(name, "-", "_"))
		if err := m.readText(key, o.Flags[name], "--"+name); err != nil {
			return err
		}
	}
	return nil
}

// readText takes a variable or flag. Lists of objects are JSON in them.
func (m *migration) readText(key, text, origin string) error {
	v := value{text, origin}
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "[") || strings.HasPrefix(trimmed, "{") {
		raw, err := config.ParseJSON(trimmed)
		if err != nil {
			return fmt.Errorf("%s: %w", origin, err)
		}
		v.raw = raw
	}
	m.old[key] = v
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
