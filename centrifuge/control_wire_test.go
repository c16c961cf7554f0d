package centrifuge

import (
	"reflect"
	"testing"

	"centrifugo/centrifuge/internal/clusterwire"
)

// TestControlWire checks that every field of what acts on connections survives the
// wire: a field that is added to the library must be added there as well.
func TestControlWire(t *testing.T) {
	for _, op := range []clusterwire.Op{clusterwire.OpSubscribe, clusterwire.OpUnsubscribe, clusterwire.OpDisconnect, clusterwire.OpRefresh} {
		var target Target
		fill(t, reflect.ValueOf(&target).Elem())
		a := &clientAction{op: op, target: target}
		switch op {
		case clusterwire.OpSubscribe:
			a.channel = "c"
			fill(t, reflect.ValueOf(&a.subscribe).Elem())
		case clusterwire.OpUnsubscribe:
			a.channel = "c"
			fill(t, reflect.ValueOf(&a.unsubscribe).Elem())
		case clusterwire.OpDisconnect:
			fill(t, reflect.ValueOf(&a.disconnect).Elem())
		case clusterwire.OpRefresh:
			fill(t, reflect.ValueOf(&a.refresh).Elem())
		}
		m := a.wire()
		m.From = "n"
		b, err := clusterwire.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := clusterwire.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := controlAction(decoded); !reflect.DeepEqual(got, a) {
			t.Errorf("%s arrives as %+v; want %+v", op, got, a)
		}
	}
	var info NodeInfo
	fill(t, reflect.ValueOf(&info).Elem())
	info.Uptime = 3e9
	if got := nodeInfo(info.ID, wireInfo(info)); !reflect.DeepEqual(got, info) {
		t.Errorf("info arrives as %+v; want %+v", got, info)
	}
}

// fill sets every field of v to something that is not zero.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*FilterNode]() {
			v.Set(reflect.ValueOf(&FilterNode{Op: "and", Key: "k", Cmp: "in", Val: "v", Vals: []string{"a"}, Nodes: []*FilterNode{{Key: "x"}}}))
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]float64{"m": 1}))
	default:
		t.Fatalf("%s: what is not zero of a %s?", v.Type(), v.Kind())
	}
}
