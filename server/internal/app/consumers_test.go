package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/internal/pgtest"
	"centrifugo/internal/redistest"
	"centrifugo/internal/sqstest"
	"centrifugo/internal/testprocess"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer/consumertest"

	"github.com/jackc/pgx/v5"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func init() {
	for _, key := range []string{"name", "enabled", "type"} {
		effectTests["consumers[]."+key] = "internal/app/consumers_test.go:TestConsumers"
	}
	tests := map[string]map[string]string{
		"postgresql": {
			"dsn": "testNotificationDSN", "outbox_table_name": "testColumns", "num_partitions": "testPartitions", "partition_select_limit": "testSelectLimit",
			"partition_poll_interval": "testNotifications", "partition_notification_channel": "testNotifications",
			"partition_notification_dsn": "testNotificationDSN", "use_try_lock": "testTryLock",
		},
		"kafka": {
			"topics": "TestTopics", "consumer_group": "TestTopics", "max_poll_records": "TestMaxPollRecords", "fetch_max_bytes": "TestFetches",
			"fetch_max_wait": "TestFetches", "fetch_read_uncommitted": "TestFetches", "sasl_mechanism": "TestSASL", "sasl_user": "TestSASL",
			"sasl_password": "TestSASL", "method_header": "TestHeaders",
		},
		"nats_jetstream": {
			"url": "TestAddress", "credentials_file": "TestAuthentication", "username": "TestAuthentication", "password": "TestAuthentication", "token": "TestAuthentication",
			"stream_name": "TestDurableConsumer", "use_existing_consumer": "TestUseExistingConsumer", "subjects": "TestDurableConsumer",
			"durable_consumer_name": "TestUseExistingConsumer", "deliver_policy": "TestDeliverPolicy", "max_ack_pending": "TestDurableConsumer",
			"method_header": "TestHeaders",
		},
		"google_pub_sub": {
			"project_id": "TestSubscriptions", "subscriptions": "TestSubscriptions", "max_outstanding_messages": "TestOutstanding",
			"max_outstanding_bytes": "TestOutstanding", "auth_mechanism": "TestConfiguration", "credentials_file": "TestConfiguration",
			"method_attribute": "TestAttributes",
		},
		"aws_sqs": {
			"queues": "TestQueues", "sns_envelope": "TestEnvelope", "region": "TestCredentials", "max_number_of_messages": "TestConcurrency",
			"wait_time_time": "TestWaitTime", "visibility_timeout": "TestVisibilityTimeout", "max_concurrency": "TestConcurrency",
			"credentials_profile": "TestCredentials", "assume_role_arn": "TestRole", "method_attribute": "TestAttributes",
			"localstack_endpoint": "TestCredentials",
		},
		"azure_service_bus": {
			"connection_string": "TestQueues", "queues": "TestQueues",
			"use_sessions": "TestSessions", "max_concurrent_calls": "TestConcurrency", "max_receive_messages": "TestConcurrency",
			"method_property": "TestProperties",
		},
		"redis_stream": {
			"streams": "TestStreams", "consumer_group": "TestStreams", "visibility_timeout": "TestVisibilityTimeout", "num_workers": "TestWorkers",
			"payload_value": "TestFields", "method_value": "TestFields",
		},
	}
	for section, keys := range tests {
		for key, test := range keys {
			effectTests["consumers[]."+section+"."+key] = "internal/consumer/" + strings.ReplaceAll(section, "_", "") + "/source_test.go:" + test
		}
	}
	for key, test := range map[string]string{
		"use_azure_identity": "TestNamespace", "fully_qualified_namespace": "TestNamespace", "tenant_id": "TestIdentity", "client_id": "TestIdentity", "client_secret": "TestIdentity",
	} {
		effectTests["consumers[].azure_service_bus."+key] = "internal/consumer/azureservicebus/identity_test.go:" + test
	}
	effectTests["consumers[].kafka.brokers"] = "internal/app/consumers_test.go:TestKafkaTLS"
	effectTests["consumers[].kafka.assume_role_arn"] = "internal/app/consumers_test.go:TestKafkaIAM"
	for key, test := range map[string]string{"partition_queue_max_size": "TestQueueIsBounded", "dial_timeout": "TestClientSettings", "instance_id": "TestClientSettings"} {
		effectTests["consumers[].kafka."+key] = "internal/consumer/kafka/reader_test.go:" + test
	}
	for key := range redisKeys {
		if key := "consumers[].redis_stream." + key; isRedisConnectionKey(key) {
			effectTests[key] = "internal/app/consumers_test.go:TestRedisStreamConnection"
		}
	}
	for section, kind := range map[string]string{"kafka": "header", "nats_jetstream": "header", "redis_stream": "value", "google_pub_sub": "attribute", "aws_sqs": "attribute", "azure_service_bus": "property"} {
		mode := "consumers[]." + section + ".publication_data_mode."
		effectTests[mode+"enabled"] = "internal/consumer/message_test.go:TestFormats"
		for _, key := range []string{"channels_X", "idempotency_key_X", "delta_X", "version_X", "version_epoch_X", "tags_X_prefix"} {
			effectTests[mode+strings.Replace(key, "X", kind, 1)] = "internal/consumer/message_test.go:TestFormats"
		}
	}
	for _, key := range []string{"enabled", "cert_pem", "key_pem", "server_ca_pem", "insecure_skip_verify", "server_name"} {
		for _, section := range []string{"postgresql.tls.", "kafka.tls.", "nats_jetstream.tls.", "redis_stream.tls.", "redis_stream.sentinel_tls."} {
			effectTests["consumers[]."+section+key] = "internal/app/consumers_test.go:tlsChanges"
		}
	}
}

