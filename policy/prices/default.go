// SPDX-License-Identifier: Apache-2.0

package prices

import (
	_ "embed"
	"sync"
)

//go:embed default.yaml
var defaultYAML []byte

// Default returns the table that comes with the product. It is made by hand and
// says of which day it is. Nothing ever fetches another.
func Default() *Table { return readDefault() }

//nolint:gochecknoglobals // Read-only once read: to read it for each policy would cost more than the policy.
var readDefault = sync.OnceValue(func() *Table {
	t, err := Read("default.yaml", defaultYAML)
	if err != nil { // a test reads it
		panic(err)
	}
	return t
})
