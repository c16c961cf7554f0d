package jsonscan

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
)

// FuzzReaderStr compares strings with encoding/json.
func FuzzReaderStr(f *testing.F) {
	for _, value := range []string{
		`null`, `""`, `"`, `"a`, `"\""`, `"\\"`, `"\u00e9"`, `"\u00g9"`, `"\u00e"`, `"é"`, "\"\xff\"", "\"\x1f\"", `"12345678"`, `"1234567\"8"`,
		`"\ud83d\ude00\ud800\ud800\udc00\u0041"`, ` "a" `, `"a" "b"`, `1`, `["a"]`,
	} {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var want string
		wantErr := json.Unmarshal(b, &want)
		r := NewReader(b, MaxDepth, 0)
		got := r.Str()
		err := r.Finish()
		if (err == nil) != (wantErr == nil) || err == nil && got != want {
			t.Fatalf("Str of %q = %q, %v; want %q, %v", b, got, err, want, wantErr)
		}
	})
}

// FuzzReader reads an object of each type of value and compares it with
// encoding/json, for keys in any letter case and unknown keys.
func FuzzReader(f *testing.F) {
	for _, body := range []string{
		`{"s":"a","n":18446744073709551615,"i":-9223372036854775808,"b":true,"l":["x",null],"m":{"k":"v","k":"w"},"r":{"a":[1]}}`, `null`, `{}`,
		`{"S":"a","N":1,"x":[{}],"R":null}`, `{"n":1.5}`, `{"n":01}`, `{"i":-0}`, `{"b":tru}`, `{"l":[]}`, `{"m":{}}`, `{"l":["a",]}`, `{"s":"a"}}`, `{"":""}`,
	} {
		f.Add([]byte(body))
	}
	type object struct {
		S string
		N uint64
		I int64
		B bool
		L []string
		M map[string]string
		R json.RawMessage
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got object
		seen := ""
		r := NewReader(b, MaxDepth, math.MaxInt)
		for ok := r.Object(); ok && r.Field(); {
			switch key := string(r.Key); key {
			case "s":
				got.S = r.Str()
			case "n":
				got.N = r.Uint(math.MaxUint64)
			case "i":
				got.I = r.Int(math.MaxInt64)
			case "b":
				got.B = r.Bool()
			case "l":
				got.L = r.Strs()
			case "m":
				got.M = r.StrMap()
			case "r":
				got.R = r.Raw()
			default:
				r.Unknown()
				continue
			}
			if strings.Contains(seen, string(r.Key)) {
				return // encoding/json merges the values of a key that comes twice
			}
			seen += string(r.Key)
		}
		err := r.Finish()
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("Finish of %q = %v; want an error that wraps ErrMalformed", b, err)
		}
		var want object
		wantErr := json.Unmarshal(b, &want)
		if err == nil && wantErr != nil {
			t.Fatalf("the reader accepts %q; want %v", b, wantErr)
		}
		if err != nil {
			return // invalid UTF-8 in r, or nested too deep
		}
		if got.S != want.S || got.N != want.N || got.I != want.I || got.B != want.B || len(got.L) != len(want.L) || len(got.M) != len(want.M) ||
			string(got.R) != string(want.R) {
			t.Fatalf("%q was read as %+v; want %+v", b, got, want)
		}
	})
}

// TestReaderStops checks that a reader returns zero values after an error and
// keeps the first one.
func TestReaderStops(t *testing.T) {
	r := NewReader([]byte(`{"a":x,"b":"c"}`), MaxDepth, 10)
	if !r.Object() || !r.Field() || string(r.Key) != "a" {
		t.Fatalf("the first key is %q; want a", r.Key)
	}
	if got := r.Str(); got != "" || !errors.Is(r.Err(), ErrMalformed) {
		t.Errorf("Str() = %q, error %v; want an error", got, r.Err())
	}
	r.Fail(ErrDepth)
	if r.Field() || r.Str() != "" || errors.Is(r.Finish(), ErrDepth) {
		t.Errorf("the reader went on after %v; want it to stop", r.Err())
	}
}

// TestReaderLimits checks the bounds of depth and elements.
func TestReaderLimits(t *testing.T) {
	for input, want := range map[string]error{
		`["a","b"]`:      nil,
		`["a","b","c"]`:  ErrElements,
		`[["a"]]`:        ErrMalformed,
		`{"a":"b"}`:      ErrMalformed,
		`["a","b"] true`: ErrMalformed,
	} {
		r := NewReader([]byte(input), 1, 2)
		r.Strs()
		if err := r.Finish(); !errors.Is(err, want) {
			t.Errorf("reading %s = %v; want %v", input, err, want)
		}
	}
	r := NewReader([]byte(`[[1]]`), 1, 2)
	for ok := r.Array(); ok && r.Element(); {
		r.Raw()
	}
	if err := r.Finish(); err != nil {
		t.Errorf("reading a value of depth 1 = %v; want no error", err)
	}
	r = NewReader([]byte(`[[[1]]]`), 1, 2)
	for ok := r.Array(); ok && r.Element(); {
		r.Raw()
	}
	if err := r.Finish(); !errors.Is(err, ErrDepth) {
		t.Errorf("reading a value of depth 2 = %v; want %v", err, ErrDepth)
	}
}
