// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/resilienced/resilienced/server"
)

// Deps is what a port needs. Server is required.
type Deps struct {
	// Server has the services and what every call passes through.
	Server *server.Server
	// Ready looks at what must be well before callers are sent here; nil: only
	// whether the server drains is looked at. It is called by many goroutines.
	Ready func(context.Context) []Check
	// Metrics answers /metrics; nil: 404.
	Metrics http.Handler
	// Version is what /version answers, as encoding/json has it.
	Version any
	// AnyHost takes requests for every Host, for ports that listen beyond
	// loopback.
	AnyHost bool
	// Logger takes what net/http has to say; nil: nobody does.
	Logger *slog.Logger
}

// Port is the handler of everything on the port. It is safe for many
// goroutines and owns none.
type Port struct {
	deps    Deps
	guard   *guard
	methods *methods
	page    map[string]http.HandlerFunc

	mu     sync.Mutex
	closed bool
	busy   int
	under  sync.WaitGroup // as many as busy
}

// New makes a port over the services of a server.
func New(d Deps) *Port {
	p := &Port{deps: d, guard: newGuard(d.AnyHost), methods: newMethods(d.Server)}
	p.page = p.pages()
	return p
}

// ServeHTTP implements http.Handler.
func (p *Port) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.enter() {
		(&refusal{
			status: http.StatusServiceUnavailable, code: "unavailable",
			text: "this server is shutting down; ask again, on a new connection",
		}).write(w)
		return
	}
	defer p.leave()
	w.Header().Set("X-Content-Type-Options", "nosniff")
	err := p.guard.check(r)
	if err == nil {
		err = p.route(w, r)
	}
	if no, ok := err.(*refusal); ok { //nolint:errorlint // nothing here wraps one
		no.write(w)
	}
}

// enter counts a request in; false once the port is closed.
func (p *Port) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.busy++
	p.under.Add(1)
	return true
}

func (p *Port) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	p.under.Done()
}

// Busy is how many requests are under way.
func (p *Port) Busy() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy
}

// Close takes no more requests and returns when none is under way. It ends
// none: call it after the server's Shutdown or Close, which do not wait for
// handlers, and before what handlers use is closed.
func (p *Port) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.under.Wait()
}

// route serves the request, or says why not with a refusal.
func (p *Port) route(w http.ResponseWriter, r *http.Request) error {
	if page, found := p.page[r.URL.Path]; found {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return wrongMethod(r, "GET, HEAD")
		}
		page(w, r)
		return nil
	}
	m, found := p.methods.byPath[r.URL.Path]
	if !found {
		return p.notFound(r.URL.Path)
	}
	if r.Method != http.MethodPost {
		return wrongMethod(r, http.MethodPost)
	}
	if err := m.typed(r); err != nil {
		return err
	}
	if err := read(w, r); err != nil {
		return err
	}
	if m.streams {
		w = &patient{ResponseWriter: w, control: http.NewResponseController(w)}
	}
	m.handler.ServeHTTP(w, r)
	return nil
}

func wrongMethod(r *http.Request, allow string) error {
	text := fmt.Sprintf("%s is not taken here; use %s", clip(r.Method), allow)
	if allow == http.MethodPost {
		text += `, with -H 'content-type: application/json' and a body, {} if there is nothing to say`
	}
	return &refusal{status: http.StatusMethodNotAllowed, code: "invalid_argument", text: text, allow: allow}
}

// notFound says what there is instead.
func (p *Port) notFound(path string) error {
	text := fmt.Sprintf("there is no %q here; GET / says what there is", clip(path))
	service, name, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if names := p.methods.names[service]; names != nil {
		sorted := slices.Sorted(slices.Values(names))
		text = fmt.Sprintf("%s has no method %q that this port can carry; it has %s", service, clip(name), strings.Join(sorted, ", "))
	}
	return &refusal{status: http.StatusNotFound, code: "unimplemented", text: text}
}
