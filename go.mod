module centrifugo

go 1.26.0

require (
	cloud.google.com/go/pubsub/v2 v2.9.0 // Google Pub/Sub, its consumer
	github.com/Azure/azure-sdk-for-go/sdk/azcore v1.23.3 // Azure Service Bus: credentials
	github.com/Azure/azure-sdk-for-go/sdk/azidentity v1.15.0 // Azure Service Bus: identities
	github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus v1.11.0 // Azure Service Bus, its consumer
	github.com/KimMachineGun/automemlimit v1.0.1 // the memory limit of the container, of cgroups v1 and v2
	github.com/aws/aws-sdk-go-v2 v1.48.0 // AWS SQS, its consumer
	github.com/aws/aws-sdk-go-v2/config v1.33.18 // AWS: regions, profiles
	github.com/aws/aws-sdk-go-v2/credentials v1.21.0 // AWS: credentials, roles
	github.com/aws/aws-sdk-go-v2/service/sqs v1.53.0 // AWS SQS
	github.com/aws/aws-sdk-go-v2/service/sts v1.52.0 // AWS: roles
	github.com/bufbuild/protocompile v0.14.1 // tests: compiles client.proto without a binary
	github.com/coreos/go-systemd/v22 v22.7.0 // sockets from systemd and notifications to it
	github.com/getkin/kin-openapi v0.153.0 // tests: validates docs/openapi.json, and answers against it
	github.com/go-jose/go-jose/v4 v4.1.9 // JSON Web Keys; strict about parameters, no dependencies
	github.com/gobwas/glob v1.1.0 // origin and channel patterns, in the dialect of existing configurations
	github.com/gobwas/httphead v0.1.0 // WebSocket extension headers; comes with gobwas/ws
	github.com/gobwas/ws v1.5.0 // WebSocket cipher and handshake for servers without a goroutine per connection
	github.com/golang-jwt/jwt/v5 v5.3.1 // tokens; strict about algorithms
	github.com/google/pprof v0.0.0-20261016150608-1facf8f91b50 // bench: reads CPU profiles
	github.com/jackc/pgx/v5 v5.13.0 // PostgreSQL, for the consumer of an outbox
	github.com/jhump/protoreflect v1.19.0 // tests: a gRPC client that knows the schema only from reflection
	github.com/joho/godotenv v1.5.1 // .env files
	github.com/klauspost/compress v1.20.4 // deflate writers that are cheap to reset
	github.com/letsencrypt/pebble/v2 v2.10.3 // tests: an ACME server inside the test
	github.com/miekg/dns v1.1.62 // tests: names for the ACME server
	github.com/nats-io/jwt/v2 v2.8.3 // tests: credentials for NATS
	github.com/nats-io/nats-server/v2 v2.15.3 // tests: NATS with JetStream inside the test
	github.com/nats-io/nats.go v1.55.0 // NATS JetStream, its consumer
	github.com/nats-io/nkeys v0.4.17 // tests: credentials for NATS
	github.com/pelletier/go-toml/v2 v2.4.3 // TOML configuration
	github.com/pires/go-proxyproto v0.15.0 // headers of the PROXY protocol, without dependencies
	github.com/prometheus/client_golang v1.25.0 // metrics
	github.com/prometheus/client_model v0.6.3 // metrics as data, for the API info
	github.com/quic-go/quic-go v0.62.0 // QUIC and HTTP/3
	github.com/quic-go/webtransport-go v0.13.0 // WebTransport sessions, of the drafts that browsers speak
	github.com/redis/rueidis v1.0.79 // Redis: pipelined connections, RESP3 and RESP2, clusters
	github.com/sony/gobreaker/v2 v2.4.0 // proxies: a breaker without dependencies
	github.com/spf13/cobra v1.10.2 // command line and completion
	github.com/spf13/pflag v1.0.9 // cobra's flags
	github.com/swaggest/swgui v1.8.5 // the files of Swagger UI
	github.com/twmb/franz-go v1.22.3 // Kafka, its consumer: groups, SASL, no C library
	github.com/twmb/franz-go/pkg/kadm v1.18.0 // tests: offsets of Kafka
	github.com/twmb/franz-go/pkg/kfake v0.0.0-20260918054303-01f206a7e32c // tests: Kafka inside the test
	github.com/twmb/franz-go/pkg/kmsg v1.15.1 // tests: requests of Kafka
	go.uber.org/goleak v1.3.0 // tests: no goroutine is left
	go.yaml.in/yaml/v3 v3.0.6 // YAML configuration
	golang.org/x/crypto v0.58.0 // ACME: certificates obtained and renewed by the server
	golang.org/x/net v0.61.0 // host names in ASCII; tests: an HTTP/2 client for extended CONNECT
	golang.org/x/oauth2 v0.37.0 // credentials of Google for OTLP
	golang.org/x/sys v0.50.0 // epoll
	google.golang.org/api v0.304.0 // credentials for Google Pub/Sub
	google.golang.org/protobuf v1.36.12 // protowire; the standard runtime in benchmarks
)

