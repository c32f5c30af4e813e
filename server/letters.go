// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/deadletter"
)

// letterService shows dead letters.
type letterService struct {
	pb.UnimplementedDeadLetterServiceServer
	*Server
}

// GetDeadLetter reads one dead letter in full.
func (s *letterService) GetDeadLetter(ctx context.Context, r *pb.GetDeadLetterRequest) (*pb.GetDeadLetterResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	if r.GetDeadLetterId() == "" && r.GetOperationId() == "" {
		c.fail("dead_letter_id", "is required, unless operation_id is set")
	}
	c.handle("dead_letter_id", r.GetDeadLetterId(), maxDerivedID, optional)
	c.id("operation_id", r.GetOperationId(), optional)
	if err := c.err(); err != nil {
		return nil, err
	}
	var view *engine.LetterView
	var err error
	if id := r.GetDeadLetterId(); id != "" {
		view, err = s.engine.GetLetter(ctx, namespace, id)
	} else {
		view, err = s.engine.GetLetterOf(ctx, namespace, r.GetOperationId())
	}
	if err != nil {
		return nil, err
	}
	return &pb.GetDeadLetterResponse{DeadLetter: wireLetter(view, true)}, nil
}

// ListDeadLetters reads dead letters, last given up first.
func (s *letterService) ListDeadLetters(ctx context.Context, r *pb.ListDeadLettersRequest) (*pb.ListDeadLettersResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	checkListLetters(&c, r)
	if err := c.err(); err != nil {
		return nil, err
	}
	page, err := collect(asked{r.GetPageSize(), r.GetPageToken()}, func(size int, token string) (engine.Page[*engine.LetterView], error) {
		return s.engine.ListLetters(ctx, &engine.ListQuery{
			Namespace: namespace, Target: r.GetTarget(), Run: r.GetRunId(), Reason: r.GetReason(), PageSize: size, PageToken: token,
		})
	}, func(v *engine.LetterView) bool { return wantedLetter(r, v) })
	if err != nil {
		return nil, err
	}
	resp := &pb.ListDeadLettersResponse{NextPageToken: page.Next}
	for _, v := range page.Items {
		resp.DeadLetters = append(resp.DeadLetters, wireLetter(v, false))
	}
	return resp, nil
}

func checkListLetters(c *checker, r *pb.ListDeadLettersRequest) {
	c.page(r.GetPageSize(), r.GetPageToken())
	choices(c, "states", r.GetStates(), pb.DeadLetterState_name)
	choices(c, "kinds", r.GetKinds(), pb.DeadLetterKind_name)
	c.name("target", r.GetTarget(), optional)
	choices(c, "classes", r.GetClasses(), pb.Class_name)
	c.handle("reason", r.GetReason(), maxCode, optional)
	c.id("run_id", r.GetRunId(), optional)
	if r.GetFingerprint() != "" {
		c.fail("fingerprint", "is not kept with letters yet; leave it out")
	}
	c.instant("since", r.GetSince())
	c.instant("until", r.GetUntil())
	c.labels("labels", r.GetLabels())
}

func wantedLetter(r *pb.ListDeadLettersRequest, v *engine.LetterView) bool {
	l := v.Letter
	return among(r.GetStates(), letterState(v)) && among(r.GetKinds(), wireLetterKind(l.Kind)) &&
		among(r.GetClasses(), wireClass(l.Class)) && within(l.LastDeadLettered, r.GetSince(), r.GetUntil()) &&
		carries(l.Envelope.Labels, r.GetLabels())
}

// letterState is where a letter stands now.
func letterState(v *engine.LetterView) pb.DeadLetterState {
	if v.Letter.Expired(v.Now) {
		return pb.DeadLetterState_DEAD_LETTER_STATE_EXPIRED
	}
	return wireLetterState(v.Letter.State)
}

// letterSchema is the number of the format that letters are written in.
const letterSchema = 1

func wireLetter(v *engine.LetterView, full bool) *pb.DeadLetter {
	l := v.Letter
	d := &pb.DeadLetter{
		DeadLetterId: v.ID, OperationId: l.Operation, RunId: l.Run, TaskId: l.Task, Target: l.Target, Level: int32(l.Level),
		Chain: l.Chain, State: letterState(v), Kind: wireLetterKind(l.Kind), Class: wireClass(l.Class), Reason: string(l.Reason),
		Certainty: wireCertainty(l.Certainty), ReplayPolicy: wireReplayPolicy(l.Policy),
		ReplayAfter: wireRemaining(l.ReplayAfter, v.Now), Attempts: int32(l.Attempts), ReplayCount: int32(l.Replays),
		IdempotencyKey: l.IdempotencyKey, EscalationId: l.Escalation, Envelope: wireEnvelope(&l.Envelope, full),
		FirstFailedAt: wireTime(l.FirstFailedAt), DeadLetteredAt: wireTime(l.DeadLetteredAt),
		LastDeadLetteredAt: wireTime(l.LastDeadLettered), ExpiresAt: wireTime(l.ExpiresAt), SchemaVersion: letterSchema,
	}
	for i := 0; full && i < len(l.History); i++ {
		f := &l.History[i]
		d.History = append(d.History, &pb.DeadLetterAttempt{
			At: wireTime(f.At), Target: f.Target, Class: wireClass(f.Class), Reason: string(f.Reason), Delay: wireDelay(f.Delay),
		})
	}
	return d
}

// wireEnvelope leaves out what is large and nobody's business in a list.
func wireEnvelope(e *deadletter.Envelope, full bool) *pb.DeadLetterEnvelope {
	w := &pb.DeadLetterEnvelope{
		ContentType: e.ContentType, PayloadRef: e.PayloadRef, PayloadSha256: e.PayloadSHA256, Labels: e.Labels,
	}
	if e.Checkpoint != (deadletter.Checkpoint{}) {
		w.Checkpoint = &pb.Checkpoint{Store: e.Checkpoint.Store, Id: e.Checkpoint.ID, Version: e.Checkpoint.Version}
	}
	if e.LastError != (deadletter.Error{}) {
		w.LastError = &pb.LastError{Type: e.LastError.Type, Code: e.LastError.Code, Message: e.LastError.Message}
	}
	if full {
		w.Context, w.Payload = e.Context, e.Payload
		if w.GetLastError() != nil {
			w.LastError.Stack = e.LastError.Stack
		}
	}
	return w
}
