package awssqs

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/sqstest"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/consumertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// service is an emulator with queues.
type service struct {
	t        *testing.T
	server   *sqstest.Server
	endpoint string
	client   *sqs.Client
}

func start(t *testing.T) *service {
	t.Helper()
	server := sqstest.Start(t)
	s := &service{t: t, server: server, endpoint: server.Endpoint}
	source := s.source(func(c *config.AWSSQSConsumer) { c.Queues = []string{s.endpoint} })
	client, err := source.client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	return s
}

func (s *service) configuration(change func(*config.AWSSQSConsumer)) Options {
	c := config.AWSSQSConsumer{
		Region: "us-east-1", MaxNumberOfMessages: 10, WaitTimeTime: time.Second, VisibilityTimeout: 30 * time.Second, MaxConcurrency: 1,
		MethodAttribute: "centrifugo-method", LocalStackEndpoint: s.endpoint,
	}
	if change != nil {
		change(&c)
	}
	return Options{Config: c}
}

func (s *service) source(change func(*config.AWSSQSConsumer)) *Source {
	s.t.Helper()
	source, err := New(s.configuration(change))
	if err != nil {
		s.t.Fatal(err)
	}
	return source
}

// queue makes a queue, with an order if its name ends with .fifo, and returns its URL.
func (s *service) queue(name string) string {
	s.t.Helper()
	attributes := map[string]string{}
	if strings.HasSuffix(name, ".fifo") {
		attributes["FifoQueue"] = "true"
	}
	result, err := s.client.CreateQueue(s.t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		s.t.Fatal(err)
	}
	return *result.QueueUrl
}

// send sends a message with attributes: name, value and so on.
func (s *service) send(queue, body string, attributes ...string) {
	s.t.Helper()
	input := &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &body, MessageAttributes: map[string]types.MessageAttributeValue{}}
	for pair := range slices.Chunk(attributes, 2) {
		input.MessageAttributes[pair[0]] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &pair[1]}
	}
	if strings.HasSuffix(queue, ".fifo") {
		input.MessageGroupId, input.MessageDeduplicationId = aws.String("g"), aws.String(body)
	}
	if _, err := s.client.SendMessage(s.t.Context(), input); err != nil {
		s.t.Fatal(err)
	}
}

// awaitCount waits until the queue has a number of messages, visible or not.
func (s *service) awaitCount(queue string, visible, hidden int) {
	s.t.Helper()
	await.Until(s.t, fmt.Sprintf("%d messages and %d in work", visible, hidden), func() bool {
		v, h, err := s.counts(queue)
		if err != nil {
			s.t.Fatal(err)
		}
		return v == visible && h == hidden
	})
}

// counts returns how many messages a queue has, visible and not.
func (s *service) counts(queue string) (visible, hidden int, err error) {
	result, err := s.client.GetQueueAttributes(s.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return 0, 0, err
	}
	for name, value := range map[string]*int{"ApproximateNumberOfMessages": &visible, "ApproximateNumberOfMessagesNotVisible": &hidden} {
		if *value, err = strconv.Atoi(result.Attributes[name]); err != nil {
			return 0, 0, err
		}
	}
	return visible, hidden, nil
}