// isRedisConnectionKey reports whether a key of a section of Redis says how to connect, TLS
// apart.
func isRedisConnectionKey(key string) bool {
	return !strings.Contains(key, "tls.") && !strings.Contains(key, "history_") && !strings.Contains(key, "presence_") && !strings.Contains(key, ".delivery") &&
		!strings.Contains(key, "sharded_") && !strings.HasSuffix(key, ".prefix")
}

// consumerSettings are those of a server with consumers, each a JSON object.
func consumerSettings(consumers ...string) string {
	return `"http_api": {"key": "k"}, "prometheus": {"enabled": true}, "channel": {"without_namespace": {"history_size": 100, "history_ttl": "1m"}},
		"consumers": [` + strings.Join(consumers, ", ") + `]`
}

// historyOf returns the data of the publications in a channel.
func (i *instance) historyOf(channel string) (data []string) {
	i.t.Helper()
	_, body := i.request(http.MethodPost, i.internal(), "/api/history", `{"channel": "`+channel+`", "limit": -1}`, "X-API-Key", "k")
	var answer struct {
		Result struct {
			Publications []struct {
				Data json.RawMessage `json:"data"`
			} `json:"publications"`
		} `json:"result"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		i.t.Fatalf("history of %s: %s: %v", channel, body, err)
	}
	for _, p := range answer.Result.Publications {
		data = append(data, string(p.Data))
	}
	return data
}

func (i *instance) awaitHistory(channel, want string) {
	i.t.Helper()
	if !await.Reached(func() bool { return strings.Join(i.historyOf(channel), " ") == want }) {
		i.t.Fatalf("history of %s = %q; want %q; log: %s", channel, i.historyOf(channel), want, strings.Join(i.lines(), "\n"))
	}
}

// outbox is a database with the tables outbox and outbox2.
func outbox(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	for _, name := range []string{"outbox", "outbox2"} {
		execute(t, conn, "CREATE TABLE "+name+" (id BIGSERIAL PRIMARY KEY, method TEXT, payload JSONB, partition BIGINT DEFAULT 0)")
	}
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func insertInto(t *testing.T, conn *pgx.Conn, table, channel string, n int) {
	t.Helper()
	execute(t, conn, fmt.Sprintf(`INSERT INTO %s (method, payload) VALUES ('publish', '{"channel": "%s", "data": %d}')`, table, channel, n))
}

// Consumers that are enabled run side by side, each of its type, with metrics by its name.
func TestConsumers(t *testing.T) {
	server := pgtest.Start(t)
	conn := outbox(t, server.DSN())
	section := func(name, enabled, table string) string {
		return `{"name": "` + name + `", "enabled": ` + enabled + `, "type": "postgresql", "postgresql": {"dsn": "` + server.DSN() +
			`", "outbox_table_name": "` + table + `", "partition_poll_interval": "20ms"}}`
	}
	insertInto(t, conn, "outbox", "a", 1)
	insertInto(t, conn, "outbox2", "b", 1)
	execute(t, conn, "INSERT INTO outbox (method, payload) VALUES ('nothing', '{}')")
	i := start(t, consumerSettings(section("first", "true", "outbox"), section("second", "false", "outbox2"), `{"name": "third", "type": "kafka"}`))
	i.awaitHistory("a", "1")
	insertInto(t, conn, "outbox", "a", 2)
	i.awaitHistory("a", "1 2")
	if got := i.historyOf("b"); got != nil {
		t.Errorf("history of b = %q; want none, the consumer is not enabled", got)
	}
	i.awaitMetrics(map[string]float64{
		`consumers_messages_processed_total{consumer_name="first"}`:                       3,
		`consumers_errors_total{consumer_name="first"}`:                                   1,
		`consumers_refused_messages_total{consumer_name="first",reason="unknown_method"}`: 1,
		`consumers_retries_total{consumer_name="first"}`:                                  0,
		`api_command_duration_seconds_count{method="publish",protocol="consuming"}`:       2,
	})
	if err := i.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	insertInto(t, conn, "outbox", "a", 3)

	both := start(t, consumerSettings(section("first", "true", "outbox"), section("second", "true", "outbox2")))
	both.awaitHistory("a", "3")
	both.awaitHistory("b", "1")
}

// A server starts without the source, and stops while it cannot be reached.
func TestConsumerWithoutItsSource(t *testing.T) {
	i := start(t, consumerSettings(`{"name": "outbox", "enabled": true, "type": "postgresql", "postgresql": {"dsn": "postgres://u:s3cret@127.0.0.1:1/x", "outbox_table_name": "x"}}`))
	i.awaitLogged("error", "reading the outbox failed", `"consumer":"outbox"`)
	if err := i.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if strings.Contains(strings.Join(i.lines(), "\n"), "s3cret") {
		t.Error("the log has the password; want no \"s3cret\" in it")
	}
}

// What is wrong with consumers is found by checkconfig, with the key.
func TestConsumersAreChecked(t *testing.T) {
	for _, tt := range []struct{ consumer, want string }{
		{`"type": "postgresql"`, "consumers[ab].postgresql: dsn: is needed"},
		{`"type": "postgresql", "postgresql": {"dsn": "host=x", "outbox_table_name": "o", "tls": {"enabled": true, "server_ca_pem": "x"}}`, "consumers[ab].postgresql.tls.server_ca_pem: "},
		{`"type": "postgresql", "postgresql": {"dsn": "host=x", "outbox_table_name": "o"}`, ""},
	} {
		file := `{"http_server": {"port": 0}, "consumers": [{"name": "ab", "enabled": true, ` + tt.consumer + `}]}`
		cfg, err := loadText(t, file)
		if err == nil {
			err = Check(cfg)
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", tt.consumer, err, tt.want)
		}
	}
}

func loadText(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	i := &instance{t: t, file: t.TempDir() + "/config.json"}
	i.configure(strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}"))
	cfg, _, err := config.Load(config.Options{File: i.file, Environ: environ})
	return cfg, err
}

// pgTLS are settings of PostgreSQL with which every client needs a certificate.
func pgTLS(a *authority) pgtest.Options {
	cert, key := a.leaf()
	return pgtest.Options{
		Settings: []string{"ssl=on", "ssl_cert_file=FILES/cert.pem", "ssl_key_file=FILES/key.pem", "ssl_ca_file=FILES/ca.pem", "hba_file=FILES/hba.conf"},
		Files: map[string][]byte{
			"cert.pem": []byte(cert), "key.pem": []byte(key), "ca.pem": a.pem,
			"hba.conf": []byte("hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n"),
		},
	}
}

// clientSection is a TLS object of the configuration with a certificate.
func (a *authority) clientSection(change func(map[string]any)) string {
	a.t.Helper()
	cert, key := a.leaf()
	object := map[string]any{"enabled": true, "server_ca_pem": string(a.pem), "cert_pem": cert, "key_pem": key}
	if change != nil {
		change(object)
	}
	text, err := json.Marshal(object)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text)
}

// tlsChanges returns changes of a TLS object with which a connection cannot be made, or can.
func tlsChanges() map[string]tlsChange {
	return map[string]tlsChange{
		"complete":                {nil, true},
		"not enabled":             {func(o map[string]any) { o["enabled"] = false }, false},
		"no cert_pem, no key_pem": {func(o map[string]any) { delete(o, "cert_pem"); delete(o, "key_pem") }, false},
		"no server_ca_pem":        {func(o map[string]any) { delete(o, "server_ca_pem") }, false},
		"insecure_skip_verify":    {func(o map[string]any) { delete(o, "server_ca_pem"); o["insecure_skip_verify"] = true }, true},
		"another server_name":     {func(o map[string]any) { o["server_name"] = "example.com" }, false},
		"the address as its name": {func(o map[string]any) { o["server_name"] = "127.0.0.1" }, true},
	}
}

type tlsChange struct {
	change func(object map[string]any)
	works  bool
}

// awaitPublished starts a server for each change of TLS settings, and checks that a consumer
// publishes a message if and only if it can connect.
func awaitPublished(t *testing.T, a *authority, section string, failed string) {
	t.Helper()
	for name, tt := range tlsChanges() {
		t.Run(name, func(t *testing.T) {
			i := start(t, consumerSettings(strings.NewReplacer("TLS", a.clientSection(tt.change), "GROUP", strings.ReplaceAll(name, " ", "_")).Replace(section)))
			published := func() bool { return len(i.historyOf("p0")) > 0 }
			await.Until(t, "a publication or an error", func() bool { return published() || i.logged("error", failed, "") })
			if tt.works {
				i.awaitHistory("p0", "1")
			} else if published() {
				t.Error("published; want no connection")
			}
		})
	}
}

func TestKafkaTLS(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.leaf()
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	server := a.client()
	server.Certificates, server.ClientAuth, server.ClientCAs = []tls.Certificate{pair}, tls.RequireAndVerifyClientCert, server.RootCAs
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "commands"), kfake.TLS(server))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client := a.client()
	client.Certificates = []tls.Certificate{pair}
	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DialTLSConfig(client))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "commands", Value: []byte(consumertest.Command(0, 1))}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	awaitPublished(t, a, `{"name": "ka", "enabled": true, "type": "kafka", "kafka": {"brokers": ["`+cluster.ListenAddrs()[0]+
		`"], "topics": ["commands"], "consumer_group": "GROUP", "tls": TLS}}`, "consumer failed")
}

