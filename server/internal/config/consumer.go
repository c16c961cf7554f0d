package config

import "time"

// Consumer is an element of consumers.
type Consumer struct {
	// Name of the consumer, unique; at least two characters of `a-zA-Z0-9_`.
	Name string `key:"name"`
	// Run the consumer.
	Enabled bool `key:"enabled"`
	// Source: postgresql, kafka, nats_jetstream, redis_stream, google_pub_sub, aws_sqs or azure_service_bus.
	Type string `key:"type"`
	// Settings of type postgresql.
	PostgreSQL PostgreSQLConsumer `key:"postgresql"`
	// Settings of type kafka.
	Kafka KafkaConsumer `key:"kafka"`
	// Settings of type nats_jetstream.
	NATSJetStream NATSJetStreamConsumer `key:"nats_jetstream"`
	// Settings of type redis_stream.
	RedisStream RedisStreamConsumer `key:"redis_stream"`
	// Settings of type google_pub_sub.
	GooglePubSub GooglePubSubConsumer `key:"google_pub_sub"`
	// Settings of type aws_sqs.
	AWSSQS AWSSQSConsumer `key:"aws_sqs"`
	// Settings of type azure_service_bus.
	AzureServiceBus AzureServiceBusConsumer `key:"azure_service_bus"`
}

// PostgreSQLConsumer is section postgresql of a consumer.
type PostgreSQLConsumer struct {
	// Connection string, a URL or pairs of key and value as PostgreSQL has them.
	DSN string `key:"dsn"`
	// Table with the columns id, method, payload and partition, as SQL names it: with a schema or without, quoted where that is
	// needed.
	OutboxTableName string `key:"outbox_table_name"`
	// Partitions, numbered from 0, at most 1024. Rows of one are processed in the order of their ids, those of different ones at
	// the same time. Each may hold a connection.
	NumPartitions int `key:"num_partitions" default:"1"`
	// Rows read, and deleted, in one transaction. A crash delivers at most as many again.
	PartitionSelectLimit int `key:"partition_select_limit" default:"100"`
	// How often each partition is looked at.
	PartitionPollInterval time.Duration `key:"partition_poll_interval" default:"300ms"`
	// Channel of notifications that wake the consumer between polls, in the exact letter case. The payload of a notification is the number of a
	// partition; an empty one wakes all. Empty: none.
	PartitionNotificationChannel string `key:"partition_notification_channel"`
	// Connection string for notifications. Empty: dsn.
	PartitionNotificationDSN string `key:"partition_notification_dsn"`
	// TLS towards the server.
	TLS TLS `key:"tls"`
	// Skip a partition that another node works on instead of waiting for it.
	UseTryLock bool `key:"use_try_lock"`
}

// KafkaConsumer is section kafka of a consumer.
type KafkaConsumer struct {
	// Addresses of the brokers.
	Brokers []string `key:"brokers"`
	// Topics to read.
	Topics []string `key:"topics"`
	// Consumer group.
	ConsumerGroup string `key:"consumer_group"`
	// Records read at once.
	MaxPollRecords int `key:"max_poll_records" default:"100"`
	// Bytes of one fetch. 0: chosen by the client library.
	FetchMaxBytes int `key:"fetch_max_bytes"`
	// Time one fetch may wait for records.
	FetchMaxWait time.Duration `key:"fetch_max_wait" default:"500ms"`
	// Read records of transactions that are not committed.
	FetchReadUncommitted bool `key:"fetch_read_uncommitted"`
	// Records queued for one partition.
	PartitionQueueMaxSize int `key:"partition_queue_max_size" default:"1000"`
	// Time allowed for connecting.
	DialTimeout time.Duration `key:"dial_timeout" default:"3s"`
	// TLS towards the brokers.
	TLS TLS `key:"tls"`
	// SASL mechanism: empty, plain, scram-sha-256, scram-sha-512 or aws-msk-iam.
	SASLMechanism string `key:"sasl_mechanism"`
	// SASL user name.
	SASLUser string `key:"sasl_user"`
	// SASL password.
	SASLPassword string `key:"sasl_password"`
	// ARN of the role to assume for aws-msk-iam. Empty: the credentials of the environment, of a file or of the machine are used
	// as they are.
	AssumeRoleARN string `key:"assume_role_arn"`
	// Identifier of a static group member.
	InstanceID string `key:"instance_id"`
	// Header with the method name.
	MethodHeader string `key:"method_header" default:"centrifugo-method"`
	// Treat the body as the data of a publication.
	PublicationDataMode PublicationDataHeaders `key:"publication_data_mode"`
}

