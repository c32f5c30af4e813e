// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// statements are the SQL texts of a store, with its schema filled in. Time is
// only ever read by clock_timestamp: the other functions tell the start of the
// transaction, which may have waited for a lock since.
type statements struct {
	begin, look               string
	timeouts, pooled, session string
	lock, try, read, clock    string
	there                     string
	insert, update            [2]string // of runs, of others
	remove                    string
	finish, finishAs          string
	commit, rollback          string
	get, count, namespaces    string
	families                  string
	due, dueExcept, dueWithin string
	rows                      string
	raiseFloor, stuck, notify string
}

const (
	// keys are the keys of a statement, in the order of the locks.
	keys  = "unnest($1::smallint[], $2::text[], $3::text[]) WITH ORDINALITY AS k(kind, namespace, name, n)"
	match = "r.kind = k.kind AND r.namespace = k.namespace AND r.name = k.name"
	found = "SELECT k.n, r.ord, r.due, r.body FROM " + keys + " JOIN {records} r ON " + match + " ORDER BY k.n"

	// clock tells the time, and what makes a server one that may be believed.
	clock = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint, floor, pg_is_in_recovery(), " +
		"CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END, " +
		"current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"

	timeouts = "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true), " +
		"set_config('idle_in_transaction_session_timeout', $3, true)"
)

// planning has every statement find its rows by an index. A plan that was made
// while a table was empty would say otherwise and stay.
func planning(local string) string {
	var all []string
	for _, s := range [][2]string{
		{"plan_cache_mode", "force_generic_plan"}, {"enable_seqscan", "off"}, {"enable_hashjoin", "off"}, {"enable_mergejoin", "off"}, {"jit", "off"},
	} {
		all = append(all, fmt.Sprintf("set_config('%s', '%s', %s)", s[0], s[1], local))
	}
	return strings.Join(all, ", ")
}

// writable are the columns behind the key, with their types.
func writable(sums bool) (names, types []string) {
	names, types = []string{"ord", "due", "body", "state"}, []string{"bigint", "bigint", "bytea", "text"}
	if !sums {
		return names, types
	}
	names = append(names, "cost_cap", "cost_spent", "cost_assumed", "cost_reserved",
		"admitted_cost", "allowed_cost", "admitted_tokens", "allowed_tokens", "admitted_calls", "allowed_calls")
	for range sumColumns {
		types = append(types, "bigint")
	}
	return names, types
}

// rowsOf are keys with what is written under them, and the number of the next
// parameter.
func rowsOf(sums bool) (from string, next int) {
	names, types := writable(sums)
	arrays := []string{"$1::smallint[]", "$2::text[]", "$3::text[]"}
	for _, t := range types {
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", len(arrays)+1, t))
	}
	return "unnest(" + strings.Join(arrays, ", ") + ") AS k(kind, namespace, name, " + strings.Join(names, ", ") + ")", len(arrays) + 1
}

func insertOf(sums bool) string {
	names, _ := writable(sums)
	from, _ := rowsOf(sums)
	return "INSERT INTO {records} (kind, namespace, name, " + strings.Join(names, ", ") + ") SELECT * FROM " + from
}

func updateOf(sums bool) string {
	names, _ := writable(sums)
	set := make([]string, len(names))
	for i, n := range names {
		set[i] = n + " = k." + n
	}
	from, next := rowsOf(sums)
	return fmt.Sprintf("WITH w AS (UPDATE {records} r SET %s FROM %s WHERE %s RETURNING 1) SELECT 1 / ((SELECT count(*) FROM w) = $%d::bigint)::int",
		strings.Join(set, ", "), from, match, next)
}