// receive returns how many messages the queue delivers now.
func (s *service) receive(queue string) int {
	s.t.Helper()
	result, err := s.client.ReceiveMessage(s.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(result.Messages)
}

// A queue with an order is processed in order; all messages are deleted, those without effect too.
func TestQueue(t *testing.T) {
	s := start(t)
	queue := s.queue("a.fifo")
	var want []string
	for n := range 25 {
		s.send(queue, consumertest.Command(0, n))
		want = append(want, fmt.Sprintf("publish p0 %d", n))
	}
	s.send(queue, "no JSON")
	node := &apitest.Node{}
	r := consumertest.Start(t, s.source(func(c *config.AWSSQSConsumer) { c.Queues = []string{queue} }), node)
	r.Processed(t, 26)
	s.awaitCount(queue, 0, 0)
	r.Stop()
	if got := node.Calls(); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
	if n := r.Stats().Refused(consumer.Malformed); n != 1 {
		t.Errorf("malformed = %d; want 1", n)
	}
}

// Each of the queues is read; one that does not exist is an error and does not stop the others.
func TestQueues(t *testing.T) {
	s := start(t)
	a, b := s.queue("a"), s.queue("b")
	s.send(a, consumertest.Command(0, 1))
	s.send(b, consumertest.Command(0, 1))
	r := consumertest.Start(t, s.source(func(c *config.AWSSQSConsumer) { c.Queues = []string{a, b, a + "none"} }), &apitest.Node{})
	r.Processed(t, 2)
	await.Until(t, "an error", func() bool { return strings.Contains(r.Log.String(), "receiving from anone") })
}

func TestAttributes(t *testing.T) {
	s := start(t)
	queue := s.queue("a")
	node := &apitest.Node{}
	s.send(queue, consumertest.Request(0, 1), "way", "publish")
	r := consumertest.Start(t, s.source(func(c *config.AWSSQSConsumer) { c.Queues, c.MethodAttribute = []string{queue}, "way" }), node)
	r.Processed(t, 1)
	s.awaitCount(queue, 0, 0)
	r.Stop()
	s.send(queue, "text", "centrifugo-channels", "a")
	r = consumertest.Start(t, s.source(func(c *config.AWSSQSConsumer) {
		c.Queues = []string{queue}
		c.PublicationDataMode = config.PublicationDataAttributes{Enabled: true, ChannelsAttribute: "centrifugo-channels"}
	}), node)
	r.Processed(t, 1)
	if got, want := node.Calls(), []string{"publish p0 1", "publish a text"}; !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

func TestEnvelope(t *testing.T) {
	s := start(t)
	queue := s.queue("a")
	node := &apitest.Node{}
	s.send(queue, fmt.Sprintf(`{"Type": "Notification", "MessageId": "1", "Message": %q}`, consumertest.Command(0, 1)))
	s.send(queue, `{"Message": "{\"channel\": \"c\", \"data\": 2}", "MessageAttributes": {"centrifugo-method": {"Type": "Binary", "Value": "cHVibGlzaA=="}}}`)
	s.send(queue, consumertest.Command(0, 3)) // without an envelope
	r := consumertest.Start(t, s.source(func(c *config.AWSSQSConsumer) { c.Queues, c.SNSEnvelope = []string{queue}, true }), node)
	r.Processed(t, 3)
	got := node.Calls()
	slices.Sort(got) // this queue has no order
	if want := []string{"publish c 2", "publish p0 1"}; !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
	if n := r.Stats().Refused(consumer.Malformed); n != 1 || !strings.Contains(r.Log.String(), "no envelope") {
		t.Errorf("malformed = %d; want 1, with a warning in the log: %s", n, r.Log)
	}
}

// A message that cannot be processed now is repeated, then delivered again after its visibility timeout,
// before those behind it in its group.
func TestRetry(t *testing.T) {
	s := start(t)
	queue := s.queue("a.fifo")
	for i := range 3 {
		s.send(queue, consumertest.Command(0, i))
	}
	n := &consumertest.Node{Before: consumertest.Failing(5)}
	source := s.source(func(c *config.AWSSQSConsumer) { c.Queues, c.VisibilityTimeout = []string{queue}, 2*time.Second })
	r := consumertest.Start(t, source, n)
	r.Processed(t, 3)
	s.awaitCount(queue, 0, 0)
	if got, want := n.Calls(), consumertest.Published(0, 0, 3); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
	if got := r.Stats().Retries.Load(); got != 4 { // three, and one after it was delivered again
		t.Errorf("repetitions = %d; want 4", got)
	}
}

// A message in work is not delivered again however long it takes, and when the server stops the
// others are given back at once.
func TestVisibilityTimeout(t *testing.T) {
	s := start(t)
	queue := s.queue("a")
	for i := range 3 {
		s.send(queue, consumertest.Command(0, i))
	}
	barrier := consumertest.NewBarrier("")
	n := &consumertest.Node{Before: barrier.Wait}
	change := func(c *config.AWSSQSConsumer) { c.Queues, c.VisibilityTimeout = []string{queue}, time.Second }
	r := consumertest.Start(t, s.source(change), n)
	defer barrier.Open()
	await.Until(t, "a message in work", func() bool { return n.InWork() == 1 })
	s.awaitCount(queue, 0, 3)
	clock := s.queue("clock") // the timeout is the service's, and so is this time
	if _, err := s.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &clock, MessageBody: aws.String("x"), DelaySeconds: 3}); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "three seconds", func() bool { return s.receive(clock) == 1 })
	if got := s.receive(queue); got != 0 {
		t.Errorf("%d messages are delivered again; want none", got)
	}
	r.Interrupt()
	barrier.Open()
	r.Stop()
	s.awaitCount(queue, 2, 0)
}

// max_concurrency bounds what is in work of a queue, and max_number_of_messages what a call receives.
func TestConcurrency(t *testing.T) {
	s := start(t)
	queue := s.queue("a")
	for i := range 6 {
		s.send(queue, consumertest.Command(0, i))
	}
	barrier := consumertest.NewBarrier("")
	n := &consumertest.Node{Before: barrier.Wait}
	r := consumertest.Start(t, s.source(func(c *config.AWSSQSConsumer) {
		c.Queues, c.MaxConcurrency, c.MaxNumberOfMessages = []string{queue}, 2, 1
	}), n)
	defer barrier.Open()
	await.Until(t, "two messages in work", func() bool { return n.InWork() == 2 })
	s.awaitCount(queue, 4, 2)
	barrier.Open()
	r.Processed(t, 6)
	if got := n.Most(); got != 2 {
		t.Errorf("%d messages were in work at the same time; want 2", got)
	}
}

