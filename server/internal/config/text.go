package config

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Errors of a value never repeat the value: it may be a secret put under the wrong key.
var (
	errWantBool     = errors.New("want true or false")
	errWantInt      = errors.New("want a whole number")
	errRange        = errors.New("number out of range")
	errWantDuration = errors.New(`want a duration with a unit, such as "25s", "100ms" or "1h30m"`)
)

// setText sets a value from text: an environment variable, a flag or a default
// (server.md 6.2). Lists of sections are not handled here.
func setText(v reflect.Value, text string) error {
	switch v.Type() {
	case durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return errWantDuration
		}
		v.SetInt(int64(d))
		return nil
	case stringListType:
		v.Set(reflect.ValueOf(splitList(text, true)))
		return nil
	case stringMapType:
		tree, err := parseJSON([]byte(text))
		if err != nil {
			return err
		}
		m, _, err := stringMap(tree, false)
		if err != nil {
			return err
		}
		v.Set(reflect.ValueOf(m))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errWantBool
		}
		v.SetBool(b)
	default:
		return setInt(v, text)
	}
	return nil
}

// setInt sets an int, int64 or uint32 from decimal text.
func setInt(v reflect.Value, text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return errRange
	case err != nil:
		return errWantInt
	}
	if v.CanUint() {
		if n < 0 || v.OverflowUint(uint64(n)) {
			return errRange
		}
		v.SetUint(uint64(n))
		return nil
	}
	if v.OverflowInt(n) {
		return errRange
	}
	v.SetInt(n)
	return nil
}

// formatText is the inverse of setText for values that are not lists of sections.
func formatText(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return formatDuration(x)
	case []string:
		return strings.Join(x, " ")
	case map[string]string:
		if len(x) == 0 {
			return ""
		}
		return string(compactJSON(x))
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Uint32:
		return strconv.FormatUint(v.Uint(), 10)
	}
	return strconv.FormatInt(v.Int(), 10)
}

// formatDuration writes a duration without the zero units that
// time.Duration.String adds: 720h, not 720h0m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
