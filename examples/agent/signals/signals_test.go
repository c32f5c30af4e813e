// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"golang.org/x/net/http2"
)

// TestException names what a test server does not bring about, in the wrapping
// in which net/http returns it.
func TestException(t *testing.T) {
	const (
		before = pb.CallPhase_CALL_PHASE_BEFORE_SEND
		sent   = pb.CallPhase_CALL_PHASE_BODY_SENT
		begun  = pb.CallPhase_CALL_PHASE_FIRST_BYTE
	)
	op := func(op string, err error) error { return &net.OpError{Op: op, Net: "tcp", Err: err} }
	for _, c := range []struct {
		err   error
		phase pb.CallPhase
		want  string
	}{
		{context.DeadlineExceeded, sent, "timeout"},
		{op("read", os.ErrDeadlineExceeded), sent, "timeout"},
		{op("dial", os.ErrDeadlineExceeded), before, "timeout"},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, before, "dns"},
		{op("dial", &net.DNSError{Err: "no such host", IsNotFound: true}), before, "dns"},
		{op("dial", os.NewSyscallError("connect", syscall.EHOSTUNREACH)), before, "connect"},
		{op("read", os.NewSyscallError("read", syscall.ECONNRESET)), sent, "reset"},
		{op("write", os.NewSyscallError("write", syscall.EPIPE)), sent, "reset"},
		{io.EOF, sent, "reset"},
		{io.ErrUnexpectedEOF, begun, "stream_broken"},
		{op("read", os.NewSyscallError("read", syscall.ECONNRESET)), begun, "stream_broken"},
		{http2.StreamError{StreamID: 3, Code: http2.ErrCodeRefusedStream}, sent, "refused_stream"},
		{http2.StreamError{StreamID: 3, Code: http2.ErrCodeInternal}, sent, "reset"},
		{http2.StreamError{StreamID: 3, Code: http2.ErrCodeInternal}, begun, "stream_broken"},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "api"}, before, "certificate"},
		{&json.UnsupportedValueError{Str: "NaN"}, before, "local"},
		{errors.New("what is this"), begun, "malformed"},
		{errors.New("what is this"), sent, "other"},
		{context.Canceled, sent, "cancelled"},
	} {
		wrapped := &url.Error{Op: "Post", URL: "https://api.example.com", Err: fmt.Errorf("call: %w", c.err)}
		if got := exception(wrapped, c.phase); got != c.want {
			t.Errorf("%v in %v is %q, want %q", c.err, c.phase, got, c.want)
		}
	}
}

func TestFromHTTP(t *testing.T) {
	for status, want := range map[int]pb.Outcome{204: pb.Outcome_OUTCOME_SUCCESS, 404: pb.Outcome_OUTCOME_FAILURE} {
		if a := FromHTTP(&http.Response{StatusCode: status}, nil, "", nil); a.Outcome != want {
			t.Errorf("%d: outcome %v, want %v", status, a.Outcome, want)
		}
	}
	for err, want := range map[error]pb.Outcome{io.EOF: pb.Outcome_OUTCOME_FAILURE, context.Canceled: pb.Outcome_OUTCOME_CANCELLED} {
		if a := FromHTTP(nil, err, "", nil); a.Outcome != want {
			t.Errorf("%v: outcome %v, want %v", err, a.Outcome, want)
		}
	}
}

// FuzzLimits shows that no provider can make a report that is refused.
func FuzzLimits(f *testing.F) {
	f.Add(200, "retry-after", "1", "code", "model")
	f.Add(999, "x-ratelimit-\xff", "\xff", strings.Repeat("c", 129), "a\x00b")
	f.Fuzz(func(t *testing.T, status int, name, value, code, model string) {
		h := http.Header{name: {value}, "X-Ratelimit-" + name: {value}}
		for i := range 100 {
			h[fmt.Sprintf("X-Ratelimit-%d", i)] = []string{value}
		}
		a := FromHTTP(&http.Response{StatusCode: status, Header: h}, nil, textWithin(code, maxCode), nil)
		if s := a.Signal.HttpStatus; s != nil && (*s < 100 || *s > 599) {
			t.Errorf("status %d", *s)
		}
		if len(a.Signal.Headers) > maxHeaders {
			t.Errorf("%d headers", len(a.Signal.Headers))
		}
		for name, value := range a.Signal.Headers {
			if !utf8.ValidString(name+value) || len(name) > maxHeaderName || len(value) > maxHeaderValue {
				t.Errorf("header %q: %q", name, value)
			}
		}
		if m := nameWithin(model, maxName); m != strings.TrimSpace(m) || strings.ContainsRune(m, 0) || len(m) > maxName {
			t.Errorf("model %q", m)
		}
	})
}
