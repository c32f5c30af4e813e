// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"io"
	"net"
	"net/http"
	"time"
)

// errorBody is an error in OpenAI's form. Others use the same names, with more
// or less in them.
type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Code    *string `json:"code"`
	Param   *string `json:"param"`
}

// Error answers with an error in the API's own form. An empty code is null on
// the wire, as most are. Headers are names and values in turn.
func Error(status int, kind, code string, headers ...string) Answer {
	body := errorBody{Error: errorDetail{Message: http.StatusText(status), Type: kind}}
	if code != "" {
		body.Error.Code = &code
	}
	return func(w http.ResponseWriter, _ *http.Request, _ Call) {
		set(w, headers)
		send(w, status, body)
	}
}

// RateLimited is a 429 with these headers.
func RateLimited(headers ...string) Answer {
	return Error(http.StatusTooManyRequests, "requests", "rate_limit_exceeded", headers...)
}

// RetryAt is a 429 whose Retry-After is a date, that far after the answer's own.
func RetryAt(wait time.Duration) Answer {
	return func(w http.ResponseWriter, r *http.Request, c Call) {
		now := time.Now().UTC()
		RateLimited("Date", now.Format(http.TimeFormat), "Retry-After", now.Add(wait).Format(http.TimeFormat))(w, r, c)
	}
}

// Page answers with a page for people, as proxies and portals do.
func Page(status int, title string, headers ...string) Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ Call) {
		set(w, headers)
		write(w, status, "text/html; charset=utf-8", "<html><title>"+title+"</title></html>")
	}
}

// JSON answers with any text as JSON, well-formed or not.
func JSON(status int, text string) Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ Call) { write(w, status, "application/json", text) }
}

// Reset breaks the connection off with a TCP reset instead of an answer.
func Reset() Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ Call) {
		conn := hijack(w)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // closing then sends a reset
		}
		_ = conn.Close()
	}
}

// HangUp closes the connection in good order, without an answer.
func HangUp() Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ Call) { _ = hijack(w).Close() }
}

// Cut begins an answer with this status and breaks off in the middle.
func Cut(status int) Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ Call) {
		w.Header().Set("Content-Length", "1000")
		write(w, status, "application/json", `{"id":"chatcmpl-1","choi`)
		_ = http.NewResponseController(w).Flush()
		_ = hijack(w).Close()
	}
}

// Silence takes the call and never answers.
func Silence() Answer {
	return func(_ http.ResponseWriter, r *http.Request, _ Call) { <-r.Context().Done() }
}

// Stall begins an answer and never ends it.
func Stall() Answer {
	return func(w http.ResponseWriter, r *http.Request, _ Call) {
		write(w, http.StatusOK, "application/json", `{"id":"chatcmpl-1",`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// hijack takes the connection over. The servers here speak HTTP/1.1, where
// that always works.
func hijack(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn
}

func set(w http.ResponseWriter, headers []string) {
	for i := 0; i+1 < len(headers); i += 2 {
		w.Header().Set(headers[i], headers[i+1])
	}
}

func write(w http.ResponseWriter, status int, contentType, text string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}
