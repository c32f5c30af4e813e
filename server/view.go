// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/resilienced/resilienced/rules"
)

// wireTime is an instant for display; absent if it is not set.
func wireTime(i rules.Instant) *timestamppb.Timestamp {
	if i == 0 {
		return nil
	}
	return &timestamppb.Timestamp{Seconds: floorSeconds(i), Nanos: int32(int64(i)-floorSeconds(i)*1e6) * 1e3}
}

func floorSeconds(i rules.Instant) int64 {
	s := int64(i) / 1e6
	if int64(i)%1e6 < 0 {
		s--
	}
	return s
}

// wireDelay is a duration of which zero means that there is none.
func wireDelay(d time.Duration) *durationpb.Duration {
	if d <= 0 {
		return nil
	}
	return durationpb.New(d)
}

// wireRemaining is what is left until an instant; absent if it is not set or
// over.
func wireRemaining(until, now rules.Instant) *durationpb.Duration { return wireDelay(until.Until(now)) }

// instantOf reads a bound of a filter; 0 if it is absent.
func instantOf(t *timestamppb.Timestamp) rules.Instant {
	if t == nil {
		return 0
	}
	return rules.At(t.AsTime())
}

// within reports whether an instant lies in [since, until); an absent bound
// bounds nothing.
func within(i rules.Instant, since, until *timestamppb.Timestamp) bool {
	return (since == nil || i >= instantOf(since)) && (until == nil || i < instantOf(until))
}

// carries reports whether labels have every one of the wanted.
func carries(labels, wanted map[string]string) bool {
	for name, value := range wanted {
		if has, ok := labels[name]; !ok || has != value {
			return false
		}
	}
	return true
}

// actorOf is who asks, for the audit: as the request says, or where it came
// from.
func actorOf(ctx context.Context, said string) string {
	if said != "" {
		return said
	}
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return "unknown"
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		host = p.Addr.String()
	}
	return "peer " + host
}
