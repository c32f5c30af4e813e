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
	"strings"
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
	signers sync.Pool
}

// signer is a MAC with room to work in.
type signer struct {
	mac  hash.Hash
	raw  []byte
	text []byte
	sum  []byte
}

func newPermitIDs(key []byte) *permitIDs {
	return &permitIDs{signers: sync.Pool{New: func() any { return &signer{mac: hmac.New(sha256.New, key)} }}}
}

func (p *permitIDs) signer() *signer {
	return p.signers.Get().(*signer) //nolint:forcetypeassert // the pool holds nothing else
}

// encode returns the opaque id of a permit.
func (p *permitIDs) encode(c *claims) string {
	s := p.signer()
	defer p.signers.Put(s)
	raw := s.raw[:0]
	raw = append(raw, permitVersion, c.Flags)
	for _, part := range [...]string{c.Namespace, c.Operation, c.Target, c.Run, c.Credential} {
		raw = binary.AppendUvarint(raw, uint64(len(part)))
		raw = append(raw, part...)
	}
	raw = binary.AppendUvarint(raw, c.Fence)
	raw = binary.AppendUvarint(raw, c.Generation)
	raw = binary.AppendVarint(raw, int64(c.Expires))
	raw = binary.AppendVarint(raw, c.Cost)
	raw = append(raw, s.sign(raw)...)
	s.raw = raw
	s.text = base64.RawURLEncoding.AppendEncode(s.text[:0], s.raw)
	return string(s.text)
}

// sign returns the MAC of message, valid until the signer is used again.
func (s *signer) sign(message []byte) []byte {
	s.mac.Reset()
	s.mac.Write(message)
	s.sum = s.mac.Sum(s.sum[:0])
	return s.sum[:macSize]
}

// decode reads an id that encode made under the same key.
func (p *permitIDs) decode(id string) (*claims, bool) {
	s := p.signer()
	defer p.signers.Put(s)
	var err error
	s.text = append(s.text[:0], id...)
	s.raw, err = base64.RawURLEncoding.Strict().AppendDecode(s.raw[:0], s.text)
	if err != nil || len(s.raw) < macSize+2 || s.raw[0] != permitVersion || hasLineBreak(id) {
		return nil, false
	}
	body, sum := s.raw[:len(s.raw)-macSize], s.raw[len(s.raw)-macSize:]
	if !hmac.Equal(sum, s.sign(body)) {
		return nil, false
	}
	c := &claims{Flags: body[1]}
	r := reader{rest: body[2:], whole: string(body[2:])}
	for _, part := range [...]*string{&c.Namespace, &c.Operation, &c.Target, &c.Run, &c.Credential} {
		*part = r.text()
	}
	c.Fence, c.Generation = r.uvarint(), r.uvarint()
	c.Expires, c.Cost = rules.Instant(r.varint()), r.varint()
	return c, !r.bad && len(r.rest) == 0
}

// hasLineBreak reports whether an id has what base64 passes over: such an id
// is not the one that was given out.
func hasLineBreak(id string) bool { return strings.ContainsAny(id, "\r\n") }

// reader takes a permit id, or a decision id, apart.
type reader struct {
	rest  []byte
	whole string // what rest was at first, to cut texts from
	bad   bool
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
	at := len(r.whole) - len(r.rest)
	r.rest = r.rest[n:]
	return r.whole[at : at+int(n)]
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
		if secret, ok := entry.Record().(*Meta); ok {
			key = secret.Key
			return statestore.Rebuildable, nil
		}
		key = fresh
		entry.Put(&Meta{Key: fresh})
		return statestore.Durable, nil
	})
	return key, err
}
