package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"centrifugo/centrifuge/internal/clusterwire"
)

const (
	// surveyTimeout bounds a survey whose context has no deadline, and a delivery.
	surveyTimeout = 10 * time.Second
	// maxSurveys is how many calls of the survey handler may be under way on a node.
	// More are answered with ErrorTooManyRequests.
	maxSurveys = 128
	// MaxControlData bounds the data of a survey, a notification and a delivery, in bytes.
	MaxControlData = 4 << 20
)

// reservedOps is the prefix of the operations of the library.
const reservedOps = "centrifuge."

// surveyKind keeps the surveys of the library apart from those of the application,
// whose handler may hang.
type surveyKind uint8

const (
	surveyByApplication surveyKind = iota
	surveyByLibrary
	numSurveyKinds
)

// Errors of calls that concern one node of the cluster.
var (
	// ErrUnknownNode is returned for a node that is not in the cluster.
	ErrUnknownNode = errors.New("unknown node")
	// ErrControlDataTooLarge is returned for data larger than MaxControlData.
	ErrControlDataTooLarge = fmt.Errorf("data is larger than %d bytes", MaxControlData)
)

// SurveyResult is the answer of one node. Error is nil if its handler succeeded.
type SurveyResult struct {
	Data  []byte
	Error *Error
}

// SurveyError reports nodes that have not answered. Errors.Is finds Cause in it.
type SurveyError struct {
	Missing []string // ids of the nodes
	Cause   error    // of the context, or nil if the nodes have left the cluster
}

// Error implements error.
func (e *SurveyError) Error() string {
	text := fmt.Sprintf("%d nodes have not answered: %s", len(e.Missing), strings.Join(e.Missing, ", "))
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *SurveyError) Unwrap() error { return e.Cause }

// Survey calls Handlers.Survey on the node with id toNode, or on every node of the
// cluster, this one included, if toNode is empty. It returns the answers by the id of
// the node. Op is the application's; the prefix "centrifuge." is reserved.
//
// Survey waits until all have answered or ctx is done, for 10 seconds if ctx has no
// deadline. If nodes have not answered, it returns the answers that there are and a
// *SurveyError that names the others. A node that shuts down meanwhile is not waited
// for and not missing. A node without a handler answers ErrorNotAvailable, and so does
// one of an older release for an operation that is new. The error is ErrUnknownNode if
// toNode is not in the cluster.
func (n *Node) Survey(ctx context.Context, op string, data []byte, toNode string) (map[string]SurveyResult, error) {
	if err := checkControl(op, data); err != nil {
		return nil, fmt.Errorf("survey: %w", err)
	}
	return n.survey(ctx, op, data, toNode)
}

func checkControl(op string, data []byte) error {
	switch {
	case op == "" || len(op) > clusterwire.MaxName || strings.HasPrefix(op, reservedOps):
		return fmt.Errorf("operation %.100q is empty, too long or reserved: %w", op, ErrorBadRequest)
	case len(data) > MaxControlData:
		return ErrControlDataTooLarge
	}
	return nil
}

func (n *Node) survey(ctx context.Context, op string, data []byte, toNode string) (map[string]SurveyResult, error) {
	if err := n.running(); err != nil {
		return nil, err
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, surveyTimeout)
		defer cancel()
	}
	n.stats.actions.add(actionSurvey)
	began := time.Now()
	defer func() { n.stats.surveys.observe(strings.TrimPrefix(op, reservedOps), time.Since(began)) }()
	here := make(chan SurveyResult, 1)
	if toNode == "" || toNode == n.id {
		go func() { here <- n.surveyHere(ctx, SurveyEvent{Op: op, Data: data, FromNode: n.id}) }()
	}
	results := make(map[string]SurveyResult)
	var missing []string
	if toNode != n.id {
		var err error
		if results, missing, err = n.cluster.survey(ctx, op, data, toNode); err != nil {
			return nil, fmt.Errorf("survey: %w", err)
		}
	}
	if toNode == "" || toNode == n.id {
		select {
		case results[n.id] = <-here:
		case <-ctx.Done():
			missing = append(missing, n.id)
		}
	}
	return results, incomplete(ctx, missing)
}

// incomplete returns a *SurveyError if nodes are missing.
func incomplete(ctx context.Context, missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return &SurveyError{Missing: missing, Cause: context.Cause(ctx)}
}

// survey surveys other nodes. ctx has a deadline.
func (cl *cluster) survey(ctx context.Context, op string, data []byte, toNode string) (map[string]SurveyResult, []string, error) {
	deadline, _ := ctx.Deadline()
	timeout := min(max(time.Until(deadline).Milliseconds(), 1), clusterwire.MaxTimeout)
	return cl.call(ctx, toNode, &controlMessage{
		Op: clusterwire.OpSurvey, Survey: &clusterwire.Survey{Op: op, TimeoutMilli: timeout}, Payload: data,
	})
}

