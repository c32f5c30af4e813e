// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/resilienced/resilienced/server"
)

// envelope is what a stream's request has before its bytes.
const envelope = 5

// The types of a request's body.
func unaryTypes() []string {
	return append([]string{"application/json", "application/proto"}, webTypes()...)
}

func streamTypes() []string {
	return append([]string{"application/connect+json", "application/connect+proto"}, webTypes()...)
}

func webTypes() []string {
	return []string{"application/grpc-web", "application/grpc-web+proto", "application/grpc-web+json"}
}

// typed checks the type of the body, and reduces it to what connect-go knows.
// A type that a web page may send without being asked is never taken.
func (m method) typed(r *http.Request) error {
	allowed := unaryTypes()
	if m.streams {
		allowed = streamTypes()
	}
	said := r.Header.Get("Content-Type")
	media, parameters, err := mime.ParseMediaType(said)
	charset := parameters["charset"]
	switch {
	case err != nil || !slices.Contains(allowed, media):
		text := fmt.Sprintf("the content type %q is not one of this method's; send -H 'content-type: %s'", clip(said), allowed[0])
		if m.streams && media == "application/json" {
			text += ", each message with Connect's five bytes before it; curl alone cannot, a Connect or gRPC client can"
		}
		return &refusal{status: http.StatusUnsupportedMediaType, code: "invalid_argument", text: text}
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return &refusal{
			status: http.StatusUnsupportedMediaType, code: "invalid_argument",
			text: fmt.Sprintf("the charset %q is not taken; send UTF-8", clip(charset)),
		}
	}
	r.Header.Set("Content-Type", media)
	return nil
}

// clip bounds what of a request is said back.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// read takes the whole body, so that what is wrong with it is said in one
// place. At its end net/http lifts the deadline for reading, and the call may
// take longer than its body.
func read(w http.ResponseWriter, r *http.Request) error {
	limit := int64(server.MaxReceive + envelope)
	if r.ContentLength > limit {
		return tooLarge()
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return unread(err, len(data))
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	return nil
}

func tooLarge() error {
	return &refusal{
		status: http.StatusRequestEntityTooLarge, code: "resource_exhausted",
		text: fmt.Sprintf("the body is larger than the %d bytes that a request may have; send less, such as a reference in place of a payload", server.MaxReceive),
	}
}

func unread(err error, got int) error {
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return tooLarge()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &refusal{
			status: http.StatusRequestTimeout, code: "deadline_exceeded",
			text: fmt.Sprintf("the body did not come within %v; send it at once", readTime),
		}
	}
	return &refusal{
		status: http.StatusBadRequest, code: "invalid_argument",
		text: fmt.Sprintf("the body ended or was damaged after %d bytes; send as many as Content-Length says", got),
	}
}
