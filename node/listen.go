// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// ErrClearText refuses an address that others than this machine can reach.
var ErrClearText = errors.New("whoever reaches that address in clear text can read and change everything: " +
	"listen on 127.0.0.1 and put a proxy with TLS before it, or say --insecure-listen-any if the network is yours alone")

// endpoint is an address with what to say when it cannot be used.
type endpoint struct {
	address string
	example string
	flag    string
}

// listen opens a port. Without insecure only loopback addresses are taken;
// a name is looked up first, so that it is the address that counts.
func listen(ctx context.Context, e endpoint, insecure bool) (net.Listener, error) {
	address := e.address
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the address %q is not HOST:PORT, such as %s (%s): %w", address, e.example, e.flag, err)
	}
	if !insecure && host == "" {
		return nil, fmt.Errorf("refusing to listen on every address with %q: %w", address, ErrClearText)
	}
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the address %q cannot be used: %w", address, err)
	}
	if !insecure && !at.IP.IsLoopback() {
		return nil, fmt.Errorf("refusing to listen on %s: %w", address, ErrClearText)
	}
	target := at.String()
	if host == "" {
		target = address
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", target)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s (is another resilienced running there? choose another port with %s): %w", address, e.flag, err)
	}
	return listener, nil
}
