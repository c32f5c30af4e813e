// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// DefaultHTTPAddr is where `resilienced serve` listens for JSON over HTTP.
const DefaultHTTPAddr = "127.0.0.1:7071"

// largestPage is the largest page that is read.
const largestPage = 1 << 20

// Page is a page of the server's HTTP port.
type Page struct {
	// Status is its HTTP status.
	Status int
	// Date is the server's clock, to the second; zero: it did not say.
	Date time.Time
}

// GetPage reads one of the pages of the HTTP port, such as /readyz, into the
// value that to points to. A status other than 200 is no error; an answer that
// is no JSON is.
func GetPage(ctx context.Context, addr, path string, timeout time.Duration, to any) (*Page, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, &Error{Kind: Usage, Text: fmt.Sprintf("the address %q is not HOST:PORT, such as %s", addr, DefaultHTTPAddr), err: err}
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(bounded, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return nil, &Error{Kind: Usage, Text: fmt.Sprintf("the address %q cannot be used: %v", addr, err), err: err}
	}
	transport := &http.Transport{DisableKeepAlives: true} // no proxy: it is a port of this house
	resp, err := (&http.Client{Transport: transport, CheckRedirect: stay}).Do(req)
	if err != nil {
		return nil, noPage(addr, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, largestPage))
	if err != nil {
		return nil, noPage(addr, err)
	}
	page := &Page{Status: resp.StatusCode}
	if page.Date, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
		page.Date = time.Time{}
	}
	if err := json.Unmarshal(text, to); err != nil {
		return page, &Error{
			Kind: Unavailable, err: err,
			Text: fmt.Sprintf("what answers http://%s%s with status %d is not resilienced's JSON port, or an older one", addr, path, resp.StatusCode),
		}
	}
	return page, nil
}

// stay follows no redirection: the port makes none.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func noPage(addr string, err error) error {
	return &Error{
		Kind: Unavailable, err: err,
		Text: fmt.Sprintf("nobody answers HTTP at %s; name the JSON port of the server with --http-addr or RESILIENCED_HTTP_ADDR: %v", addr, err),
	}
}
