package main

// A messageRule says what is special about the code of one message.
type messageRule struct {
	// endV1 is the last field that the first generation has.
	endV1 string
	// scratch is an expression for an empty message to decode into, in place of
	// new: scratch memory of the reader.
	scratch string
	// replyScratch is the same in package clientcodec.
	replyScratch string
	// noScratch makes the decoder of the message stop to use scratch memory, because
	// a map in it holds several messages of one type.
	noScratch bool
	// sizeHint is a function that estimates the encoded size of an element of a
	// list, so that Protobuf leaves the right space for its length.
	sizeHint string
	// positionV1 adds the fields seq and gen of the first generation, which make up
	// an offset.
	positionV1 bool
}

var messageRules = map[string]messageRule{
	"ClientInfo":       {replyScratch: "r.scratch.info()"},
	"ConnectRequest":   {noScratch: true},
	"ConnectResult":    {endV1: "subs"},
	"Publication":      {endV1: "tags", replyScratch: "r.scratch.publication()", sizeHint: "publicationSize"},
	"PublishRequest":   {scratch: "r.scratch.publish()"},
	"RPCRequest":       {scratch: "r.scratch.rpc()"},
	"SendRequest":      {scratch: "r.scratch.send()"},
	"SubscribeRequest": {scratch: "r.scratch.subscribe()", positionV1: true},
	"SubscribeResult":  {endV1: "data"},
}

// A fieldRule is a set of what is special about the code of one field.
type fieldRule uint8

const (
	always      fieldRule = 1 << iota // JSON has the field even if it is zero
	alwaysV1                          // the same in the first generation only
	notJSON                           // JSON does not have the field
	notProtobuf                       // Protobuf does not have the field
	internal                          // written between brokers only, over Protobuf
	text                              // bytes that are a string in JSON, not a value
	ranged                            // m.Range, if set, is written in place of the field
)

var fieldRules = map[string]fieldRule{
	"ClientInfo.client":               always,
	"ClientInfo.user":                 always,
	"ConnectResult.client":            alwaysV1,
	"ConnectResult.version":           alwaysV1,
	"Dictionary.data":                 notJSON,
	"Dictionary.data_b64":             notProtobuf,
	"EmulationRequest.data":           text,
	"Error.code":                      alwaysV1,
	"Error.message":                   alwaysV1,
	"HistoryResult.epoch":             always,
	"HistoryResult.offset":            always,
	"HistoryResult.publications":      always,
	"Join.info":                       alwaysV1,
	"Leave.info":                      alwaysV1,
	"Message.data":                    alwaysV1,
	"PresenceResult.presence":         always,
	"PresenceStatsResult.num_clients": always,
	"PresenceStatsResult.num_users":   always,
	"Publication.data":                alwaysV1,
	"Publication.exclude_client":      internal,
	"Publication.prev_data":           internal,
	"Publication.use_delta":           internal,
	"RefreshResult.client":            alwaysV1,
	"RefreshResult.version":           alwaysV1,
	"SubscribeResult.publications":    ranged,
}

// goWords are the words of field names that Go writes in capitals.
var goWords = map[string]string{"id": "ID", "rpc": "RPC", "ttl": "TTL"}
