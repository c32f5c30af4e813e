// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// claims is what a permit id carries under the service's key. Its holder is
// the permit itself; a share of a budget may be one later.
type claims struct {
	Namespace  string
	Operation  string
	Target     string
	Run        string
	Credential string
	Fence      uint64
	Generation uint64
	Expires    rules.Instant
	Cost       int64
	Flags      byte
}

// The flags of a permit id.
const (
	flagSlot byte = 1 << iota
	flagProbe
)

const (
	permitVersion = 1 // holder: the permit itself
	macSize       = 16
)

// permitIDs makes and reads permit ids. It is safe for many goroutines.
type permitIDs struct {
	macs sync.Pool
}

// Secret is the record of the key that permit ids are signed with.
type Secret struct {
	Key []byte `json:"k"`
}

func newPermitIDs(key []byte) *permitIDs {
	return &permitIDs{macs: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// encode returns the opaque id of a permit.
func (p *permitIDs) encode(c *claims) string {
	raw := make([]byte, 0, 192)
	raw = append(raw, permitVersion, c.Flags)
	for _, s := range [...]string{c.Namespace, c.Operation, c.Target, c.Run, c.Credential} {
		raw = binary.AppendUvarint(raw, uint64(len(s)))
		raw = append(raw, s...)
	}
	raw = binary.AppendUvarint(raw, c.Fence)
	raw = binary.AppendUvarint(raw, c.Generation)
	raw = binary.AppendVarint(raw, int64(c.Expires))
	raw = binary.AppendVarint(raw, c.Cost)
	raw = p.sign(raw, raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// sign appends the MAC of message to dst.
func (p *permitIDs) sign(dst, message []byte) []byte {
	mac := p.macs.Get().(hash.Hash) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	defer p.macs.Put(mac)
	mac.Reset()
	mac.Write(message)
	var sum [sha256.Size]byte
	return append(dst, mac.Sum(sum[:0])[:macSize]...)
}

// decode reads an id that encode made under the same key.
func (p *permitIDs) decode(id string) (*claims, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(raw) < macSize+2 || raw[0] != permitVersion {
		return nil, false
	}
	body, sum := raw[:len(raw)-macSize], raw[len(raw)-macSize:]
	if !hmac.Equal(sum, p.sign(nil, body)) {
		return nil, false
	}
	c := &claims{Flags: body[1]}
	r := reader{rest: body[2:]}
	for _, s := range [...]*string{&c.Namespace, &c.Operation, &c.Target, &c.Run, &c.Credential} {
		*s = r.text()
	}
	c.Fence, c.Generation = r.uvarint(), r.uvarint()
	c.Expires, c.Cost = rules.Instant(r.varint()), r.varint()
	return c, !r.bad && len(r.rest) == 0
}

// reader takes a permit id, or a decision id, apart.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	return advance(r, v, n)
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	return advance(r, v, n)
}

func advance[T int64 | uint64](r *reader, v T, n int) T {
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

// permitKey returns the key that this store's permits are signed with, and
// makes it the first time.
func (e *Engine) permitKey(ctx context.Context) ([]byte, error) {
	fresh := make([]byte, sha256.Size)
	if _, err := rand.Read(fresh); err != nil {
		return nil, err
	}
	entry := &statestore.Entry{
		Key: statestore.Key{Kind: statestore.KindMeta, Name: "permit-key"}, Mode: statestore.Write,
	}
	var key []byte
	err := e.store.Update(ctx, []*statestore.Entry{entry}, func(rules.Instant) (statestore.Durability, error) {
		if secret, ok := entry.Record().(*Secret); ok {
			key = secret.Key
			return statestore.Rebuildable, nil
		}
		key = fresh
		entry.Put(&Secret{Key: fresh})
		return statestore.Durable, nil
	})
	return key, err
}
