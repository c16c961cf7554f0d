package proxygrpc

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"centrifugo/proxypb"
	"centrifugo/server/internal/override"
	"centrifugo/server/internal/proxy"
)

// method is a call of the schema.
type method struct {
	name     string
	request  proto.Message // an empty one, as a type
	response proto.Message
}

// methods are the calls of events that are one request and one response.
var methods = map[proxy.Event]method{
	proxy.Connect:    {"Connect", (*proxypb.ConnectRequest)(nil), (*proxypb.ConnectResponse)(nil)},
	proxy.Refresh:    {"Refresh", (*proxypb.RefreshRequest)(nil), (*proxypb.RefreshResponse)(nil)},
	proxy.Subscribe:  {"Subscribe", (*proxypb.SubscribeRequest)(nil), (*proxypb.SubscribeResponse)(nil)},
	proxy.Publish:    {"Publish", (*proxypb.PublishRequest)(nil), (*proxypb.PublishResponse)(nil)},
	proxy.RPC:        {"RPC", (*proxypb.RPCRequest)(nil), (*proxypb.RPCResponse)(nil)},
	proxy.SubRefresh: {"SubRefresh", (*proxypb.SubRefreshRequest)(nil), (*proxypb.SubRefreshResponse)(nil)},
}

const service = "/centrifugal.centrifugo.proxy.CentrifugoProxy/"

// encode returns a request as a message of a type. Fields correspond by their names.
func encode(r *proxy.Request, as proto.Message) proto.Message {
	m := as.ProtoReflect().New()
	fields := m.Descriptor().Fields()
	text := func(name protoreflect.Name, value string) {
		if field := fields.ByName(name); field != nil && value != "" {
			m.Set(field, protoreflect.ValueOfString(value))
		}
	}
	bytes := func(name protoreflect.Name, value []byte) {
		if field := fields.ByName(name); field != nil && len(value) > 0 {
			m.Set(field, protoreflect.ValueOfBytes(value))
		}
	}
	text("client", r.Client)
	text("transport", r.Transport)
	text("protocol", r.Protocol)
	text("encoding", r.Encoding)
	if r.User != nil {
		text("user", *r.User)
	}
	text("name", r.Name)
	text("version", r.Version)
	text("channel", r.Channel)
	text("method", r.Method)
	text("token", r.Token)
	bytes("data", r.Data)
	text("b64data", r.B64Data)
	bytes("meta", r.Meta)
	if field := fields.ByName("channels"); field != nil {
		for _, channel := range r.Channels {
			m.Mutable(field).List().Append(protoreflect.ValueOfString(channel))
		}
	}
	return m.Interface()
}

// decode returns a response message as a response.
func decode(from proto.Message) *proxy.Response {
	r := new(proxy.Response)
	from.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch m := value.Message().Interface().(type) {
		case *proxypb.Error:
			r.Error = &proxy.Error{Code: m.GetCode(), Message: m.GetMessage(), Temporary: m.GetTemporary()}
		case *proxypb.Disconnect:
			r.Disconnect = &proxy.Disconnect{Code: m.GetCode(), Reason: m.GetReason()}
		default:
			r.Result = decodeResult(m)
		}
		return true
	})
	return r
}

// decodeResult returns the result of any event. Fields correspond by their names.
func decodeResult(from proto.Message) *proxy.Result {
	r := new(proxy.Result)
	if o, ok := from.(interface {
		GetOverride() *proxypb.SubscribeOptionOverride
	}); ok {
		r.Override = decodeOverride(o.GetOverride())
	}
	if c, ok := from.(*proxypb.ConnectResult); ok {
		r.Channels, r.Subs = c.GetChannels(), decodeSubs(c.GetSubs())
	}
	if p, ok := from.(*proxypb.PublishResult); ok {
		r.Tags = p.GetTags()
	}
	from.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch field.Name() {
		case "user":
			r.User = value.String()
		case "expire_at":
			r.ExpireAt = value.Int()
		case "expired":
			r.Expired = value.Bool()
		case "info":
			r.Info = value.Bytes()
		case "b64info":
			r.B64Info = value.String()
		case "data":
			r.Data = value.Bytes()
		case "b64data":
			r.B64Data = value.String()
		case "meta":
			r.Meta = value.Bytes()
		case "skip_history":
			r.SkipHistory = value.Bool()
		case "idempotency_key":
			r.IdempotencyKey = value.String()
		case "delta":
			r.Delta = value.Bool()
		case "version":
			r.Version = value.Uint()
		case "version_epoch":
			r.VersionEpoch = value.String()
		}
		return true
	})
	return r
}

func decodeSubs(subs map[string]*proxypb.SubscribeOptions) map[string]*proxy.SubscribeOptions {
	if len(subs) == 0 {
		return nil
	}
	out := make(map[string]*proxy.SubscribeOptions, len(subs))
	for channel, o := range subs {
		out[channel] = &proxy.SubscribeOptions{
			ExpireAt: o.GetExpireAt(), Info: o.GetInfo(), B64Info: o.GetB64Info(), Data: o.GetData(), B64Data: o.GetB64Data(),
			Override: decodeOverride(o.GetOverride()), CacheRecover: o.GetCacheRecover(),
		}
	}
	return out
}

func decodeOverride(o *proxypb.SubscribeOptionOverride) *override.SubscribeOverride {
	if o == nil {
		return nil
	}
	value := func(b *proxypb.BoolValue) *override.BoolValue {
		if b == nil {
			return nil
		}
		return &override.BoolValue{Value: b.GetValue()}
	}
	return &override.SubscribeOverride{
		Presence: value(o.GetPresence()), JoinLeave: value(o.GetJoinLeave()), ForceRecovery: value(o.GetForceRecovery()),
		ForcePositioning: value(o.GetForcePositioning()), ForcePushJoinLeave: value(o.GetForcePushJoinLeave()),
	}
}