// With aws-msk-iam the client signs with the credentials of the environment, or with those of
// the role assume_role_arn.
func TestKafkaIAM(t *testing.T) {
	const role = "arn:aws:iam::1:role/reader"
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "of-environment", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "", "AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none", "AWS_ENDPOINT_URL_STS": sqstest.Roles(t, role),
	} {
		t.Setenv(name, value)
	}
	for _, tt := range []struct{ role, key, token string }{{"", "of-environment", ""}, {role, "of-role", "y"}} {
		t.Run(tt.key, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "commands"))
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			cluster.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				if mechanism := r.(*kmsg.SASLHandshakeRequest).Mechanism; mechanism != "AWS_MSK_IAM" {
					return nil, fmt.Errorf("mechanism %s", mechanism), true
				}
				return r.ResponseKind(), nil, true
			})
			sent := make(chan []byte, 100)
			cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				sent <- r.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes
				response := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
				response.SASLAuthBytes = []byte("{}")
				return response, nil, true
			})
			producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
			if err != nil {
				t.Fatal(err)
			}
			defer producer.Close()
			if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "commands", Value: []byte(consumertest.Command(0, 1))}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			i := start(t, consumerSettings(`{"name": "ka", "enabled": true, "type": "kafka", "kafka": {"brokers": ["`+cluster.ListenAddrs()[0]+
				`"], "topics": ["commands"], "consumer_group": "g", "sasl_mechanism": "aws-msk-iam", "assume_role_arn": "`+tt.role+`"}}`))
			i.awaitHistory("p0", "1")
			var got map[string]string
			if err := json.Unmarshal(<-sent, &got); err != nil {
				t.Fatal(err)
			}
			credential := got["x-amz-credential"]
			if !strings.HasPrefix(credential, tt.key+"/") || !strings.HasSuffix(credential, "/eu-west-1/kafka-cluster/aws4_request") || got["x-amz-security-token"] != tt.token {
				t.Errorf("the client sent %v; want the credential %s in eu-west-1, with the token %q", got, tt.key, tt.token)
			}
		})
	}
}

