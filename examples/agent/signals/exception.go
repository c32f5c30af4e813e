// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"golang.org/x/net/http2"
)

// exception names the kind of a Go error, in words that the server knows. The
// phase tells a connection that broke before the answer from one that broke in
// the middle of it.
func exception(err error, phase pb.CallPhase) string {
	begun := phase >= pb.CallPhase_CALL_PHASE_FIRST_BYTE
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case timedOut(err):
		return "timeout"
	case isA[*net.DNSError](err):
		return "dns"
	case badCertificate(err):
		return "certificate"
	case refusedStream(err):
		return "refused_stream"
	case dialing(err):
		return "connect"
	case broken(err) && begun:
		return "stream_broken"
	case broken(err):
		return "reset"
	case begun:
		// The SDK's own words for an answer that it cannot read.
		return "malformed"
	case isA[*json.MarshalerError](err), isA[*json.UnsupportedTypeError](err), isA[*json.UnsupportedValueError](err):
		return "local"
	}
	return "other"
}

// isA reports whether an error of this type is in the chain.
func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func timedOut(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func badCertificate(err error) bool {
	return isA[*tls.CertificateVerificationError](err) || isA[x509.UnknownAuthorityError](err) ||
		isA[x509.HostnameError](err) || isA[x509.CertificateInvalidError](err)
}

// refusedStream: HTTP/2 says that the server did not begin with the request.
func refusedStream(err error) bool {
	var e http2.StreamError
	return errors.As(err, &e) && e.Code == http2.ErrCodeRefusedStream
}

func dialing(err error) bool {
	var e *net.OpError
	return errors.As(err, &e) && e.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED)
}

func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		isA[*net.OpError](err) || isA[http2.StreamError](err)
}
