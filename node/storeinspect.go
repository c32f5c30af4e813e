// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/postgres"
	"github.com/resilienced/resilienced/statestore/sqlite"
)

// Verdict is how bad a finding is.
type Verdict string

// The verdicts.
const (
	Good Verdict = "ok"
	Warn Verdict = "warn"
	Bad  Verdict = "fail"
)

// Finding is what one look at a store found, and what cures it.
type Finding struct {
	Check       string
	Verdict     Verdict
	Found, Cure string
}

// InspectStore looks at a store as its operator would, over a connection of
// its own, and changes nothing. A store that cannot be used is a finding too;
// the error is about the configuration.
func InspectStore(ctx context.Context, cfg StoreConfig) ([]Finding, error) {
	path, err := cfg.file()
	if errors.Is(err, ErrMemoryStore) {
		return []Finding{{"store", Good, "it is in the server's memory, where nobody else can look", ""}}, nil
	}
	if err != nil {
		return nil, err
	}
	if path != "" {
		return inspectSQLite(ctx, path), nil
	}
	i, err := postgres.Inspect(ctx, postgres.Config{DSN: cfg.Store, Schema: cfg.Schema, Application: "resilienced doctor"})
	switch {
	case errors.Is(err, postgres.ErrDSN):
		return nil, usage(err)
	case err != nil:
		return []Finding{{"store", Bad, err.Error(), ""}}, nil
	}
	return judge(i), nil
}

func inspectSQLite(ctx context.Context, path string) []Finding {
	codec, err := statestore.NewCodec(storeKinds())
	if err != nil {
		return []Finding{{"store", Bad, err.Error(), ""}}
	}
	v, err := sqlite.OpenView(ctx, sqlite.Config{Path: path, Codec: codec})
	switch {
	case errors.Is(err, statestore.ErrInUse):
		return []Finding{{"store", Good, "a service has " + path + " open", ""}}
	case err != nil:
		return []Finding{{"store", Bad, err.Error(), ""}}
	}
	found := []Finding{{"store", Good, path + " is not in use", ""}}
	version, latest := v.Schema()
	found = append(found, schemaFinding(version, latest))
	if err := v.Close(); err != nil {
		found = append(found, Finding{"store", Warn, err.Error(), ""})
	}
	return found
}

func schemaFinding(version, latest int) Finding {
	switch {
	case version == 0:
		return Finding{"store/schema", Warn, "there is none yet", "it is made by: resilienced store migrate, or at the first start"}
	case version < latest:
		return Finding{"store/schema", Warn, fmt.Sprintf("it has version %d, this program writes %d", version, latest), "it is brought up by: resilienced store migrate, or at the next start"}
	default:
		return Finding{"store/schema", Good, fmt.Sprintf("version %d", version), ""}
	}
}

// judge turns what a look at a PostgreSQL server found into findings.
func judge(i *postgres.Inspection) []Finding {
	found := []Finding{
		{"store", Good, fmt.Sprintf("%s answers: PostgreSQL %s as %s, %.1f MiB", i.Name, i.Server, i.User, float64(i.Bytes)/(1<<20)), ""},
		schemaFinding(i.Schema.Version, i.Schema.Latest),
	}
	for _, grant := range i.Missing {
		found = append(found, Finding{"store/rights", Bad, "the user " + i.User + " lacks a right", "as the owner: " + grant})
	}
	if len(i.Missing) == 0 {
		found = append(found, Finding{"store/rights", Good, "the user has what it needs", ""})
	}
	return append(found, latencyFinding(i), clockFinding(i), connectionFinding(i), durabilityFinding(i), wayFinding(i))
}

// slowStore is the latency from which a decision, which takes two round trips,
// is slow.
const slowStore = 5 * time.Millisecond

func latencyFinding(i *postgres.Inspection) Finding {
	text := i.Latency.Round(10*time.Microsecond).String() + " a round trip; a decision takes two"
	if i.Latency > slowStore {
		return Finding{"store/latency", Warn, text, "run the service near the database: in the same zone"}
	}
	return Finding{"store/latency", Good, text, ""}
}

// mostLag is by how much the database's clock may be off before times mislead
// people. Decisions use it alone.
const mostLag = 5 * time.Second

func clockFinding(i *postgres.Inspection) Finding {
	by := i.ClockAhead.Abs().Round(time.Millisecond)
	way := "ahead of"
	if i.ClockAhead < 0 {
		way = "behind"
	}
	if by > mostLag {
		return Finding{"store/clock", Warn, fmt.Sprintf("the database's is %s %s this machine's", by, way), "set both by NTP; decisions use the database's alone"}
	}
	return Finding{"store/clock", Good, fmt.Sprintf("the database's is %s %s this machine's", by, way), ""}
}

func connectionFinding(i *postgres.Inspection) Finding {
	free := i.Limit - i.Used
	text := fmt.Sprintf("%d of %d are free, a replica takes up to %d; %d are the service's now", max(free, 0), i.Limit, i.Needed, i.Sessions)
	if free < i.Needed {
		return Finding{"store/connections", Warn, text, "raise max_connections (or the limit of the user or database), or put PgBouncer in transaction mode between"}
	}
	return Finding{"store/connections", Good, text, ""}
}

func durabilityFinding(i *postgres.Inspection) Finding {
	text := fmt.Sprintf("synchronous_commit=%s, synchronous_standby_names=%q, fsync=%s, full_page_writes=%s",
		i.SynchronousCommit, i.StandbyNames, i.Fsync, i.FullPageWrites)
	switch {
	case i.Fsync == "off" || i.FullPageWrites == "off":
		return Finding{"store/durability", Bad, text, "set fsync and full_page_writes to on: without them a power cut loses or damages what was acknowledged"}
	case i.StandbyNames == "":
		return Finding{"store/durability", Good, text + "; without a synchronous standby a failover may lose the last commits", ""}
	default:
		return Finding{"store/durability", Good, text, ""}
	}
}

func wayFinding(i *postgres.Inspection) Finding {
	var way []string
	verdict, cure := Good, ""
	if i.Pooler {
		way = append(way, "through a pooler in transaction mode, where the service cannot listen for others' messages")
		verdict, cure = Warn, "wake-ups come by polling then; name the server itself with: serve --listen-dsn"
	} else {
		way = append(way, "directly")
	}
	switch {
	case i.Encrypted:
		way = append(way, "encrypted")
	case i.Remote:
		way = append(way, "in clear text")
		verdict, cure = Warn, strings.TrimPrefix(cure+"; ", "; ")+"add sslmode=verify-full, and sslrootcert=FILE for a CA of your own, to the address"
	default:
		way = append(way, "in clear text on this machine")
	}
	return Finding{"store/connection", verdict, strings.Join(way, ", "), cure}
}
