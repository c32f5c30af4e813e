// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/resilienced/resilienced/server"
)

// What the port bears from its clients, beside server.MaxReceive.
const (
	// headerTime is what the first line and the headers may take.
	headerTime = 5 * time.Second
	// readTime is what headers and body may take together.
	readTime = 15 * time.Second
	// writeTime is what a call and its answer may take: the longest poll of 65 s
	// and the time of a slow reader.
	writeTime = 95 * time.Second
	// messageTime is what one message of a stream may take to be written.
	messageTime = 30 * time.Second
	// idleTime is how long a connection is kept for its next call.
	idleTime = 2 * time.Minute
)

// NewServer makes the HTTP server of a port. HTTP/1.1 only: its clients are
// shells and standard libraries, and what HTTP/2 lets a peer do to a server is
// then no concern here.
func NewServer(p *Port) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	log := p.deps.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler:           p,
		Protocols:         protocols,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    server.MaxHeaderList,
		// An OPTIONS for "*" is answered like every other path that is not here.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// patient is the writer of a stream: it may last, but each write of it must
// end.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

// Unwrap gives the writer to http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Write implements http.ResponseWriter.
func (p *patient) Write(b []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (p *patient) Flush() {
	p.extend()
	_ = p.control.Flush() // a client that is gone ends the stream's context
}

func (p *patient) extend() {
	// It fails where there is no connection, as in tests, and no deadline then.
	_ = p.control.SetWriteDeadline(time.Now().Add(messageTime))
}
