// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// policyService keeps the operator's numbers.
type policyService struct {
	pb.UnimplementedPolicyServiceServer
	*Server
}

// GetPolicy reads the policy in force.
func (s *policyService) GetPolicy(ctx context.Context, _ *pb.GetPolicyRequest) (*pb.GetPolicyResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	if err := c.err(); err != nil {
		return nil, err
	}
	p, err := s.engine.GetPolicy(ctx, namespace)
	if err != nil {
		return nil, err
	}
	return &pb.GetPolicyResponse{
		Yaml: string(p.Text), Epoch: int64(p.Epoch), Sha256: p.Hash, AppliedAt: wireTime(p.AppliedAt), AppliedBy: p.AppliedBy, Reason: p.Reason,
	}, nil
}

// ApplyPolicy checks a policy and puts it in force.
func (s *policyService) ApplyPolicy(ctx context.Context, r *pb.ApplyPolicyRequest) (*pb.ApplyPolicyResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	checkApplyPolicy(&c, r)
	if err := c.err(); err != nil {
		return nil, err
	}
	before, err := s.engine.GetPolicy(ctx, namespace)
	if err != nil {
		return nil, err
	}
	after, err := s.engine.ApplyPolicy(ctx, applyPolicyOf(ctx, namespace, r))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(r.GetYaml()))
	return &pb.ApplyPolicyResponse{
		Epoch: int64(after.Epoch), Changed: before.Hash != hex.EncodeToString(sum[:]), Warnings: after.Warnings,
	}, nil
}

func checkApplyPolicy(c *checker, r *pb.ApplyPolicyRequest) {
	c.id("request_id", r.GetRequestId(), required)
	c.text("yaml", r.GetYaml(), maxPolicyText, required)
	if n := r.ExpectedEpoch; n != nil && *n < 0 {
		c.fail("expected_epoch", "is %d; it must not be negative", *n)
	}
	reason := required
	if r.GetValidateOnly() {
		reason = optional
	}
	c.text("reason", r.GetReason(), maxNote, reason)
	c.name("actor", r.GetActor(), optional)
}

// policyFile is the name by which the faults of a request's policy say where
// they are.
const policyFile = "policy.yaml"

func applyPolicyOf(ctx context.Context, namespace string, r *pb.ApplyPolicyRequest) *engine.ApplyPolicyRequest {
	var d digest
	d.begin("apply policy")
	d.text(r.GetYaml())
	d.flag(r.GetValidateOnly())
	d.amount(r.ExpectedEpoch)
	d.text(r.GetReason())
	d.text(r.GetActor())
	apply := &engine.ApplyPolicyRequest{
		Namespace: namespace, RequestID: r.GetRequestId(), File: policyFile, Text: []byte(r.GetYaml()),
		ValidateOnly: r.GetValidateOnly(), Actor: actorOf(ctx, r.GetActor()), Reason: r.GetReason(), Hash: d.value(),
	}
	if r.ExpectedEpoch != nil {
		epoch := uint64(*r.ExpectedEpoch)
		apply.ExpectedEpoch = &epoch
	}
	return apply
}

// ExplainTarget shows the numbers that hold for a target.
func (s *policyService) ExplainTarget(ctx context.Context, r *pb.ExplainTargetRequest) (*pb.ExplainTargetResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.name("target", r.GetTarget(), required)
	if err := c.err(); err != nil {
		return nil, err
	}
	p, err := s.engine.GetPolicy(ctx, namespace)
	if err != nil {
		return nil, err
	}
	said, err := s.engine.ExplainTarget(ctx, namespace, r.GetTarget())
	if err != nil {
		return nil, err
	}
	resp := &pb.ExplainTargetResponse{Target: r.GetTarget(), Epoch: int64(p.Epoch), Chains: said.Chains}
	for _, f := range said.Settings {
		resp.Fields = append(resp.Fields, &pb.ResolvedField{Path: f.Field, Value: f.Value, Source: f.Source})
		if f.Field == "match" {
			resp.Matched, resp.Kind = []string{f.Value}, said.Config.Kind
		}
	}
	return resp, nil
}
