// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"time"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
)

// pageTimeout bounds the wait for a page of the HTTP port.
const pageTimeout = 5 * time.Second

// serverBuild asks a server which version it is.
func serverBuild(ctx context.Context, addr string) (*build, *client.Page, error) {
	var b build
	page, err := client.GetPage(ctx, addr, "/version", pageTimeout, &b)
	if err != nil {
		return nil, page, err
	}
	if page.Status != http.StatusOK || b.Version == "" {
		return nil, page, &client.Error{Kind: client.Unavailable, Text: "the server at " + addr + " does not say which version it is"}
	}
	return &b, page, nil
}
