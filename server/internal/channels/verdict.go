package channels

// Outcome is the answer to whether something is allowed.
type Outcome uint8

// The outcomes. The zero value refuses.
const (
	Denied         Outcome = iota // error 103
	Allowed                       // by Verdict.Source
	CheckToken                    // the token that came with the request decides
	AskProxy                      // the proxy Verdict.Proxy decides; error 108 when there is no such proxy
	AskStreamProxy                // the stream of proxy Verdict.Proxy decides or takes the publication; 108 when there is none
	UnknownChannel                // error 102
	BadRequest                    // error 107
	NotAvailable                  // error 108
)

// String returns the name of the outcome, for logs and tests.
func (o Outcome) String() string {
	names := [...]string{"denied", "allowed", "check_token", "ask_proxy", "ask_stream_proxy", "unknown_channel", "bad_request", "not_available"}
	if int(o) < len(names) {
		return names[o]
	}
	return "invalid"
}

// ErrorCode returns the code of the client error that answers a refusal; 0 for
// outcomes that do not refuse.
func (o Outcome) ErrorCode() uint32 {
	switch o {
	case Denied:
		return 103
	case UnknownChannel:
		return 102
	case BadRequest:
		return 107
	case NotAvailable:
		return 108
	}
	return 0
}

// Source is the reason for which a subscription was allowed (server.md 4.6).
type Source uint8

// The sources of subscriptions.
const (
	SourceUnknown           Source = 0
	SourceConnectionToken   Source = 1
	SourceConnectProxy      Source = 2
	SourceSubscriptionToken Source = 3
	SourceSubscribeProxy    Source = 4
	SourceUserLimited       Source = 5
	SourceClientAllowed     Source = 6
	SourceClientInsecure    Source = 7
	SourceUniConnect        Source = 8
	SourceUserPersonal      Source = 9
	SourceServerAPI         Source = 10
	SourceConnectionCap     Source = 11
	SourceExpression        Source = 12
	SourceStreamProxy       Source = 13
)

// Verdict is the answer to a query. Namespace is set unless the channel is unknown.
type Verdict struct {
	Outcome   Outcome
	Source    Source // of an allowed, or to be checked, subscription
	Proxy     string // name of the proxy to ask
	Namespace *Namespace
}
