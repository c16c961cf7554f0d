package override

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestSubscribeOverride(t *testing.T) {
	yes, no := &BoolValue{Value: true}, &BoolValue{}
	for _, tt := range []struct {
		text string
		want SubscribeOverride
	}{
		{`{}`, SubscribeOverride{}},
		{`{"presence":null,"unknown":1}`, SubscribeOverride{}},
		{`{"presence":{"value":true}}`, SubscribeOverride{Presence: yes}},
		{`{"join_leave":{"value":true}}`, SubscribeOverride{JoinLeave: yes}},
		{`{"force_recovery":{"value":true}}`, SubscribeOverride{ForceRecovery: yes}},
		{`{"force_positioning":{"value":false}}`, SubscribeOverride{ForcePositioning: no}},
		{`{"force_push_join_leave":{}}`, SubscribeOverride{ForcePushJoinLeave: no}},
	} {
		var got SubscribeOverride
		if err := json.Unmarshal([]byte(tt.text), &got); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v; want %+v", tt.text, got, err, tt.want)
		}
	}
}

func TestOr(t *testing.T) {
	for _, tt := range []struct {
		v            *BoolValue
		option, want bool
	}{
		{nil, true, true},
		{nil, false, false},
		{&BoolValue{Value: true}, false, true},
		{&BoolValue{Value: false}, true, false},
	} {
		if got := tt.v.Or(tt.option); got != tt.want {
			t.Errorf("%+v.Or(%t) = %t; want %t", tt.v, tt.option, got, tt.want)
		}
	}
}
