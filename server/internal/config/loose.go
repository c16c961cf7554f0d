package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// looseForm warns of a value that is not in the form of its key. strict must not
// show a value that may be secret.
func (l *loader) looseForm(key, strict string) {
	l.warn(Warning{Kind: LooseForm, Key: key, Message: "accepted, but the strict form is " + strict})
}

// normalise brings values into the form in which they are compared, whatever source they are from.
func (l *loader) normalise() {
	level := strings.ToLower(l.cfg.Log.Level)
	if level == "warning" {
		level = "warn"
	}
	if level != l.cfg.Log.Level {
		l.cfg.Log.Level = level
		if slices.Contains(logLevels, level) {
			l.looseForm("log.level", strconv.Quote(level))
		}
	}
}

// setRaw sets one value from what the parser of a file made of it. Besides the
// type of the key it takes what means the same in Centrifugo v6, and returns the
// strict form of it. Nothing is taken whose meaning is doubtful, such as `yes` for a boolean.
func (f field) setRaw(v reflect.Value, raw any) (strict string, err error) {
	switch f.typ {
	case durationType:
		return setRawDuration(v, raw)
	case stringListType:
		return f.setRawList(v, raw)
	case stringMapType:
		m, loose, err := stringMap(raw, true)
		if err == nil {
			v.Set(reflect.ValueOf(m))
		}
		if loose {
			strict = "strings in quotes"
		}
		return strict, err
	}
	switch v.Kind() {
	case reflect.String:
		text, loose, ok := rawText(raw)
		if !ok {
			return "", errors.New("want a string")
		}
		v.SetString(text)
		if loose {
			strict = f.quoted(text)
		}
		return strict, nil
	case reflect.Bool:
		return setRawBool(v, raw)
	default:
		return f.setRawInt(v, raw)
	}
}

// quoted returns the strict form of text that looks like a number. Only a name is
// shown: anything else may be a secret.
func (f field) quoted(text string) string {
	if f.key == "name" || strings.HasSuffix(f.key, "_name") {
		return strconv.Quote(text)
	}
	return "the same in quotes"
}

// rawText returns the text of a string or number as it was written; loose says that it was a number.
func rawText(raw any) (text string, loose, ok bool) {
	switch x := raw.(type) {
	case string:
		return x, false, true
	case json.Number:
		return x.String(), true, true
	case yamlNumber:
		return x.text, true, true
	case int64:
		return strconv.FormatInt(x, 10), true, true
	}
	return "", false, false
}

func setRawBool(v reflect.Value, raw any) (string, error) {
	if b, ok := raw.(bool); ok {
		v.SetBool(b)
		return "", nil
	}
	text, _, ok := rawText(raw)
	switch {
	case !ok:
		return "", errWantBool
	case text == "":
		v.SetBool(false)
	default:
		if err := setText(v, text); err != nil {
			return "", err
		}
	}
	return strconv.FormatBool(v.Bool()), nil
}

func (f field) setRawInt(v reflect.Value, raw any) (string, error) {
	text, loose := "", false
	switch x := raw.(type) {
	case json.Number:
		text = x.String()
		if strings.ContainsAny(text, ".eE") {
			whole, err := wholeFloat(text)
			if err != nil {
				return "", err
			}
			text, loose = whole, true
		}
	case yamlNumber:
		text, loose = x.decimal, true // empty is no number below
		if text == "" {
			return "", errWantInt
		}
	case int64:
		text = strconv.FormatInt(x, 10)
	case float64:
		whole, err := wholeFloat(strconv.FormatFloat(x, 'g', -1, 64))
		if err != nil {
			return "", err
		}
		text, loose = whole, true
	case string:
		if text, loose = x, !f.text; text == "" {
			text = "0"
		}
	default:
		return "", errWantInt
	}
	if err := setInt(v, text); err != nil || !loose {
		return "", err
	}
	return formatText(v), nil
}

