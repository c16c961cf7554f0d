package apigrpc

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"centrifugo/server/internal/api"
)

// maxDepth bounds how deep messages nest. Only filters nest in themselves.
const maxDepth = 64

var (
	errMalformed = errors.New("malformed message")
	errTooDeep   = errors.New("messages nest too deep")
	errUTF8      = errors.New("text is not UTF-8")
)

// decoder decodes one request. What it decodes does not refer to the bytes that it reads.
type decoder struct {
	depth int
	// messages counts the messages of lists: an empty one takes two bytes and more than
	// a hundred in memory.
	messages int
}

// consumeTag is protowire.ConsumeTag with the bound on numbers that the runtime has.
func consumeTag(b []byte) (number protowire.Number, wire protowire.Type, n int) {
	number, wire, n = protowire.ConsumeTag(b)
	if number > protowire.MaxValidNumber {
		return 0, 0, -1
	}
	return number, wire, n
}

// message decodes b into v, a struct. Fields that the struct does not have are ignored.
func (d *decoder) message(s *structure, b []byte, v reflect.Value) error {
	if d.depth++; d.depth > maxDepth {
		return errTooDeep
	}
	defer func() { d.depth-- }()
	for len(b) > 0 {
		number, wire, n := consumeTag(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		f := s.byNumber[number]
		if f == nil {
			if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
				return errMalformed
			}
			b = b[n:]
			continue
		}
		var err error
		if b, err = d.field(f, wire, b, v.FieldByIndex(f.index)); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// field decodes the value of a field and returns what follows it.
func (d *decoder) field(f *field, wire protowire.Type, b []byte, v reflect.Value) ([]byte, error) {
	switch f.kind {
	case kindBool, kindUint, kindInt:
		if wire != protowire.VarintType {
			return nil, errMalformed
		}
		number, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, errMalformed
		}
		setNumber(f.kind, v, number)
		return b[n:], nil
	case kindDouble:
		if wire != protowire.Fixed64Type {
			return nil, errMalformed
		}
		bits, n := protowire.ConsumeFixed64(b)
		if n < 0 {
			return nil, errMalformed
		}
		v.SetFloat(math.Float64frombits(bits))
		return b[n:], nil
	}
	if wire != protowire.BytesType {
		return nil, errMalformed
	}
	value, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return nil, errMalformed
	}
	return b[n:], d.bytes(f, value, v)
}

// setNumber truncates a number to the bits of the field, as the encoding demands.
func setNumber(kind fieldKind, v reflect.Value, number uint64) {
	switch {
	case kind == kindBool:
		v.SetBool(number != 0)
	case kind == kindUint && v.Kind() == reflect.Uint32:
		v.SetUint(uint64(uint32(number))) //nolint:gosec // truncation is meant
	case kind == kindUint:
		v.SetUint(number)
	case v.Kind() == reflect.Int32:
		v.SetInt(int64(int32(number))) //nolint:gosec // truncation is meant
	default:
		v.SetInt(int64(number)) //nolint:gosec // two's complement
	}
}

// bytes decodes a field that has a length.
func (d *decoder) bytes(f *field, value []byte, v reflect.Value) error {
	switch f.kind {
	case kindString:
		text, err := textOf(value)
		v.SetString(text)
		return err
	case kindStrings:
		text, err := textOf(value)
		v.Set(reflect.Append(v, reflect.ValueOf(text)))
		return err
	case kindBytes:
		v.SetBytes(append(make([]byte, 0, len(value)), value...))
		return nil
	case kindMessage:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.message(f.child, value, v.Elem())
	case kindMessages:
		if err := d.count(); err != nil {
			return err
		}
		v.Grow(1)
		v.SetLen(v.Len() + 1)
		last := v.Index(v.Len() - 1)
		last.SetZero()
		return d.message(f.child, value, last)
	case kindMap:
		return d.entry(value, v)
	case kindCommands:
		if err := d.count(); err != nil {
			return err
		}
		command, err := d.command(value)
		commands := v.Addr().Interface().(*api.Commands) //nolint:forcetypeassert // the kind says so
		*commands = append(*commands, command)
		return err
	}
	return fmt.Errorf("requests have no field of kind %d", f.kind)
}

func (d *decoder) count() error {
	if d.messages++; d.messages > api.MaxCommands {
		return api.ErrTooManyCommands
	}
	return nil
}

func textOf(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", errUTF8
	}
	return string(b), nil
}

// entry decodes one entry of a map of strings.
func (d *decoder) entry(b []byte, v reflect.Value) error {
	var pair struct{ key, value string }
	for len(b) > 0 {
		number, wire, n := consumeTag(b)
		if n < 0 || wire != protowire.BytesType {
			return errMalformed
		}
		value, m := protowire.ConsumeBytes(b[n:])
		if m < 0 {
			return errMalformed
		}
		b = b[n+m:]
		text, err := textOf(value)
		if err != nil {
			return err
		}
		switch number {
		case 1:
			pair.key = text
		case 2:
			pair.value = text
		}
	}
	entries := v.Addr().Interface().(*map[string]string) //nolint:forcetypeassert // maps in requests are of strings
	if *entries == nil {
		*entries = make(map[string]string)
	}
	(*entries)[pair.key] = pair.value
	return nil
}

// command decodes a command of a batch or stream. Of several requests in it the first
// in the order of the methods counts, as in JSON.
func (d *decoder) command(b []byte) (*api.Command, error) {
	forms := commandForms()
	command, chosen := new(api.Command), math.MaxInt
	for len(b) > 0 {
		number, wire, n := consumeTag(b)
		if n < 0 {
			return nil, errMalformed
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
			return nil, errMalformed
		}
		form, known := forms[number]
		if known && wire == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(b)
			request := form.method.NewRequest()
			if err := d.message(form.request, value, reflect.ValueOf(request).Elem()); err != nil {
				return nil, fmt.Errorf("%s: %w", form.method.Name, err)
			}
			if form.order < chosen {
				command.Method, command.Request, chosen = form.method, request, form.order
			}
		}
		b = b[n:]
	}
	return command, nil
}
