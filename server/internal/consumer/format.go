package consumer

import "centrifugo/server/internal/config"

// Format says how messages of a source are decoded (server.md 11.1).
type Format struct {
	// Method is the name of the attribute with the method. A message that has it has the
	// request as its body; others have a command.
	Method string
	// Publication takes bodies as data of publications.
	Publication PublicationFormat
}

// PublicationFormat names the attributes that describe a publication whose data is the
// body.
type PublicationFormat struct {
	Enabled bool
	// The names of attributes. That of a tag is TagPrefix with the name of the tag.
	Channels, IdempotencyKey, Delta, Version, VersionEpoch, TagPrefix string
}

// Headers returns the format of a source whose messages have headers.
func Headers(c config.PublicationDataHeaders) PublicationFormat {
	return PublicationFormat{
		c.Enabled, c.ChannelsHeader, c.IdempotencyKeyHeader, c.DeltaHeader, c.VersionHeader, c.VersionEpochHeader, c.TagsHeaderPrefix,
	}
}

// Values returns the format of a source whose messages are fields.
func Values(c config.PublicationDataValues) PublicationFormat {
	return PublicationFormat{
		c.Enabled, c.ChannelsValue, c.IdempotencyKeyValue, c.DeltaValue, c.VersionValue, c.VersionEpochValue, c.TagsValuePrefix,
	}
}

// Attributes returns the format of a source whose messages have attributes.
func Attributes(c config.PublicationDataAttributes) PublicationFormat {
	return PublicationFormat{
		c.Enabled, c.ChannelsAttribute, c.IdempotencyKeyAttribute, c.DeltaAttribute, c.VersionAttribute, c.VersionEpochAttribute,
		c.TagsAttributePrefix,
	}
}

// Properties returns the format of a source whose messages have properties.
func Properties(c config.PublicationDataProperties) PublicationFormat {
	return PublicationFormat{
		c.Enabled, c.ChannelsProperty, c.IdempotencyKeyProperty, c.DeltaProperty, c.VersionProperty, c.VersionEpochProperty,
		c.TagsPropertyPrefix,
	}
}
