package config

import (
	"reflect"
	"regexp"
	"strings"
)

// Value is a key of a configuration that is in force.
type Value struct {
	Key string `json:"key"` // dotted; items of lists show their names
	// Value is the value as text, without credentials. Of a secret it is only "set".
	Value string `json:"value"`
	// Source is default, file, environment, flag, or server: development mode and the
	// insecure modes change values that were not set.
	Source string `json:"source"`
	Secret bool   `json:"secret,omitempty"`
	// NoEffect is why the key changes nothing, or nothing.
	NoEffect string `json:"no_effect,omitempty"`
}

// fromServer is the source of a value that was not set and that is not the default.
const fromServer = "server"

var sourceNames = map[Source]string{FromDefault: "default", FromFile: "file", FromEnviron: "environment", FromFlag: "flag"}

// maxShown bounds a value that is shown, in bytes.
const maxShown = 1000

// Values returns the keys of a configuration that Load has returned, in the order of
// declaration. The values hold no secrets, so they can be shown.
func (c *Config) Values() []Value {
	var values []Value
	visit(reflect.ValueOf(c).Elem(), "", func(path string, f field, v reflect.Value) {
		value := Value{Key: path, Value: formatText(v), Secret: secret(f), NoEffect: withoutEffect[generalPath(path)]}
		if feature := unbuiltFeature(path); feature != "" {
			value.NoEffect = feature + ": not in this version yet"
		}
		source, known := c.sources[path]
		switch {
		case known:
			value.Source = sourceNames[source]
		case value.Value == formatDefault(f) || f.key == "handler_prefix" && value.Value == "/":
			value.Source = sourceNames[FromDefault]
		default:
			value.Source = fromServer
		}
		switch {
		case value.Secret && !v.IsZero():
			value.Value = "set"
		case !value.Secret:
			value.Value = withoutCredentials(value.Value)
		}
		values = append(values, value)
	})
	return values
}

// secretKey matches the last parts of keys whose values are secrets, or may contain them.
var secretKey = regexp.MustCompile(`password|secret|credential|dsn$|connection_string|^key$|_key$|key_pem|^token$|^static_|^client_id$`)

// secret reports whether a value must not be shown. Public keys are none, but a rule that
// is simple hides them too.
func secret(f field) bool {
	switch f.typ.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int64:
		return false
	default:
		return secretKey.MatchString(f.key)
	}
}

var (
	userInfo     = regexp.MustCompile(`://[^/@\s]*@`)
	secretOption = regexp.MustCompile(`(?i)([?&][^=&\s]*(?:key|token|secret|pass|sig)[^=&\s]*=)[^&\s]*`)
)

// withoutCredentials removes passwords and the like from the URLs of a text.
func withoutCredentials(text string) string {
	text = userInfo.ReplaceAllString(text, "://***@")
	text = secretOption.ReplaceAllString(text, "$1***")
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	return text
}
