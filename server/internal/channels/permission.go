package channels

// SubscribeQuery asks whether a client may subscribe.
type SubscribeQuery struct {
	Channel  string
	User     string // empty: anonymous
	HasToken bool   // the command carries a subscription token
	Type     string // requested kind of subscription, as in option subscription_type; empty means stream
}

// MaySubscribe decides a subscribe command of a client by the first row of
// server.md 4.3 that matches. The core handles row 4 (already subscribed, channel
// limit). After CheckToken, a valid token allows the subscription.
func (r *Rules) MaySubscribe(q SubscribeQuery) Verdict {
	ns, v := r.resolve(q.Channel)
	if ns == nil {
		return v
	}
	o := &ns.Options
	limited := r.userLimited(ns, q.Channel)
	switch {
	case subscriptionType(q.Type) != subscriptionType(o.SubscriptionType):
		v.Outcome = Denied
	case r.Private(q.Channel) && !q.HasToken:
		v.Outcome = Denied
	case q.HasToken:
		v.Outcome, v.Source = CheckToken, SourceSubscriptionToken
	case limited && r.listsUser(q.Channel, q.User):
		v.Outcome, v.Source = Allowed, SourceUserLimited
	case o.SubscribeProxyEnabled && !limited:
		v.Outcome, v.Source, v.Proxy = AskProxy, SourceSubscribeProxy, o.SubscribeProxyName
	case o.SubscribeStreamProxyEnabled && !limited:
		v.Outcome, v.Source, v.Proxy = AskStreamProxy, SourceStreamProxy, o.SubscribeStreamProxyName
	case o.AllowSubscribeForClient && (q.User != "" || o.AllowSubscribeForAnonymous) && !limited:
		v.Outcome, v.Source = Allowed, SourceClientAllowed
	case r.settings.Insecure:
		v.Outcome, v.Source = Allowed, SourceClientInsecure
	}
	return v
}

// MaySubscribeOnConnect decides about a channel that a client asks for in its
// connect command (server.md 3.8). UnknownChannel means disconnect 3501. After
// any other refusal the caller skips the channel.
func (r *Rules) MaySubscribeOnConnect(channel, user string) Verdict {
	ns, v := r.resolve(channel)
	if ns == nil {
		return v
	}
	o := &ns.Options
	limited := r.userLimited(ns, channel)
	v.Source = SourceUniConnect
	switch {
	case r.Private(channel), o.SubscribeProxyEnabled, o.SubscribeStreamProxyEnabled,
		subscriptionType(o.SubscriptionType) != "stream":
		v.Outcome = Denied
	case limited && user != "" && r.listsUser(channel, user),
		o.AllowSubscribeForClient && (user != "" || o.AllowSubscribeForAnonymous) && !limited,
		r.settings.Insecure:
		v.Outcome = Allowed
	}
	return v
}

// PublishQuery asks whether a client may publish.
type PublishQuery struct {
	Channel    string
	User       string // empty: anonymous
	Subscribed bool   // the client is subscribed to the channel
	Data       []byte
}

// MayPublish decides a publish command of a client by the rows of server.md
// 4.4. AskStreamProxy means that the publication is sent to the stream of the subscription.
func (r *Rules) MayPublish(q PublishQuery) Verdict {
	ns, v := r.resolve(q.Channel)
	if ns == nil {
		return v
	}
	o := &ns.Options
	switch {
	case !ns.Format.Valid(q.Data), r.Pattern(q.Channel):
		v.Outcome = BadRequest
	case o.PublishProxyEnabled:
		v.Outcome, v.Proxy = AskProxy, o.PublishProxyName
	case o.SubscribeStreamProxyEnabled && o.SubscribeStreamProxyBidirectional:
		v.Outcome, v.Proxy = AskStreamProxy, o.SubscribeStreamProxyName
	case o.SubscribeStreamProxyEnabled:
		v.Outcome = NotAvailable
	case r.grants(q.User, q.Subscribed, o.AllowPublishForClient, o.AllowPublishForSubscriber, o.AllowPublishForAnonymous):
		v.Outcome = Allowed
	}
	return v
}

// ReadQuery asks whether a client may read the presence or the history of a channel.
type ReadQuery struct {
	Channel    string
	User       string // empty: anonymous
	Subscribed bool   // the client is subscribed to the channel
}

// MayPresence decides presence and presence_stats commands of a client.
func (r *Rules) MayPresence(q ReadQuery) Verdict { return r.mayRead(q, (*Rules).presenceAccess) }

// MayHistory decides history commands of a client.
func (r *Rules) MayHistory(q ReadQuery) Verdict { return r.mayRead(q, (*Rules).historyAccess) }

func (r *Rules) mayRead(q ReadQuery, access func(*Rules, *Namespace, ReadQuery) Outcome) Verdict {
	ns, v := r.resolve(q.Channel)
	switch {
	case ns == nil:
	case r.Pattern(q.Channel):
		v.Outcome = NotAvailable
	default:
		v.Outcome = access(r, ns, q)
	}
	return v
}

func (r *Rules) presenceAccess(ns *Namespace, q ReadQuery) Outcome {
	o := &ns.Options
	switch {
	case !o.Presence:
		return NotAvailable
	case r.grants(q.User, q.Subscribed, o.AllowPresenceForClient, o.AllowPresenceForSubscriber, o.AllowPresenceForAnonymous):
		return Allowed
	}
	return Denied
}

func (r *Rules) historyAccess(ns *Namespace, q ReadQuery) Outcome {
	o := &ns.Options
	switch {
	case !ns.HistoryEnabled():
		return NotAvailable
	case r.grants(q.User, q.Subscribed, o.AllowHistoryForClient, o.AllowHistoryForSubscriber, o.AllowHistoryForAnonymous):
		return Allowed
	}
	return Denied
}

// grants is the rule that publish, presence and history share. The permission for
// anonymous users extends the others to them and allows nothing alone (server.md 4.4).
func (r *Rules) grants(user string, subscribed, forClient, forSubscriber, forAnonymous bool) bool {
	known := user != "" || forAnonymous
	return r.settings.Insecure || known && (forClient || forSubscriber && subscribed)
}

// resolve finds the namespace of a channel that a client names, and checks the name. If
// the verdict is final, the namespace is nil; otherwise the verdict denies.
func (r *Rules) resolve(channel string) (*Namespace, Verdict) {
	ns, ok := r.Namespace(channel)
	if !ok {
		return nil, Verdict{Outcome: UnknownChannel}
	}
	if !r.validName(ns, channel) {
		return nil, Verdict{Outcome: BadRequest, Namespace: ns}
	}
	return ns, Verdict{Namespace: ns}
}

// subscriptionType returns one form for both names of a stream subscription.
func subscriptionType(typ string) string {
	if typ == "" {
		return "stream"
	}
	return typ
}