// NATSJetStreamConsumer is section nats_jetstream of a consumer.
type NATSJetStreamConsumer struct {
	// Address of the servers.
	URL string `key:"url" default:"nats://127.0.0.1:4222"`
	// File with credentials.
	CredentialsFile string `key:"credentials_file"`
	// User name.
	Username string `key:"username"`
	// Password.
	Password string `key:"password"`
	// Token.
	Token string `key:"token"`
	// Stream to read.
	StreamName string `key:"stream_name"`
	// Use a consumer that exists instead of creating one.
	UseExistingConsumer bool `key:"use_existing_consumer"`
	// Subjects to read.
	Subjects []string `key:"subjects"`
	// Name of the durable consumer.
	DurableConsumerName string `key:"durable_consumer_name"`
	// Where a new consumer starts: new or all.
	DeliverPolicy string `key:"deliver_policy" default:"new"`
	// Messages in work at the same time.
	MaxAckPending int `key:"max_ack_pending" default:"100"`
	// Header with the method name.
	MethodHeader string `key:"method_header" default:"centrifugo-method"`
	// Treat the body as the data of a publication.
	PublicationDataMode PublicationDataHeaders `key:"publication_data_mode"`
	// TLS towards the servers.
	TLS TLS `key:"tls"`
}

// RedisStreamConsumer is section redis_stream of a consumer.
type RedisStreamConsumer struct {
	Redis
	// Streams to read.
	Streams []string `key:"streams"`
	// Consumer group.
	ConsumerGroup string `key:"consumer_group"`
	// Time after which an unacknowledged entry is taken over.
	VisibilityTimeout time.Duration `key:"visibility_timeout" default:"30s"`
	// Entries in work at the same time.
	NumWorkers int `key:"num_workers" default:"1"`
	// Field with the payload.
	PayloadValue string `key:"payload_value" default:"payload"`
	// Field with the method name.
	MethodValue string `key:"method_value" default:"method"`
	// Treat the payload as the data of a publication.
	PublicationDataMode PublicationDataValues `key:"publication_data_mode"`
}

// GooglePubSubConsumer is section google_pub_sub of a consumer.
type GooglePubSubConsumer struct {
	// Project.
	ProjectID string `key:"project_id"`
	// Subscriptions to read.
	Subscriptions []string `key:"subscriptions"`
	// Messages in work at the same time.
	MaxOutstandingMessages int `key:"max_outstanding_messages" default:"100"`
	// Bytes in work at the same time.
	MaxOutstandingBytes int `key:"max_outstanding_bytes" default:"1000000"`
	// How to authenticate: default, which is the application default credentials, or service_account with credentials_file. Empty:
	// service_account if credentials_file is set, otherwise default.
	AuthMechanism string `key:"auth_mechanism"`
	// File with credentials.
	CredentialsFile string `key:"credentials_file"`
	// Attribute with the method name.
	MethodAttribute string `key:"method_attribute" default:"centrifugo-method"`
	// Treat the body as the data of a publication.
	PublicationDataMode PublicationDataAttributes `key:"publication_data_mode"`
}

// AWSSQSConsumer is section aws_sqs of a consumer.
type AWSSQSConsumer struct {
	// URLs of the queues to read.
	Queues []string `key:"queues"`
	// Bodies are wrapped by SNS.
	SNSEnvelope bool `key:"sns_envelope"`
	// Region.
	Region string `key:"region"`
	// Messages received at once.
	MaxNumberOfMessages int `key:"max_number_of_messages" default:"10"`
	// Time one receive may wait for messages.
	WaitTimeTime time.Duration `key:"wait_time_time" default:"20s"`
	// Time after which an unacknowledged message is delivered again.
	VisibilityTimeout time.Duration `key:"visibility_timeout" default:"30s"`
	// Messages in work at the same time.
	MaxConcurrency int `key:"max_concurrency" default:"1"`
	// Profile of the credentials file.
	CredentialsProfile string `key:"credentials_profile"`
	// Role to assume.
	AssumeRoleARN string `key:"assume_role_arn"`
	// Attribute with the method name.
	MethodAttribute string `key:"method_attribute" default:"centrifugo-method"`
	// Address of a local emulator.
	LocalStackEndpoint string `key:"localstack_endpoint"`
	// Treat the body as the data of a publication.
	PublicationDataMode PublicationDataAttributes `key:"publication_data_mode"`
}

// AzureServiceBusConsumer is section azure_service_bus of a consumer.
type AzureServiceBusConsumer struct {
	// Connection string.
	ConnectionString string `key:"connection_string"`
	// Authenticate with an Azure identity.
	UseAzureIdentity bool `key:"use_azure_identity"`
	// Name of the namespace, for an Azure identity.
	FullyQualifiedNamespace string `key:"fully_qualified_namespace"`
	// Tenant, for an Azure identity.
	TenantID string `key:"tenant_id"`
	// Client, for an Azure identity.
	ClientID string `key:"client_id"`
	// Secret of the client, for an Azure identity.
	ClientSecret string `key:"client_secret"`
	// Queues to read.
	Queues []string `key:"queues"`
	// Queues use sessions.
	UseSessions bool `key:"use_sessions"`
	// Messages in work at the same time.
	MaxConcurrentCalls int `key:"max_concurrent_calls" default:"1"`
	// Messages received at once. With sessions it is always one.
	MaxReceiveMessages int `key:"max_receive_messages" default:"1"`
	// Property with the method name.
	MethodProperty string `key:"method_property" default:"centrifugo-method"`
	// Treat the body as the data of a publication.
	PublicationDataMode PublicationDataProperties `key:"publication_data_mode"`
}