func TestJetStreamTLS(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.leaf()
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	settings := a.client()
	settings.Certificates, settings.ClientAuth, settings.ClientCAs = []tls.Certificate{pair}, tls.RequireAndVerifyClientCert, settings.RootCAs
	broker, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, TLSConfig: settings, TLS: true, TLSTimeout: 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	broker.Start()
	defer broker.WaitForShutdown()
	defer broker.Shutdown()
	if !broker.ReadyForConnections(await.Limit) {
		t.Fatal("the broker does not start; want it ready")
	}
	client := a.client()
	client.Certificates = []tls.Certificate{pair}
	conn, err := nats.Connect(broker.ClientURL(), nats.Secure(client))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"commands"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "commands", []byte(consumertest.Command(0, 1))); err != nil {
		t.Fatal(err)
	}
	awaitPublished(t, a, `{"name": "js", "enabled": true, "type": "nats_jetstream", "nats_jetstream": {"url": "`+broker.ClientURL()+
		`", "stream_name": "S", "durable_consumer_name": "GROUP", "deliver_policy": "all", "tls": TLS}}`, "consumer failed")
}

func TestRedisStreamTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	files := a.files()
	port, sentinelPort := strconv.Itoa(testprocess.FreePort(t)), strconv.Itoa(testprocess.FreePort(t))
	server := redistest.Start(t, append([]string{"--tls-port", port}, files.arguments()...)...)
	group := redistest.StartGroup(t, append([]string{"tls-port " + sentinelPort}, files.lines()...)...)
	for _, s := range []*redistest.Server{server, group.Master} {
		s.Do("XADD", "commands", "*", "payload", consumertest.Command(0, 1))
	}
	section := func(connection string) string {
		return `{"name": "rs", "enabled": true, "type": "redis_stream", "redis_stream": {` + connection + `, "streams": ["commands"], "consumer_group": "GROUP"}}`
	}
	t.Run("servers", func(t *testing.T) {
		awaitPublished(t, a, section(`"address": ["127.0.0.1:`+port+`"], "tls": TLS`), "consumer failed")
	})
	t.Run("sentinels", func(t *testing.T) {
		awaitPublished(t, a, section(`"sentinel_address": ["127.0.0.1:`+sentinelPort+`"], "sentinel_master_name": "`+group.Name+`", "sentinel_tls": TLS`), "consumer failed")
	})
}

