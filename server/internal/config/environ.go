package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"regexp"
	"strings"

	"github.com/joho/godotenv"
)

// maxDotEnv bounds a .env file, in bytes.
const maxDotEnv = 1 << 20

// varPrefix starts the variables that `${CENTRIFUGO_VAR_NAME}` in string maps refers to.
const varPrefix = envPrefix + "_VAR_"

var (
	// Kubernetes injects such variables for a service named centrifugo (server.md 6.1).
	injectedName  = regexp.MustCompile(`^CENTRIFUGO(_[A-Z0-9_]+)?_(PORT|SERVICE_)`)
	injectedValue = regexp.MustCompile(`^(tcp|udp|sctp)://`)
	varReference  = regexp.MustCompile(`\$\{(` + varPrefix + `[A-Za-z0-9_]+)\}`)
)

// readEnviron collects the variables of the process and of the .env file, of
// which those of the process win.
func (l *loader) readEnviron(environ []string, dotEnv string) {
	l.environ = map[string]string{}
	if dotEnv != "" {
		raw, err := readBounded(dotEnv, maxDotEnv)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			l.problem(dotEnv, "reading: "+err.Error())
		default:
			vars, err := godotenv.Parse(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\ufeff"))))
			if err != nil {
				// The parser's error quotes the line, which may hold a secret.
				l.problem(dotEnv, "not of the form NAME=value")
			}
			for k, v := range vars {
				l.environ[k] = v
			}
		}
	}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			l.environ[name] = value
		}
	}
}

// setEnviron sets a section from variables below prefix. Every name that would
// have been looked at is remembered in l.known.
func (l *loader) setEnviron(v reflect.Value, path, prefix string) {
	for _, f := range fieldsOf(v.Type()) {
		fv, fpath, name := v.FieldByIndex(f.index), join(path, f.key), envName(prefix, f.key)
		if f.isSection() {
			l.setEnviron(fv, fpath, name)
			continue
		}
		l.known[name] = fpath
		text := l.environ[name] // an empty variable counts as unset, server.md 6.2
		switch {
		case f.named:
			l.setNamedList(fv, fpath, name, text)
		case text == "":
		case strings.HasSuffix(name, "_PORT") && injectedValue.MatchString(text):
			l.warn(Warning{Kind: InjectedEnv, Key: name, Message: "looks injected by Kubernetes and is ignored"})
		case f.isList():
			l.setListText(fv, fpath, name, text)
		default:
			if err := f.setText(fv, text); err != nil {
				l.problem(name, err.Error())
				continue
			}
			l.sources[fpath] = FromEnviron
		}
	}
}

func (l *loader) setListText(v reflect.Value, path, name, text string) {
	tree, err := parseJSON([]byte(text))
	if err != nil {
		l.problem(name, err.Error())
		return
	}
	inList := func(key string, _ Source) bool { return strings.HasPrefix(key, path+"[") }
	maps.DeleteFunc(l.sources, inList) // the list replaces that of the file
	l.setList(v, path, tree)
	for key, source := range l.sources {
		if inList(key, source) { // setList takes the values for those of a file
			l.sources[key] = FromEnviron
		}
	}
}

// setNamedList handles the two forms of server.md 6.2: JSON replaces the
// list, names separated by spaces are added to it; then the variables of each
// item override what it has.
func (l *loader) setNamedList(v reflect.Value, path, name, text string) {
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "[") {
		l.setListText(v, path, name, text)
	} else {
		for _, item := range strings.Fields(text) {
			if l.addNamed(v, item) {
				l.sources[join(itemPath(path, v.Len()-1, item), "name")] = FromEnviron
			}
		}
	}
	for i := range v.Len() {
		item := v.Index(i)
		if itemName(item) == "" {
			continue // reported by the validation
		}
		prefix := envName(name, itemName(item))
		saved := itemName(item)
		l.setEnviron(item, itemPath(path, i, saved), prefix)
		item.FieldByName("Name").SetString(saved) // the name is what finds the variables, it is not one of them
	}
}

// addNamed appends an item with defaults, unless one of that name is there.
func (l *loader) addNamed(v reflect.Value, name string) (added bool) {
	for i := range v.Len() {
		if itemName(v.Index(i)) == name {
			return false
		}
	}
	item := reflect.New(v.Type().Elem()).Elem()
	setDefaults(item)
	item.FieldByName("Name").SetString(name)
	v.Set(reflect.Append(v, item))
	return true
}

// warnUnknownEnviron names variables with the prefix of the server that mean
// nothing; those of a former version are problems.
func (l *loader) warnUnknownEnviron() {
	for _, name := range sortedKeys(l.environ) {
		_, known := l.known[name]
		switch {
		case known || !strings.HasPrefix(name, envPrefix+"_") || strings.HasPrefix(name, varPrefix) || l.environ[name] == "":
		case l.formerEnviron(name), injectedName.MatchString(name):
		case isCommercialEnviron(name):
			l.warn(Warning{Kind: NotBuilt, Key: name, Message: commercialMessage})
		default:
			l.warn(Warning{Kind: UnknownEnv, Key: name, Message: "unknown environment variable" + nearestVariable(name, sortedKeys(l.known))})
		}
	}
}

// nearestVariable returns a hint for an unknown variable, or nothing. The prefix
// that all of them share does not make two alike.
func nearestVariable(name string, known []string) string {
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = strings.TrimPrefix(k, envPrefix+"_")
	}
	if near := closest(strings.TrimPrefix(name, envPrefix+"_"), names); near != "" {
		return ", did you mean " + envPrefix + "_" + near + "?"
	}
	return ""
}

// expandVars replaces `${CENTRIFUGO_VAR_NAME}` in the values of string maps.
func (l *loader) expandVars() {
	visit(reflect.ValueOf(l.cfg).Elem(), "", func(path string, f field, v reflect.Value) {
		if f.typ != stringMapType {
			return
		}
		m := v.Interface().(map[string]string)
		for key, value := range m {
			m[key] = varReference.ReplaceAllStringFunc(value, func(ref string) string {
				name := varReference.FindStringSubmatch(ref)[1]
				secret, ok := l.environ[name]
				if !ok {
					l.problem(path, fmt.Sprintf("environment variable %s, which the value of %q refers to, is not set", name, key))
				}
				return secret
			})
		}
	})
}
