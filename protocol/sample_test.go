package protocol_test

import (
	"fmt"
	"reflect"
	"strings"

	. "centrifugo/protocol"
)

// Samples of every message are made by reflection, so that they include new fields.
// A sample has all fields set, each to another value, or none.

// A filler numbers the values it sets.
type filler struct{ n int }

// fill sets all fields of v, which messages of its own kind contain up to
// three deep. Lists have two elements and maps one entry.
func (f *filler) fill(v reflect.Value, depth int) {
	f.n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), depth)
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Field(i)
			if field.Kind() == reflect.Slice && field.Type().Elem() == reflect.PointerTo(v.Type()) && depth >= 3 {
				continue // a filter node in a filter node
			}
			if field.Type() == reflect.TypeFor[*EncodedRange]() {
				continue // another form of a list
			}
			n := f.n
			f.fill(field, depth+1)
			if name := v.Type().Field(i).Name; name == "ExcludeClient" || name == "UseDelta" {
				f.n = n // they are not sent: the numbers of the others stay as in the golden files
			}
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[Raw]() {
			v.SetBytes(fmt.Appendf(nil, `{"raw":[%d]}`, f.n))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(v.Index(0), depth)
		f.fill(v.Index(1), depth)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(key, depth)
		f.fill(value, depth)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(fmt.Sprintf("text <%d> é\n", f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(f.n) * 1000)
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.n) * -1000)
	default:
		panic("no sample of " + v.Type().String())
	}
}

// A sample is a message in its envelope.
type sample[T any] struct {
	name    string
	message *T
}

// samples returns one envelope for each pointer field of T, with the field's
// message full and with it empty. T is Command, Reply or Push.
func samples[T any]() []sample[T] {
	var list []sample[T]
	typ := reflect.TypeFor[T]()
	for i := range typ.NumField() {
		field := typ.Field(i)
		if field.Type.Kind() != reflect.Pointer || field.Name == "Push" {
			continue
		}
		full, empty := new(T), new(T)
		for _, envelope := range []*T{full, empty} {
			if id := reflect.ValueOf(envelope).Elem().FieldByName("ID"); id.Kind() == reflect.Uint32 {
				id.SetUint(7)
			}
		}
		(&filler{n: i * 100}).fill(reflect.ValueOf(full).Elem().Field(i), 0)
		reflect.ValueOf(empty).Elem().Field(i).Set(reflect.New(field.Type.Elem()))
		name := strings.ToLower(field.Name)
		list = append(list, sample[T]{name + " full", full}, sample[T]{name + " empty", empty})
	}
	return list
}

func commandSamples() []sample[Command] { return samples[Command]() }

func replySamples() []sample[Reply] {
	list := samples[Reply]()
	for _, s := range pushSamples() {
		list = append(list, sample[Reply]{"push " + s.name, &Reply{Push: s.message}})
	}
	return append(list, sample[Reply]{"ping", new(Reply)})
}

func pushSamples() []sample[Push] {
	list := samples[Push]()
	for _, s := range list {
		s.message.Channel = "news"
	}
	return append(list, sample[Push]{"numeric channel", &Push{ID: 5, Pub: &Publication{Offset: 1}}})
}

// visit calls edit for every message of type T inside v.
func visit[T any](v reflect.Value, edit func(*T)) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if m, ok := v.Interface().(*T); ok {
			edit(m)
		}
		visit(v.Elem(), edit)
	case reflect.Struct:
		for i := range v.NumField() {
			visit(v.Field(i), edit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			visit(v.Index(i), edit)
		}
	case reflect.Map:
		for iter := v.MapRange(); iter.Next(); {
			visit(iter.Value(), edit)
		}
	}
}

// wireForm removes from a message what f does not carry, in place.
func wireForm(f Format, m any) {
	v := reflect.ValueOf(m)
	visit(v, func(p *Publication) { p.PrevData, p.ExcludeClient, p.UseDelta = nil, "", false })
	visit(v, func(d *Dictionary) {
		if f.Protobuf() {
			d.DataB64 = ""
		} else {
			d.Data = nil
		}
	})
	if !f.V1() {
		return
	}
	visit(v, func(p *Publication) { *p = Publication{Data: p.Data, Info: p.Info, Offset: p.Offset, Tags: p.Tags} })
	visit(v, func(r *ConnectResult) {
		*r = ConnectResult{Client: r.Client, Version: r.Version, Expires: r.Expires, TTL: r.TTL, Data: r.Data, Subs: r.Subs}
	})
	visit(v, func(r *SubscribeResult) {
		*r = SubscribeResult{
			Expires: r.Expires, TTL: r.TTL, Recoverable: r.Recoverable, Epoch: r.Epoch, Publications: r.Publications,
			Recovered: r.Recovered, Offset: r.Offset, Positioned: r.Positioned, Data: r.Data,
		}
	})
	visit(v, func(r *HistoryRequest) { r.LimitAll() })
	if f.Protobuf() {
		return
	}
	// Members that V1 always has in JSON.
	always := func(data *Raw) {
		if len(*data) == 0 {
			*data = Raw("null")
		}
	}
	visit(v, func(p *Publication) { always(&p.Data) })
	visit(v, func(m *Message) { always(&m.Data) })
	visit(v, func(j *Join) { j.Info = OrNew(j.Info) })
	visit(v, func(l *Leave) { l.Info = OrNew(l.Info) })
}
