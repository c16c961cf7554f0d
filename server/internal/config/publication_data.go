package config

// PublicationDataHeaders names the message headers that describe a publication whose data is the body.
type PublicationDataHeaders struct {
	// Treat bodies as data of publications.
	Enabled bool `key:"enabled"`
	// Header with the channels, separated by commas.
	ChannelsHeader string `key:"channels_header" default:"centrifugo-channels"`
	// Header with the idempotency key.
	IdempotencyKeyHeader string `key:"idempotency_key_header" default:"centrifugo-idempotency-key"`
	// Header that asks for delta compression.
	DeltaHeader string `key:"delta_header" default:"centrifugo-delta"`
	// Header with the version.
	VersionHeader string `key:"version_header" default:"centrifugo-version"`
	// Header with the version epoch.
	VersionEpochHeader string `key:"version_epoch_header" default:"centrifugo-version-epoch"`
	// First part of the names of headers with tags.
	TagsHeaderPrefix string `key:"tags_header_prefix" default:"centrifugo-tag-"`
}

// PublicationDataValues names the message fields that describe a publication whose data is the body.
type PublicationDataValues struct {
	// Treat bodies as data of publications.
	Enabled bool `key:"enabled"`
	// Field with the channels, separated by commas.
	ChannelsValue string `key:"channels_value" default:"centrifugo-channels"`
	// Field with the idempotency key.
	IdempotencyKeyValue string `key:"idempotency_key_value" default:"centrifugo-idempotency-key"`
	// Field that asks for delta compression.
	DeltaValue string `key:"delta_value" default:"centrifugo-delta"`
	// Field with the version.
	VersionValue string `key:"version_value" default:"centrifugo-version"`
	// Field with the version epoch.
	VersionEpochValue string `key:"version_epoch_value" default:"centrifugo-version-epoch"`
	// First part of the names of fields with tags.
	TagsValuePrefix string `key:"tags_value_prefix" default:"centrifugo-tag-"`
}

// PublicationDataAttributes names the message attributes that describe a publication whose data is the body.
type PublicationDataAttributes struct {
	// Treat bodies as data of publications.
	Enabled bool `key:"enabled"`
	// Attribute with the channels, separated by commas.
	ChannelsAttribute string `key:"channels_attribute" default:"centrifugo-channels"`
	// Attribute with the idempotency key.
	IdempotencyKeyAttribute string `key:"idempotency_key_attribute" default:"centrifugo-idempotency-key"`
	// Attribute that asks for delta compression.
	DeltaAttribute string `key:"delta_attribute" default:"centrifugo-delta"`
	// Attribute with the version.
	VersionAttribute string `key:"version_attribute" default:"centrifugo-version"`
	// Attribute with the version epoch.
	VersionEpochAttribute string `key:"version_epoch_attribute" default:"centrifugo-version-epoch"`
	// First part of the names of attributes with tags.
	TagsAttributePrefix string `key:"tags_attribute_prefix" default:"centrifugo-tag-"`
}

// PublicationDataProperties names the message properties that describe a publication whose data is the body.
type PublicationDataProperties struct {
	// Treat bodies as data of publications.
	Enabled bool `key:"enabled"`
	// Property with the channels, separated by commas.
	ChannelsProperty string `key:"channels_property" default:"centrifugo-channels"`
	// Property with the idempotency key.
	IdempotencyKeyProperty string `key:"idempotency_key_property" default:"centrifugo-idempotency-key"`
	// Property that asks for delta compression.
	DeltaProperty string `key:"delta_property" default:"centrifugo-delta"`
	// Property with the version.
	VersionProperty string `key:"version_property" default:"centrifugo-version"`
	// Property with the version epoch.
	VersionEpochProperty string `key:"version_epoch_property" default:"centrifugo-version-epoch"`
	// First part of the names of properties with tags.
	TagsPropertyPrefix string `key:"tags_property_prefix" default:"centrifugo-tag-"`
}
