// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard keeps web pages out. The port listens in clear text on the machine that
// a browser may run on, and the browser lets any page send requests there.
type guard struct {
	anyHost bool
	origin  *http.CrossOriginProtection
}

func newGuard(anyHost bool) *guard {
	return &guard{anyHost: anyHost, origin: http.NewCrossOriginProtection()}
}

// check refuses what a page sent: a request to a name that was made to point
// here (DNS rebinding), and one that another origin sent.
func (g *guard) check(r *http.Request) error {
	if !g.anyHost && !loopbackName(r.Host) {
		return &refusal{
			status: http.StatusMisdirectedRequest, code: "permission_denied",
			text: fmt.Sprintf("the Host header %q is not a name of this machine's loopback, and web pages can make their own name point there; "+
				"call http://localhost or http://127.0.0.1, or let a proxy in front send Host: localhost", clip(r.Host)),
		}
	}
	if err := g.origin.Check(r); err != nil {
		return &refusal{
			status: http.StatusForbidden, code: "permission_denied",
			text: "the request was sent by a web page of another origin (Origin, Sec-Fetch-Site), which may call nothing here; " +
				"call from a program, or through a server of your own",
		}
	}
	return nil
}

// loopbackName reports whether a Host header names this machine only. HTTP/1.0
// has none; no browser speaks it.
func loopbackName(host string) bool {
	if host == "" {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
