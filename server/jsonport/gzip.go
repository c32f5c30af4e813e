// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"compress/gzip"
	"errors"
	"io"

	"connectrpc.com/connect"

	"github.com/resilienced/resilienced/server"
)

// gzipOption is gzip with an end: connect-go refuses what unpacks to more than
// a request may have, but unpacks the rest too, to say how much there was. Of a
// full request that may be a gigabyte.
func gzipOption() connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &boundedReader{} },
		func() connect.Compressor { return gzip.NewWriter(io.Discard) })
}

var errUnpacked = errors.New("it unpacks to more than a request may have")

// boundedReader unpacks one byte more than a request may have, by which
// connect-go knows that it is too large, and then no more.
type boundedReader struct {
	gzip.Reader
	left int
}

// Reset implements connect.Decompressor.
func (b *boundedReader) Reset(r io.Reader) error {
	b.left = server.MaxReceive + 1
	return b.Reader.Reset(r)
}

// Read implements io.Reader.
func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errUnpacked
	}
	n, err := b.Reader.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