func TestConfiguration(t *testing.T) {
	s := &service{t: t}
	for _, tt := range []struct {
		want   string
		change func(*config.AWSSQSConsumer)
	}{
		{"queues: ", func(c *config.AWSSQSConsumer) { c.Queues = nil }},
		{"queues: ", func(c *config.AWSSQSConsumer) { c.Queues = []string{"name"} }},
		{"max_number_of_messages: ", func(c *config.AWSSQSConsumer) { c.MaxNumberOfMessages = 11 }},
		{"wait_time_time: ", func(c *config.AWSSQSConsumer) { c.WaitTimeTime = 21 * time.Second }},
		{"wait_time_time: ", func(c *config.AWSSQSConsumer) { c.WaitTimeTime = time.Millisecond }},
		{"visibility_timeout: ", func(c *config.AWSSQSConsumer) { c.VisibilityTimeout = 0 }},
		{"max_concurrency: ", func(c *config.AWSSQSConsumer) { c.MaxConcurrency = 0 }},
		{"localstack_endpoint: ", func(c *config.AWSSQSConsumer) { c.LocalStackEndpoint = "localhost" }},
	} {
		options := s.configuration(func(c *config.AWSSQSConsumer) { c.Queues = []string{"https://sqs/1/a"}; tt.change(c) })
		if _, err := New(options); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("New = %v; want %s", err, tt.want)
		}
	}
}

// The region, the profile and the role decide with whose credentials requests are signed.
func TestCredentials(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_SHARED_CREDENTIALS_FILE": "testdata/credentials", "AWS_CONFIG_FILE": "testdata/none", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "environment", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "",
	} {
		t.Setenv(name, value)
	}
	s := &service{t: t}
	for _, tt := range []struct {
		name, key, region, err string
		change                 func(*config.AWSSQSConsumer)
	}{
		{"environment", "environment", "us-east-1", "", func(*config.AWSSQSConsumer) {}},
		{"region", "environment", "eu-west-1", "", func(c *config.AWSSQSConsumer) { c.Region = "eu-west-1" }},
		{"no region", "", "", "region: ", func(c *config.AWSSQSConsumer) { c.Region = "" }},
		{"profile", "of-profile", "us-east-1", "", func(c *config.AWSSQSConsumer) { c.CredentialsProfile = "other" }},
		{"no such profile", "", "", "none", func(c *config.AWSSQSConsumer) { c.CredentialsProfile = "none" }},
		{"emulator", "test", "us-east-1", "", func(c *config.AWSSQSConsumer) { c.LocalStackEndpoint = "http://127.0.0.1:1" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := s.source(func(c *config.AWSSQSConsumer) { c.Queues = []string{"https://sqs/1/a"}; tt.change(c) })
			client, err := source.client(t.Context())
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("client = %v; want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := client.Options().Credentials.Retrieve(t.Context())
			if err != nil || got.AccessKeyID != tt.key || client.Options().Region != tt.region {
				t.Errorf("key %q in %q, %v; want %q in %q", got.AccessKeyID, client.Options().Region, err, tt.key, tt.region)
			}
		})
	}
}

// wait_time_time is how long the service waits for messages, visibility_timeout for how long it hides them.
func TestWaitTime(t *testing.T) {
	s := start(t)
	queue := s.queue("a")
	target, err := url.Parse(s.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan string, 1000)
	between := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		body, err := io.ReadAll(r.In.Body)
		if err == nil && strings.HasSuffix(r.In.Header.Get("X-Amz-Target"), "ReceiveMessage") {
			select {
			case calls <- string(body):
			default: // one is enough
			}
		}
		r.Out.Body = io.NopCloser(bytes.NewReader(body))
		r.SetURL(target)
	}})
	defer between.Close()
	r := consumertest.Start(t, s.source(func(c *config.AWSSQSConsumer) {
		c.Queues, c.LocalStackEndpoint, c.WaitTimeTime, c.VisibilityTimeout = []string{queue}, between.URL, 2*time.Second, 7*time.Second
	}), &apitest.Node{})
	got := await.Receive(t, calls, "a call")
	r.Stop()
	if !strings.Contains(got, `"WaitTimeSeconds":2`) || !strings.Contains(got, `"VisibilityTimeout":7`) {
		t.Errorf("ReceiveMessage %s; want WaitTimeSeconds 2, VisibilityTimeout 7", got)
	}
}

// With a role the credentials are those that the token service gives for it.
func TestRole(t *testing.T) {
	const role = "arn:aws:iam::1:role/reader"
	s := &service{t: t, endpoint: sqstest.Roles(t, role)}
	client, err := s.source(func(c *config.AWSSQSConsumer) { c.Queues, c.AssumeRoleARN = []string{"https://sqs/1/a"}, role }).client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Options().Credentials.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "of-role" {
		t.Fatalf("key %q, %v; want of-role", got.AccessKeyID, err)
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(`{"Message": "a", "MessageAttributes": {"b": {"Type": "Binary", "Value": "YQ=="}, "c": {"Type": "String", "Value": "d"}}}`))
	f.Fuzz(func(t *testing.T, envelope []byte) {
		body, attributes, err := openEnvelope(envelope)
		if err != nil && (body != nil || attributes != nil) {
			t.Errorf("openEnvelope = %q, %v with %v; want nothing beside an error", body, attributes, err)
		}
		if len(body) > 3*len(envelope) { // U+FFFD has three bytes
			t.Errorf("the body has %d bytes; want at most three times the envelope's %d", len(body), len(envelope))
		}
	})
}
