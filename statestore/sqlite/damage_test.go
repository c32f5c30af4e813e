// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resilienced/resilienced/statestore"
)

// flips is how many damaged copies each test looks at.
const flips = 100

// damaged writes a copy of a file with one bit turned and returns its path.
func damaged(t *testing.T, whole []byte, random *rand.Rand, number int) string {
	t.Helper()
	copied := slices.Clone(whole)
	copied[random.IntN(len(copied))] ^= 1 << random.IntN(8)
	path := filepath.Join(t.TempDir(), strconv.Itoa(number))
	if err := os.WriteFile(path, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// look reads every note and lists them. It returns how many are missing, and
// how many calls found the damage.
func look(t *testing.T, s *Store, notes int) (missing, found int) {
	t.Helper()
	failed := func(err error) bool {
		if err != nil && !errors.Is(err, statestore.ErrNotADatabase) {
			t.Fatalf("damage gives %v", err)
		}
		if err != nil {
			found++
		}
		return err != nil
	}
	right := func(name string, r statestore.Record) {
		n, ok := r.(*note)
		if !ok || fmt.Sprintf("n%05d", n.N) != name || n.Text != strings.Repeat("x", 100) {
			t.Fatalf("%s is %+v", name, r)
		}
	}
	for i := range notes {
		name := fmt.Sprintf("n%05d", i)
		r, _, err := s.Get(t.Context(), noteKey(name))
		switch {
		case failed(err):
		case r == nil:
			missing++
		default:
			right(name, r)
		}
	}
	page, err := s.List(t.Context(), statestore.Query{Kind: statestore.KindOperation, Namespace: "acme", Limit: 2 * notes})
	if !failed(err) {
		missing += notes - len(page.Rows)
	}
	for _, row := range page.Rows {
		right(row.Name, row.Record)
	}
	return missing, found
}

// TestABitThatTurnedIsFound turns one bit at a time. Open or the reading call
// finds it, unless it makes no difference. Nothing is ever wrong or missing.
func TestABitThatTurnedIsFound(t *testing.T) {
	const notes = 300
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	whole, err := os.ReadFile(filled(t, notes))
	if err != nil {
		t.Fatal(err)
	}
	atOpen, atRead := 0, 0
	for i := range flips {
		s, err := Open(t.Context(), testConfig(damaged(t, whole, random, i)))
		if err != nil {
			if !errors.Is(err, statestore.ErrNotADatabase) && !errors.Is(err, statestore.ErrNewerSchema) {
				t.Fatalf("damage gives %v", err)
			}
			atOpen++
			continue
		}
		missing, found := look(t, s, notes)
		if missing > 0 && found == 0 {
			t.Fatalf("copy %d: %d notes are missing and nobody says so", i, missing)
		}
		if found > 0 {
			atRead++
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("of %d bits, Open found %d and reading %d; the others make no difference", flips, atOpen, atRead)
	if atOpen == 0 || atRead == 0 {
		t.Fatal("the test found no damage")
	}
}

// TestDamageOfAFileThatIsNotCheckedIsNeverARecord leaves the check out: a
// record may then be missing, but never wrong, and nothing panics.
func TestDamageOfAFileThatIsNotCheckedIsNeverARecord(t *testing.T) {
	const notes = 300
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	whole, err := os.ReadFile(filled(t, notes))
	if err != nil {
		t.Fatal(err)
	}
	for i := range flips {
		cfg := testConfig(damaged(t, whole, random, i))
		cfg.CheckBytes = -1
		s, err := Open(t.Context(), cfg)
		if err != nil {
			continue
		}
		look(t, s, notes)
		for n := range 20 {
			_ = put(s, fmt.Sprintf("n%05d", n*15), &note{N: int64(n)}, statestore.Durable)
		}
		_ = s.Close()
	}
}

// TestABitOfTheSchemaThatTurnedIsFound: a column of another name passes
// SQLite's own check and then fails every statement that names it.
func TestABitOfTheSchemaThatTurnedIsFound(t *testing.T) {
	whole, err := os.ReadFile(filled(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	table := bytes.Index(whole, []byte("CREATE TABLE counts"))
	column := table + bytes.Index(whole[table:], []byte("records"))
	whole[column] ^= 1
	path := filepath.Join(t.TempDir(), "turned.db")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), testConfig(path)); !errors.Is(err, statestore.ErrNotADatabase) {
		t.Fatalf("damage gives %v", err)
	}
}
