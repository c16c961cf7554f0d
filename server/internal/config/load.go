package config

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strconv"
	"strings"
)

// Options say where a configuration comes from. Precedence, highest first:
// Flags, environment, File, defaults (server.md 6.1).
type Options struct {
	// File is the path of the configuration file; its extension names the format. Empty: no file.
	// A malformed file is an error.
	File string
	// FileExplicit says that the user named File: then it must exist, otherwise it is a
	// warning if it does not. Development mode reads no other file.
	FileExplicit bool
	// DotEnv is the path of a file with environment variables; it need not exist. Empty: none.
	DotEnv string
	// Environ are the variables of the process, as os.Environ returns them. They win over DotEnv.
	Environ []string
	// Flags are the command line flags that were given, by dotted key.
	Flags map[string]string
	// Dev applies the defaults of development mode.
	Dev bool
}

// Source says where the value of a key came from.
type Source int

// The sources of values.
const (
	FromDefault Source = iota
	FromFile
	FromEnviron
	FromFlag
)

// WarningKind is a closed list of the reasons for warnings.
type WarningKind string

// The reasons for warnings.
const (
	MissingFile WarningKind = "missing_file" // the configuration file does not exist
	UnknownEnv  WarningKind = "unknown_env"  // a CENTRIFUGO_ variable that means nothing
	InjectedEnv WarningKind = "injected_env" // a variable that Kubernetes has set, not the user
	ZeroIgnored WarningKind = "zero_ignored" // a zero in the file, which means the default
	NotBuilt    WarningKind = "not_built"    // a known key of a feature that this version lacks
	Insecure    WarningKind = "insecure"     // a setting that must not face a network
	NoEffect    WarningKind = "no_effect"    // a value that can never take effect
	LooseForm   WarningKind = "loose_form"   // a value in another form than its own, taken for what it means
)

// Warning is a remark on a configuration that is nevertheless usable.
type Warning struct {
	Kind    WarningKind
	Key     string // dotted key, environment variable or file
	Message string // never contains a value that may be secret
}

// String returns `key: message`.
func (w Warning) String() string { return w.Key + ": " + w.Message }

// Problem is a reason why a configuration cannot be used.
type Problem struct {
	Key     string // dotted key, environment variable or file; may be empty
	Message string // never contains a value that may be secret
}

// Problems is the error of Load: every problem found, in a stable order.
type Problems []Problem

// Error returns one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Message
		if one.Key != "" {
			lines[i] = one.Key + ": " + one.Message
		}
	}
	return strings.Join(lines, "\n")
}

type loader struct {
	cfg       *Config
	bare      bool // no defaults: a zero is taken as it is
	elsewhere bool // files that the configuration names are not read
	environ   map[string]string
	known     map[string]string // variables that mean something, and their keys
	former    bool              // a key of a former version was found in the file
	depth     int               // of loaders that judge sections in the wrong place
	anchored  map[string]bool   // top-level keys of the file that hold YAML anchors
	sources   map[string]Source // keys that were set by something else than a default
	warnings  []Warning
	problems  Problems
}

func newLoader() *loader {
	return &loader{cfg: Default(), known: map[string]string{}, sources: map[string]Source{}}
}

func (l *loader) warn(w Warning) { l.warnings = append(l.warnings, w) }

// maxProblems bounds what is told about a file that is not a configuration at all.
const maxProblems = 50

func (l *loader) problem(key, message string) {
	if len(key) > 200 {
		key = key[:200] + "..."
	}
	if key = strings.Trim(strconv.QuoteToGraphic(key), `"`); len(l.problems) < maxProblems {
		l.problems = append(l.problems, Problem{key, message})
	} else if len(l.problems) == maxProblems {
		l.problems = append(l.problems, Problem{"", "there are more problems"})
	}
}

