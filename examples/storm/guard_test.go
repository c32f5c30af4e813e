// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

// script is a server that gives these answers in turn and keeps what it heard.
type script struct {
	pb.PermitServiceClient

	may   []*pb.AcquireResponse
	told  []*pb.ReportResponse
	heard []*pb.ReportRequest
	asked int
}

func (s *script) Acquire(context.Context, *pb.AcquireRequest, ...grpc.CallOption) (*pb.AcquireResponse, error) {
	if len(s.may) <= s.asked {
		return nil, errors.New("asked too often")
	}
	s.asked++
	return s.may[s.asked-1], nil
}

func (s *script) Report(_ context.Context, r *pb.ReportRequest, _ ...grpc.CallOption) (*pb.ReportResponse, error) {
	s.heard = append(s.heard, r)
	if len(s.told) < len(s.heard) {
		return nil, errors.New("the server is gone")
	}
	return s.told[len(s.heard)-1], nil
}

// answers is a transport that gives these statuses in turn.
type answers struct {
	statuses []int
	calls    int
}

func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	status := a.statuses[min(a.calls, len(a.statuses)-1)]
	a.calls++
	body := `{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}`
	if status != http.StatusOK {
		body = `{"error":{"message":"no","type":"overloaded_error","code":null}}`
	}
	h := http.Header{"Content-Type": {"application/json"}, "Retry-After": {"3"}, "Set-Cookie": {"secret"}}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: req, ContentLength: -1}, nil
}

func granted() *pb.AcquireResponse {
	return &pb.AcquireResponse{Decision: pb.Decision_DECISION_GRANTED, Permit: &pb.Permit{PermitId: "p", Fence: 1}}
}

func ask(t *testing.T, s *script, transport http.RoundTripper, more ...option.RequestOption) error {
	t.Helper()
	g := &guard{permits: s}
	options := append([]option.RequestOption{
		option.WithAPIKey("none"), option.WithBaseURL("http://nowhere/v1"), option.WithHTTPClient(&http.Client{Transport: transport}),
	}, g.model()...)
	client := openai.NewClient(append(options, more...)...)
	_, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
		Model: modelName, Messages: begin(1).messages, MaxCompletionTokens: openai.Int(5),
	})
	return err
}

// TestDenied: a denial reaches the caller as the SDK's own error, at once and
// without a call, also where the SDK's retries were left on.
func TestDenied(t *testing.T) {
	for name, more := range map[string][]option.RequestOption{"retries off": nil, "retries left on": {option.WithMaxRetries(2)}} {
		t.Run(name, func(t *testing.T) {
			s := &script{may: []*pb.AcquireResponse{{
				Decision: pb.Decision_DECISION_DENIED, Reason: pb.DecisionReason_DECISION_REASON_RUN_EXHAUSTED,
				BlockedBy: "task-1", Terminal: true,
			}}}
			transport := &answers{}
			err := ask(t, s, transport, more...)
			var api *openai.Error
			if !errors.As(err, &api) || api.StatusCode != http.StatusTooManyRequests || api.Code != "resilience_denied" {
				t.Fatalf("%v", err)
			}
			if !errors.Is(denied(err), errForGood) {
				t.Errorf("%v is not known to be for good", err)
			}
			if transport.calls != 0 || s.asked != 1 {
				t.Errorf("%d calls, asked %d times; want 0 and 1", transport.calls, s.asked)
			}
		})
	}
}

// TestObeys: WAIT and RETRY are waited for, what the wire said is reported, and
// the last answer is the caller's.
func TestObeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{
			may: []*pb.AcquireResponse{
				{Decision: pb.Decision_DECISION_WAIT, Delay: durationpb.New(2 * time.Second)}, granted(), granted(),
			},
			told: []*pb.ReportResponse{
				{Action: pb.Action_ACTION_RETRY, Delay: durationpb.New(3 * time.Second)}, {Action: pb.Action_ACTION_CONTINUE},
			},
		}
		transport := &answers{statuses: []int{529, http.StatusOK}}
		began := time.Now()
		if err := ask(t, s, transport); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited < 5*time.Second || waited > 5100*time.Millisecond {
			t.Errorf("waited %v; want 2s and 3s", waited)
		}
		if transport.calls != 2 || len(s.heard) != 2 {
			t.Fatalf("%d calls, %d reports", transport.calls, len(s.heard))
		}
		bad, good := s.heard[0], s.heard[1]
		if bad.GetOutcome() != pb.Outcome_OUTCOME_FAILURE || bad.GetSignal().GetHttpStatus() != 529 ||
			bad.GetSignal().GetBodyCode() != "overloaded_error" || len(bad.GetSignal().GetHeaders()) != 1 ||
			bad.GetSignal().GetHeaders()["retry-after"] != "3" || bad.GetUsage() != nil {
			t.Errorf("reported %v", bad)
		}
		if good.GetOutcome() != pb.Outcome_OUTCOME_SUCCESS || good.GetUsage().GetInputTokens() != 7 || good.GetUsage().GetOutputTokens() != 3 {
			t.Errorf("reported %v", good)
		}
	})
}

// TestStops: what the server gives up is the caller's, without another call,
// also where the SDK's retries were left on.
func TestStops(t *testing.T) {
	s := &script{may: []*pb.AcquireResponse{granted()}, told: []*pb.ReportResponse{{Action: pb.Action_ACTION_STOP}}}
	transport := &answers{statuses: []int{http.StatusServiceUnavailable}}
	err := ask(t, s, transport, option.WithMaxRetries(2))
	var api *openai.Error
	if !errors.As(err, &api) || api.StatusCode != http.StatusServiceUnavailable || transport.calls != 1 {
		t.Errorf("%v after %d calls", err, transport.calls)
	}
	if errors.Is(denied(err), errForGood) {
		t.Error("an answer of the provider's is taken for a denial")
	}
}

// TestUnreported: an answer is not lost because it could not be reported.
func TestUnreported(t *testing.T) {
	s, transport := &script{may: []*pb.AcquireResponse{granted()}}, &answers{statuses: []int{http.StatusOK}}
	if err := ask(t, s, transport); err != nil || transport.calls != 1 || len(s.heard) != 1 {
		t.Errorf("%v after %d calls and %d reports", err, transport.calls, len(s.heard))
	}
}