func newStatements(schema string) statements {
	fill := strings.NewReplacer("{records}", inSchema(schema, "records"), "{clock}", inSchema(schema, "clock")).Replace
	return statements{
		// The default of the database or of the role must not matter.
		begin:    "BEGIN ISOLATION LEVEL READ COMMITTED",
		look:     "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
		timeouts: timeouts,
		pooled:   timeouts + ", " + planning("true"),
		session:  "SELECT " + planning("false"),

		// The rows are locked in the order in which they are sorted. One that
		// somebody has changed while it was waited for comes as it is then.
		lock: fill(found + " FOR NO KEY UPDATE OF r"),
		try:  fill(found + " FOR NO KEY UPDATE OF r SKIP LOCKED"),
		// A statement of its own sees what was committed while lock waited. It
		// has at least one row, for the clock.
		read: fill("SELECT " + clock + ", v.n, v.ord, v.due, v.body FROM {clock} LEFT JOIN (SELECT k.n, r.ord, r.due, r.body FROM " +
			keys + " JOIN {records} r ON " + match + ") AS v ON true"),
		clock: fill("SELECT " + clock + " FROM {clock}"),
		there: fill("SELECT count(*) FROM " + keys + " JOIN {records} r ON " + match),

		insert: [2]string{fill(insertOf(true)), fill(insertOf(false))},
		// A row that was locked and is not there any more ends the transaction
		// by a division by zero, before COMMIT.
		update: [2]string{fill(updateOf(true)), fill(updateOf(false))},
		remove: fill("WITH w AS (DELETE FROM {records} r USING " + keys +
			" WHERE " + match + " RETURNING 1) SELECT 1 / ((SELECT count(*) FROM w) = $4::bigint)::int"),
		// A COMMIT that waits for a standby must not be cut short by a timeout:
		// PostgreSQL would then call it committed.
		finish:   "SELECT set_config('statement_timeout', '0', true)",
		finishAs: "SELECT set_config('statement_timeout', '0', true), set_config('synchronous_commit', $1, true)",
		commit:   "COMMIT",
		rollback: "ROLLBACK",

		get:      fill("SELECT ord, due, body FROM {records} WHERE kind = $1 AND namespace = $2 AND name = $3"),
		count:    fill("SELECT count(*) FROM {records} WHERE kind = $1 AND namespace = $2"),
		families: fill("SELECT kind, namespace, count(*) FROM {records} GROUP BY kind, namespace ORDER BY namespace, kind"),
		// Each name is found from the one before it.
		namespaces: fill("SELECT DISTINCT f.namespace FROM unnest($1::smallint[]) AS k(kind) CROSS JOIN LATERAL (" +
			"WITH RECURSIVE w AS ((SELECT r.namespace FROM {records} r WHERE r.kind = k.kind ORDER BY r.namespace LIMIT 1) " +
			"UNION ALL SELECT (SELECT r.namespace FROM {records} r WHERE r.kind = k.kind AND r.namespace > w.namespace " +
			"ORDER BY r.namespace LIMIT 1) FROM w WHERE w.namespace IS NOT NULL) " +
			"SELECT w.namespace FROM w WHERE w.namespace IS NOT NULL) AS f ORDER BY 1"),

		due: fill("SELECT kind, namespace, name, due FROM {records} " +
			"WHERE due_slot <= $1::bigint >> 23 AND due <= $1 ORDER BY due_slot, due LIMIT $2"),
		dueExcept: fill("SELECT kind, namespace, name, due FROM {records} " +
			"WHERE due_slot <= $1::bigint >> 23 AND due <= $1 AND NOT starts_with(namespace, $3) ORDER BY due_slot, due LIMIT $2"),
		dueWithin: fill("SELECT r.kind, r.namespace, r.name, r.due FROM unnest($3::smallint[]) AS k(kind) " +
			"JOIN {records} r ON r.kind = k.kind AND r.namespace = $4 WHERE r.due <= $1 ORDER BY r.due LIMIT $2"),
		rows: fill("SELECT name, ord, due, body FROM {records} WHERE kind = $1 AND namespace = $2"),

		// Nobody waits for a message to be on the disk.
		notify: "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, m) FROM unnest($2::text[]) AS m",
		// A commit that has waited for its standby for so long is stuck.
		stuck: "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND usename = current_user " +
			"AND wait_event = 'SyncRep' AND clock_timestamp() - state_change > interval '2 s')",
		raiseFloor: fill("UPDATE {clock} SET floor = $1 WHERE floor < $1"),
	}
}

// inSchema names a table, quoted.
func inSchema(schema, table string) string { return pgx.Identifier{schema, table}.Sanitize() }

// quote quotes one name.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