require google.golang.org/grpc v1.85.0 // gRPC: the API of backends

require ( // traces and metrics by OTLP, docs/adr/0025
	go.opentelemetry.io/contrib/bridges/prometheus v0.72.0
	go.opentelemetry.io/otel v1.47.0
	go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc v1.47.0
	go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp v1.47.0
	go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc v1.47.0
	go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp v1.47.0
	go.opentelemetry.io/otel/sdk v1.47.0
	go.opentelemetry.io/otel/sdk/metric v1.47.0
	go.opentelemetry.io/otel/trace v1.47.0
	go.opentelemetry.io/proto/otlp v1.11.0
)

require (
	cloud.google.com/go v0.123.0 // indirect
	cloud.google.com/go/auth v0.24.1-0.20261001053825-dbc26066f70a // indirect
	cloud.google.com/go/auth/oauth2adapt v0.3.0 // indirect
	cloud.google.com/go/compute/metadata v0.10.0 // indirect
	cloud.google.com/go/iam v1.14.0 // indirect
	github.com/Azure/azure-sdk-for-go/sdk/internal v1.13.0 // indirect
	github.com/Azure/go-amqp v1.7.0 // indirect
	github.com/AzureAD/microsoft-authentication-library-for-go v1.10.1 // indirect
	github.com/antithesishq/antithesis-sdk-go v0.9.0-default-no-op // indirect
	github.com/aws/aws-sdk-go-v2/feature/ec2/imds v1.20.9 // indirect
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.5.12 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.8.12 // indirect
	github.com/aws/aws-sdk-go-v2/internal/v4a v1.5.12 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/accept-encoding v1.13.25 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/presigned-url v1.14.12 // indirect
	github.com/aws/aws-sdk-go-v2/service/signin v1.13.1 // indirect
	github.com/aws/aws-sdk-go-v2/service/sso v1.39.5 // indirect
	github.com/aws/aws-sdk-go-v2/service/ssooidc v1.44.5 // indirect
	github.com/aws/smithy-go v1.28.9 // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cenkalti/backoff/v5 v5.0.3 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dunglas/httpsfv v1.1.1 // indirect
	github.com/felixge/httpsnoop v1.1.0 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/go-openapi/jsonpointer v1.0.0 // indirect
	github.com/golang/protobuf v1.5.4 // indirect
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/google/s2a-go v0.1.11 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/googleapis/enterprise-certificate-proxy v0.3.23 // indirect
	github.com/googleapis/gax-go/v2 v2.27.0 // indirect
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.30.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/jhump/protoreflect/v2 v2.0.0-beta.1 // indirect
	github.com/kylelemons/godebug v1.1.0 // indirect
	github.com/letsencrypt/challtestsrv v1.4.2 // indirect
	github.com/minio/highwayhash v1.0.4 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	github.com/pbnjay/memory v0.0.0-20210728143218-7b4eea64cf58 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
	github.com/pkg/browser v0.0.0-20240102092130-5ac0b6a4141c // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/quic-go/qpack v0.6.0 // indirect
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // indirect
	go.opencensus.io v0.24.0 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc v0.70.0 // indirect
	go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp v0.70.0 // indirect
	go.opentelemetry.io/otel/exporters/otlp/otlptrace v1.47.0 // indirect
	go.opentelemetry.io/otel/log v1.47.0 // indirect
	go.opentelemetry.io/otel/metric v1.47.0 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/time v0.16.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
	google.golang.org/genproto v0.0.0-20261012220534-4341edf3f941 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20261012220534-4341edf3f941 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261012220534-4341edf3f941 // indirect
)
