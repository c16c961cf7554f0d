// Package override holds the options of a namespace that are replaced for one
// subscription. Calls of the API, tokens and answers of proxies contain them in one form.
// The names of its types are those of the API.
package override

// SubscribeOverride replaces the options of the namespace that it contains.
type SubscribeOverride struct {
	Presence           *BoolValue `json:"presence"`
	JoinLeave          *BoolValue `json:"join_leave"`
	ForceRecovery      *BoolValue `json:"force_recovery"`
	ForcePositioning   *BoolValue `json:"force_positioning"`
	ForcePushJoinLeave *BoolValue `json:"force_push_join_leave"`
}

// BoolValue is a boolean that may be absent.
type BoolValue struct {
	Value bool `json:"value"`
}

// Or returns the value, or option if v is nil.
func (v *BoolValue) Or(option bool) bool {
	if v != nil {
		return v.Value
	}
	return option
}