// surveyHere answers a survey on this node. The handler may hang: the number of
// calls under way is bounded.
func (n *Node) surveyHere(ctx context.Context, e SurveyEvent) SurveyResult {
	kind, handler := surveyByApplication, n.handlers.Survey
	if strings.HasPrefix(e.Op, reservedOps) {
		kind, handler = surveyByLibrary, n.librarySurvey
	}
	if handler == nil {
		return SurveyResult{Error: ErrorNotAvailable}
	}
	select {
	case n.cluster.surveys[kind] <- struct{}{}:
		defer func() { <-n.cluster.surveys[kind] }()
	default:
		return SurveyResult{Error: ErrorTooManyRequests}
	}
	reply, err := func() (reply SurveyReply, err error) {
		defer n.logger.caught(&err, "answering a survey")
		return handler(ctx, e)
	}()
	var refusal *Error
	switch {
	case err == nil:
		return SurveyResult{Data: reply.Data}
	case errors.As(err, &refusal):
		return SurveyResult{Error: refusal}
	case !errors.Is(err, errPanic): // a panic was logged where it was caught
		n.logger.log(LogError, "survey failed", "op", e.Op, "from", e.FromNode, "error", err)
	}
	return SurveyResult{Error: ErrorInternal}
}

// librarySurvey answers the operations of the library.
func (n *Node) librarySurvey(_ context.Context, e SurveyEvent) (SurveyReply, error) {
	if e.Op == surveyChannels {
		data, err := n.channelsHere(string(e.Data))
		return SurveyReply{Data: data}, err
	}
	return SurveyReply{}, ErrorNotAvailable // of a newer release
}

// answerSurvey answers a survey of another node.
func (cl *cluster) answerSurvey(m *controlMessage) {
	timeout := time.Duration(m.Survey.TimeoutMilli) * time.Millisecond
	if timeout == 0 {
		timeout = surveyTimeout
	}
	ctx, cancel := context.WithTimeout(cl.node.ctx, timeout)
	defer cancel()
	result := cl.node.surveyHere(ctx, SurveyEvent{Op: m.Survey.Op, Data: m.Payload, FromNode: m.From})
	if len(result.Data) > clusterwire.MaxPayload {
		cl.node.logger.log(LogError, "survey answer too large", "op", m.Survey.Op, "bytes", len(result.Data))
		result = SurveyResult{Error: ErrorLimitExceeded}
	}
	cl.answer(m, &clusterwire.Answer{Error: wireError(result.Error)}, result.Data)
}

// answer sends the outcome of a call to its caller, without waiting.
func (cl *cluster) answer(m *controlMessage, answer *clusterwire.Answer, data []byte) {
	to := m.From
	reply := &controlMessage{Op: clusterwire.OpAnswer, Call: m.Call, Answer: answer, Payload: data}
	go func() {
		ctx, cancel := context.WithTimeout(cl.node.ctx, answerTimeout)
		defer cancel()
		cl.send(ctx, to, reply)
	}()
}

// call is a survey or a delivery that waits for other nodes. Guarded by cluster.mu.
type call struct {
	waiting map[string]bool // ids of the nodes that have not answered
	expired []string        // ids of the nodes that have not answered and expired
	results map[string]SurveyResult
	done    chan struct{} // closed when no node is waited for
}

// finish notes that no answer of a node is expected any more.
func (c *call) finish(id string) {
	if !c.waiting[id] {
		return
	}
	delete(c.waiting, id)
	if len(c.waiting) == 0 {
		close(c.done)
	}
}

func (c *call) expire(id string) {
	if c.waiting[id] {
		c.expired = append(c.expired, id)
		c.finish(id)
	}
}

// call sends m to one node, or to all others if to is empty, and collects the answers.
// Missing are the nodes that have not answered when ctx is done.
func (cl *cluster) call(ctx context.Context, to string, m *controlMessage) (results map[string]SurveyResult, missing []string, err error) {
	c, err := cl.newCall(to, m)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		cl.mu.Lock()
		delete(cl.calls, m.Call)
		cl.mu.Unlock()
	}()
	if cl.waitsFor(c) {
		message, err := cl.encode(m)
		if err != nil {
			return nil, nil, err
		}
		if err := cl.publish(ctx, to, message); err != nil {
			return nil, nil, err
		}
		select {
		case <-ctx.Done():
		case <-c.done:
		}
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	missing = slices.AppendSeq(c.expired, maps.Keys(c.waiting))
	results, c.results = c.results, nil // an answer that comes now is too late
	return results, missing, nil
}

// newCall registers a call, numbers m and notes whom it waits for.
func (cl *cluster) newCall(to string, m *controlMessage) (*call, error) {
	c := &call{waiting: make(map[string]bool), results: make(map[string]SurveyResult), done: make(chan struct{})}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if to != "" {
		if _, known := cl.peers[to]; !known {
			return nil, fmt.Errorf("%w %.100q", ErrUnknownNode, to)
		}
		c.waiting[to] = true
	} else {
		for id := range cl.peers {
			c.waiting[id] = true
		}
	}
	cl.lastCall++
	m.Call = cl.lastCall
	cl.calls[m.Call] = c
	return c, nil
}

func (cl *cluster) waitsFor(c *call) bool {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return len(c.waiting) > 0
}

// collect notes an answer. An answer that no call waits for is ignored.
func (cl *cluster) collect(m *controlMessage) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	c := cl.calls[m.Call]
	if c == nil || c.results == nil || !c.waiting[m.From] {
		return
	}
	c.results[m.From] = SurveyResult{Data: append([]byte(nil), m.Payload...), Error: answerError(m.Answer.Error)}
	c.finish(m.From)
}
