package channels

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"centrifugo/server/internal/config"
)

// Settings are what the rules need from the client section of the configuration.
type Settings struct {
	// Insecure is client.insecure: clients may do what no rule allows.
	Insecure bool
	// Personal is client.subscribe_to_user_personal_channel.
	Personal config.UserPersonalChannel
}

// Rules holds the compiled rules of all channels. It is immutable and safe for
// concurrent use. New returns one.
type Rules struct {
	maxLength         int
	privatePrefix     string
	namespaceBoundary string
	userBoundary      string
	userSeparator     string
	historyMetaTTL    time.Duration
	settings          Settings

	without *Namespace
	named   map[string]*Namespace
}

// Namespace holds the options of the channels of one namespace. It is immutable.
type Namespace struct {
	// Name is empty for channels without a namespace.
	Name string
	// Options are as configured.
	Options config.ChannelOptions
	// HistoryMetaTTL is that of the namespace or, if it has none, that of all channels.
	HistoryMetaTTL time.Duration
	// Format is the rule for data of publications, of the namespace or of all channels.
	Format Format

	regex *regexp.Regexp // nil: channel names are ASCII
}

// New compiles the rules. The configuration must have passed the validation of
// package config; the error names the key of a regular expression that does not compile.
func New(c config.Channel, s Settings) (*Rules, error) {
	r := &Rules{
		maxLength:         c.MaxLength,
		privatePrefix:     c.PrivatePrefix,
		namespaceBoundary: c.NamespaceBoundary,
		userBoundary:      c.UserBoundary,
		userSeparator:     c.UserSeparator,
		historyMetaTTL:    c.HistoryMetaTTL,
		settings:          s,
		named:             make(map[string]*Namespace, len(c.Namespaces)),
	}
	var err error
	if r.without, err = newNamespace("", c.WithoutNamespace, c); err != nil {
		return nil, fmt.Errorf("channel.without_namespace: %w", err)
	}
	for _, ns := range c.Namespaces {
		if r.named[ns.Name], err = newNamespace(ns.Name, ns.ChannelOptions, c); err != nil {
			return nil, fmt.Errorf("channel.namespaces[%s]: %w", ns.Name, err)
		}
	}
	return r, nil
}

func newNamespace(name string, o config.ChannelOptions, c config.Channel) (*Namespace, error) {
	ns := &Namespace{Name: name, Options: o, HistoryMetaTTL: o.HistoryMetaTTL, Format: Format(o.PublicationDataFormat)}
	if ns.HistoryMetaTTL == 0 {
		ns.HistoryMetaTTL = c.HistoryMetaTTL
	}
	if ns.Format == FormatNonEmpty {
		ns.Format = Format(c.PublicationDataFormat)
	}
	if o.ChannelRegex != "" {
		var err error
		if ns.regex, err = regexp.Compile(o.ChannelRegex); err != nil {
			return nil, fmt.Errorf("channel_regex: %w", err)
		}
	}
	return ns, nil
}

// Namespace returns the namespace of a channel. It returns false if the channel is empty
// or in a namespace that is not defined (client and API error 102). It does not check
// the name otherwise, as the server API requires (server.md 1.4), and does not allocate.
func (r *Rules) Namespace(channel string) (*Namespace, bool) {
	if channel == "" {
		return nil, false
	}
	name, _, found := r.split(channel)
	if !found {
		return r.without, true
	}
	ns, ok := r.named[name]
	return ns, ok
}

// split returns the namespace of a channel and the rest. It returns false if there is
// none, as in a channel that begins with the boundary.
func (r *Rules) split(channel string) (name, rest string, found bool) {
	name, rest, found = strings.Cut(strings.TrimPrefix(channel, r.privatePrefix), r.namespaceBoundary)
	return name, rest, found && name != ""
}

// Private reports whether a client needs a token to subscribe to the channel.
func (r *Rules) Private(channel string) bool {
	return strings.HasPrefix(channel, r.privatePrefix)
}

// validName applies the rules for names that come from clients (server.md
// 4.1): the length, then the regular expression of the namespace if it has one,
// which switches off the ASCII rule (server.md 4.1).
func (r *Rules) validName(ns *Namespace, channel string) bool {
	if len(channel) > r.maxLength {
		return false
	}
	if ns.regex != nil {
		if _, rest, found := r.split(channel); found {
			return ns.regex.MatchString(rest)
		}
		return ns.regex.MatchString(channel) // a private prefix stays
	}
	for i := range len(channel) {
		if channel[i] >= 0x80 {
			return false
		}
	}
	return true
}

// userLimited reports whether the name limits the channel to the users that it lists.
func (r *Rules) userLimited(ns *Namespace, channel string) bool {
	return ns.Options.AllowUserLimitedChannels && strings.Contains(channel, r.userBoundary)
}

// listsUser tells whether a user is in the list after the last user boundary. The
// anonymous user matches an empty element, so `x#` admits it (server.md 4.3).
func (r *Rules) listsUser(channel, user string) bool {
	at := strings.LastIndex(channel, r.userBoundary)
	if at < 0 {
		return false
	}
	for list, more := channel[at+len(r.userBoundary):], true; more; {
		var one string
		one, list, more = strings.Cut(list, r.userSeparator)
		if one == user {
			return true
		}
	}
	return false
}

// PersonalChannel returns the channel that a connection of the user is subscribed
// to by the server (server.md 4.7); false when there is none.
func (r *Rules) PersonalChannel(user string) (string, bool) {
	if !r.settings.Personal.Enabled || user == "" {
		return "", false
	}
	name := r.userBoundary + user
	if ns := r.settings.Personal.PersonalChannelNamespace; ns != "" {
		name = ns + r.namespaceBoundary + name
	}
	return name, true
}

// SingleConnection tells whether a user keeps only the newest of its connections.
func (r *Rules) SingleConnection() bool {
	return r.settings.Personal.Enabled && r.settings.Personal.SingleConnection
}

// HistoryEnabled tells whether the channels of the namespace keep publications.
func (ns *Namespace) HistoryEnabled() bool {
	return ns.Options.HistorySize > 0 && ns.Options.HistoryTTL > 0
}