// Every key of section redis_stream that says how to connect changes how the servers are
// reached.
func TestRedisStreamConnection(t *testing.T) {
	// redisKeys has address, cluster_address, sentinel_address, sentinel_master_name, sentinel_user,
	// sentinel_password, sentinel_client_name, db, user, password, client_name, force_resp2,
	// connect_timeout, io_timeout.
	shards := func(words string) string {
		settings := []string{}
		for word := range strings.FieldsSeq(words) {
			key, value, _ := strings.Cut(word, "=")
			settings = append(settings, "CENTRIFUGO_CONSUMERS_RS_REDIS_STREAM_"+strings.ToUpper(key)+"="+value)
		}
		cfg, _, err := config.Load(config.Options{Environ: append(settings, "CENTRIFUGO_CONSUMERS=rs", "CENTRIFUGO_CONSUMERS_RS_TYPE=redis_stream")})
		if err != nil {
			t.Fatalf("%s: %v", words, err)
		}
		shards, err := redisShards("redis_stream", cfg.Consumers[0].RedisStream.Redis)
		if err != nil {
			t.Fatalf("%s: %v", words, err)
		}
		return fmt.Sprintf("%#v", shards) // %v would call String
	}
	for key, p := range redisKeys {
		if !isRedisConnectionKey("." + key) {
			continue
		}
		base := strings.ReplaceAll(p.base, "SECTION.", "")
		if before, after := shards(base), shards(base+" "+key+"="+p.value); before == after {
			t.Errorf("%s=%s changes nothing: %s; want another value", key, p.value, before)
		}
	}
}

// TLS of an outbox: every setting of section tls counts, and no connection is made without TLS
// if the section is enabled.
func TestOutboxTLS(t *testing.T) {
	a := newAuthority(t)
	server := pgtest.StartWith(t, pgTLS(a))
	dsn := strings.TrimSuffix(server.DSN(), "?sslmode=disable")
	for name, tt := range tlsChanges() {
		t.Run(name, func(t *testing.T) {
			i := start(t, consumerSettings(`{"name": "outbox", "enabled": true, "type": "postgresql", "postgresql": {"dsn": "`+dsn+
				`", "outbox_table_name": "outbox", "tls": `+a.clientSection(tt.change)+`}}`))
			// With a connection there is another error: the table does not exist.
			connected := func() bool { return i.logged("error", "reading the outbox failed", "there is no table") }
			await.Until(t, "an error", func() bool { return connected() || i.logged("error", "reading the outbox failed", "failed to connect") })
			if connected() != tt.works {
				t.Errorf("connected = %v; want %v: %s", connected(), tt.works, strings.Join(i.lines(), "\n"))
			}
		})
	}
}