// Load reads, merges and validates a configuration. An error is of type Problems
// and names everything that is wrong; then the configuration is nil. Load keeps
// nothing, so it may be called again (SIGHUP) and by any goroutine.
//
// Whether this version has what the configuration asks for is not judged here, so
// that commands that need a part of it work: see Config.CheckBuilt.
func Load(o Options) (*Config, []Warning, error) {
	l := newLoader()
	l.readEnviron(o.Environ, o.DotEnv)
	if o.Dev {
		l.setDev()
	}
	if o.File != "" && (o.FileExplicit || !o.Dev) {
		l.setFile(o.File, o.FileExplicit)
	}
	l.setEnviron(reflect.ValueOf(l.cfg).Elem(), "", envPrefix)
	l.setFlags(o.Flags)
	l.warnUnknownEnviron()
	l.expandVars()
	l.finish()
	l.cfg.sources = l.sources
	if len(l.problems) > 0 {
		return nil, l.warnings, l.problems
	}
	return l.cfg, l.warnings, nil
}

func (l *loader) setFile(name string, explicit bool) {
	doc, err := readDocument(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && explicit:
		l.problem(name, "the configuration file does not exist")
	case errors.Is(err, fs.ErrNotExist):
		l.warn(Warning{Kind: MissingFile, Key: name, Message: "configuration file not found, going on without it"})
	case err != nil:
		l.problem("", err.Error())
	default:
		l.setDocument(name, doc)
	}
}

func (l *loader) setDocument(name string, doc *document) {
	for _, strict := range doc.loose {
		l.looseForm(name, strict)
	}
	l.anchored = doc.anchored
	l.setTree(reflect.ValueOf(l.cfg).Elem(), "", doc.tree)
	l.nameFormer(name)
}

func (l *loader) setFlags(flags map[string]string) {
	left := map[string]string{}
	for key, text := range flags {
		left[key] = text
	}
	visit(reflect.ValueOf(l.cfg).Elem(), "", func(path string, f field, v reflect.Value) {
		text, ok := left[path]
		if !ok {
			return
		}
		delete(left, path)
		if err := f.setText(v, text); err != nil {
			l.problem("--"+path, err.Error())
			return
		}
		l.sources[path] = FromFlag
	})
	for _, key := range sortedKeys(left) {
		l.problem("--"+key, "unknown key")
	}
}

// finish does what needs all sources to be merged.
func (l *loader) finish() {
	l.normalise()
	l.warnNotBuilt() // before prefixes are changed: it compares with defaults
	if !l.elsewhere {
		l.checkPEM()
	}
	visit(reflect.ValueOf(l.cfg).Elem(), "", func(path string, f field, v reflect.Value) {
		switch {
		case f.key == "handler_prefix":
			// server.md 6.8: trailing slashes are dropped, empty means the root.
			if prefix := strings.TrimRight(v.String(), "/"); prefix != "" {
				v.SetString(prefix)
			} else {
				v.SetString("/")
			}
		case !nonNegative(v) && f.key != "compression_level" && f.key != "max_messages_in_frame":
			l.problem(path, "must not be negative")
		}
	})
	l.guardInsecure() // it may set an address that is validated
	l.validate()
}

// checkPEM reads the certificates and keys that are in use.
func (l *loader) checkPEM() {
	off := map[string]bool{"client.subscription_token": !l.cfg.Client.SubscriptionToken.Enabled}
	visit(reflect.ValueOf(l.cfg).Elem(), "", func(path string, f field, v reflect.Value) {
		section := strings.TrimSuffix(path, "."+f.key)
		switch {
		case f.owner == "TLS" && f.key == "enabled": // the first key of the section
			off[section] = !v.Bool()
		case f.typ == pemType && !off[section]:
			if _, err := v.Interface().(PEM).Bytes(); err != nil {
				l.problem(path, err.Error())
			}
		}
	})
}

// problemf is problem with a format.
func (l *loader) problemf(key, format string, args ...any) {
	l.problem(key, fmt.Sprintf(format, args...))
}

// LoadFile reads a file over the defaults, without environment and validation; it
// serves commands that show or convert a configuration. An empty name gives the defaults.
func LoadFile(name string) (*Config, error) { return loadFile(name, false) }

// LoadFileBare reads a file without defaults: what is not in the file is zero.
func LoadFileBare(name string) (*Config, error) { return loadFile(name, true) }

func loadFile(name string, bare bool) (*Config, error) {
	l := newLoader()
	if l.bare = bare; bare {
		l.cfg = new(Config)
	}
	if name == "" {
		return l.cfg, nil
	}
	doc, err := readDocument(name)
	if err != nil {
		return nil, err
	}
	l.setDocument(name, doc)
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	return l.cfg, nil
}
