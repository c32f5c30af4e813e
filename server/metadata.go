// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"

	"google.golang.org/grpc/metadata"
)

// The metadata keys that say for whom a call is made and, on the hot path,
// stand in for fields that are empty.
const (
	keyNamespace = "resilience-namespace"
	keyRun       = "resilience-run-id"
	keyTask      = "resilience-task-id"
	keyOperation = "resilience-operation-id"
	keyPermit    = "resilience-permit-id"
)

// defaultNamespace is the tenant of a call that names none.
const defaultNamespace = "default"

// namespace returns the tenant of a call. Two values are refused: a proxy that
// adds one of its own must not decide whose records are read.
func (c *checker) namespace(ctx context.Context) string {
	values := metadata.ValueFromIncomingContext(ctx, keyNamespace)
	switch len(values) {
	case 0:
		return defaultNamespace
	case 1:
	default:
		c.fail("metadata."+keyNamespace, "is sent %d times; send it once", len(values))
		return ""
	}
	name := values[0]
	if name == "" || len(name) > maxNamespace || !slug(name) {
		c.fail("metadata."+keyNamespace, "must have 1 to %d characters, each a letter, a digit, or one of . _ -", maxNamespace)
	}
	return name
}

// slug reports whether a name has only letters, digits, dots, underscores and
// hyphens.
func slug(name string) bool {
	for i := range len(name) {
		switch b := name[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '.', b == '_', b == '-':
		default:
			return false
		}
	}
	return true
}

// inherit fills an empty field from metadata. A field that is set wins: the
// metadata comes from further out and is about the whole of what goes on there.
func inherit(ctx context.Context, field *string, key string) {
	if *field != "" {
		return
	}
	if values := metadata.ValueFromIncomingContext(ctx, key); len(values) > 0 {
		*field = values[0]
	}
}