// wholeFloat returns the decimal text of a number with a point or an exponent that is whole.
func wholeFloat(text string) (string, error) {
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case math.IsNaN(n), math.IsInf(n, 0) && err == nil, n != math.Trunc(n):
		return "", errWantInt
	case math.Abs(n) >= 1<<53: // neighbours of such a number are not told apart
		return "", errRange
	}
	return strconv.FormatInt(int64(n), 10), nil
}

func setRawDuration(v reflect.Value, raw any) (string, error) {
	switch x := raw.(type) {
	case string:
		if x == "" {
			v.SetInt(0)
			return `"0s"`, nil
		}
		return "", setText(v, x)
	case json.Number: // a bare number means nanoseconds, server.md 6.2
		if err := setInt(v, x.String()); !errors.Is(err, errWantInt) {
			return "", err
		}
	case int64:
		return "", setInt(v, strconv.FormatInt(x, 10))
	}
	return "", errWantDuration
}

func (f field) setRawList(v reflect.Value, raw any) (string, error) {
	items, isList := raw.([]any)
	list := make([]string, 0, len(items))
	loose := !isList
	if text, isText := raw.(string); isText {
		list = splitList(text, !f.words)
	} else if !isList {
		items = []any{raw}
	}
	for _, item := range items {
		text, number, ok := rawText(item)
		if !ok {
			return "", errors.New("want an array of strings")
		}
		list = append(list, text)
		loose = loose || number
	}
	v.Set(reflect.ValueOf(list))
	switch {
	case !loose:
		return "", nil
	case f.key == "allowed_origins": // not secret, other lists may be
		return string(compactJSON(list)), nil
	}
	return "an array of strings in quotes", nil
}

// setText sets the value of a key from the text of a variable or flag.
func (f field) setText(v reflect.Value, text string) error {
	switch {
	case f.typ == stringListType:
		v.Set(reflect.ValueOf(splitList(text, !f.words)))
		return nil
	case f.text && text == "":
		v.SetZero()
		return nil
	}
	return setText(v, text)
}

// splitList splits text into the items of a list. They are separated by spaces
// or, where an item cannot hold one, by commas outside of brackets and braces;
// or the text is a JSON array of strings.
func splitList(text string, commas bool) []string {
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "[") {
		var list []string
		if json.Unmarshal([]byte(text), &list) == nil {
			return list
		}
	}
	depth := 0
	return strings.FieldsFunc(text, func(r rune) bool {
		switch r {
		case '{', '[':
			depth++
		case '}', ']':
			depth = max(depth-1, 0)
		case ',':
			return commas && depth == 0
		case ' ', '\t', '\n', '\r', '\v', '\f':
			return true
		}
		return false
	})
}

// stringMap accepts an object, or a list of {"key", "value"} objects. Keys of an
// object in a file are lower-cased; the list form keeps their case (server.md
// 6.2). loose says that a value was a number.
func stringMap(raw any, lower bool) (out map[string]string, loose bool, err error) {
	out = map[string]string{}
	add := func(k string, value any) error {
		text, number, ok := rawText(value)
		if !ok {
			return errWantMap
		}
		if _, twice := out[k]; twice {
			return fmt.Errorf("key %q given twice", k)
		}
		out[k], loose = text, loose || number
		return nil
	}
	switch x := raw.(type) {
	case map[string]any:
		for _, k := range sortedKeys(x) {
			key := k
			if lower {
				key = strings.ToLower(k)
			}
			if err := add(key, x[k]); err != nil {
				return nil, false, err
			}
		}
	case []any:
		for _, item := range x {
			pair, _ := item.(map[string]any)
			k, ok := pair["key"].(string)
			if !ok || len(pair) != 2 {
				return nil, false, errWantMap
			}
			if err := add(k, pair["value"]); err != nil {
				return nil, false, err
			}
		}
	default:
		return nil, false, errWantMap
	}
	return out, loose, nil
}

var errWantMap = errors.New(`want an object of strings, or an array of {"key": "...", "value": "..."}`)
