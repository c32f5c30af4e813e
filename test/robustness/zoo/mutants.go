// SPDX-License-Identifier: Apache-2.0

package zoo

// All returns every mutant.
func All() []Mutant { return append(ofRules(), ofStores()...) }

// ofRules are faults that one replica shows.
func ofRules() []Mutant {
	return []Mutant{
		{
			Name: "money-released-on-expiry", Breaks: "the reservation of a permit that nobody reports is given back",
			Edits: []Edit{{
				"rules/budget/run.go",
				"		next.Assumed = next.Assumed.Add(r.assume(lost.Amounts))\n", "",
			}},
			Checks: []string{"balances", "caps"},
		},
		{
			Name: "late-report-booked-twice", Breaks: "a late report does not replace what was assumed for its permit",
			Edits: []Edit{{
				"rules/budget/run.go",
				"		next.Assumed = next.Assumed.Less(r.assume(s.Reserved))\n", "		_ = next.Assumed\n",
			}},
			Checks: []string{"balances"},
		},
		{
			Name: "report-counted-twice", Breaks: "a repeated report settles the permit again",
			Edits: []Edit{{
				"engine/report.go",
				"	if !r.newest || (r.permit.State != operation.PermitSettled", "	if r != nil || !r.newest || (r.permit.State != operation.PermitSettled",
			}},
			Checks: []string{"balances", "repeats"},
		},
		{
			Name: "repeat-granted-anew", Breaks: "a repeated Acquire does not find the grant of the first",
			Edits: []Edit{{
				"engine/acquire.go",
				`p != nil && a.req.RequestID != "" && p.RequestID == a.req.RequestID {`,
				`p != nil && a.req.RequestID != "" && p.RequestID == a.req.RequestID+"?" {`,
			}},
			Checks: []string{"repeats"},
		},
		{
			Name: "ancestor-not-asked", Breaks: "only the run's own cap is looked at, not those above it",
			Edits: []Edit{{
				"engine/acquire.go",
				"	w.Runs = t.derivedRuns(a.runs, len(a.path), a.room.runs[:])\n	if a.task >= 0 {",
				"	w.Runs = t.derivedRuns(a.runs, len(a.path), a.room.runs[:])\n" +
					"	for i, r := range w.Runs {\n		if r != nil && i < len(w.Runs)-1 {\n" +
					"			open := *r\n			open.Caps = budget.Caps{}\n			w.Runs[i] = &open\n		}\n	}\n	if a.task >= 0 {",
			}},
			Checks: []string{"caps"},
		},
		{
			Name: "generation-ignored", Breaks: "a report of an older generation votes on the breaker",
			Edits: []Edit{{
				"rules/breaker/vote.go",
				"	case b.Generation != s.Generation && s.Generation != 0:", "	case b.Generation != s.Generation && s.Generation == 1:",
			}},
			Checks: []string{"generations"},
		},
		{
			Name: "one-probe-too-many", Breaks: "a half-open breaker lets one more probe out than its policy says",
			Edits: []Edit{{
				"rules/breaker/breaker.go",
				"		if len(s.Probes) >= max(c.Probes, 1) {", "		if len(s.Probes) > max(c.Probes, 1) {",
			}},
			Checks: []string{"probes"},
		},
		{
			Name: "probe-leaked", Breaks: "a probe that is given back keeps its place until its lease ends",
			Edits: []Edit{{
				"rules/breaker/breaker.go",
				"	s.Probes = slices.DeleteFunc(slices.Clone(s.Probes), func(p Probe) bool {\n		return p.Fence == fence && p.Operation == operation",
				"	s.Probes = slices.DeleteFunc(slices.Clone(s.Probes), func(p Probe) bool {\n		return p.Fence == fence && p.Operation == operation && p.Expires <= now",
			}},
			Checks: []string{"probes"},
		},
		{
			Name: "open-lets-through", Breaks: "an open breaker grants",
			Edits: []Edit{{
				"rules/breaker/breaker.go",
				"	case Open:\n		return GateDenied, s.OpenUntil.Until(now)", "	case Open:\n		return GateOpen, 0",
			}},
			Checks: []string{"generations"},
		},
		{
			Name: "open-for-good", Breaks: "a breaker that opened for the third time never closes again",
			Edits: []Edit{{
				"rules/breaker/breaker.go",
				"	case Open:\n		return s.OpenUntil\n", "	case Open:\n		if s.Cycles > 0 {\n			return 0\n		}\n		return s.OpenUntil\n",
			}},
			Checks: []string{"liveness"},
		},
		{
			Name: "slot-leaked", Breaks: "a reported permit keeps its slot until its lease ends",
			Edits: []Edit{{
				"engine/vote.go",
				"		c.Slots, b.changed = slots, true\n", "		_, b.changed = slots, true\n",
			}},
			Checks: []string{"slots"},
		},
		{
			Name: "lease-revived", Breaks: "a heartbeat renews a lease that is over",
			Edits: []Edit{{
				"engine/heartbeat.go",
				"		if op.Live(now) {\n			return op.Permit", "		if op.Live(now) || now > 0 {\n			return op.Permit",
			}},
			Checks: []string{"leases"},
		},
		{
			Name: "payment-forgotten", Breaks: "the result of an operation that must not happen twice is forgotten",
			Edits: []Edit{{
				"engine/carry.go",
				"	op.Detail.ResultRef = r.req.ResultRef\n", "	op.Detail.ResultRef = \"\"\n",
			}},
			Checks: []string{"payments"},
		},
		{
			Name: "letter-not-kept", Breaks: "a dead letter is acknowledged and not stored",
			Edits: []Edit{{
				"engine/carry.go",
				"	t.put(h, kept)\n	t.durable = true\n	a.Letter", "	_ = h\n	t.durable = true\n	a.Letter",
			}},
			Checks: []string{"letters"},
		},
		{
			Name: "batch-member-lost", Breaks: "what the last command of a batch changed is not written",
			Edits: []Edit{{
				"engine/execute.go",
				"		t.run(member)\n",
				"		t.run(member)\n" +
					"		if n := len(c.batch); n > 1 && member == c.batch[n-1] {\n" +
					"			for i := len(t.undo) - 1; i >= 0; i-- {\n" +
					"				t.undo[i].entry.Restore(t.undo[i].record, t.undo[i].changed)\n			}\n		}\n",
			}},
			Checks: []string{"balances", "repeats", "caps", "slots", "letters", "payments"},
		},
		{
			Name: "answer-before-commit", Breaks: "callers are answered before the commit",
			Edits: []Edit{
				{"statestore/sqlite/early.go", "//go:build !mutant_ack_before_commit", "//go:build mutant_ack_before_commit"},
				{"statestore/sqlite/early_mutant.go", "//go:build mutant_ack_before_commit", "//go:build !mutant_ack_before_commit"},
			},
			Fault:  "replica killed",
			Checks: []string{"balances", "repeats", "letters", "payments", "errors"},
		},
	}
}

// ofStores are faults that show over several replicas on one database.
func ofStores() []Mutant {
	return []Mutant{
		{
			Name: "no-row-lock", Breaks: "rows are read without being locked", Postgres: true,
			Edits: []Edit{{
				"statestore/postgres/statements.go",
				`lock: fill(found + " FOR NO KEY UPDATE OF r"),`, `lock: fill(found),`,
			}},
			Checks: []string{"caps", "balances", "slots", "probes"},
		},
		{
			Name: "read-then-write", Breaks: "the locks are dropped between reading and writing", Postgres: true,
			Edits: []Edit{{
				"statestore/postgres/txn.go",
				"	b := &pgx.Batch{}\n	c.guard()\n", "	b := &pgx.Batch{}\n	b.Queue(s.sql.commit)\n	b.Queue(s.sql.begin)\n	c.guard()\n",
			}},
			Checks: []string{"caps", "balances", "slots", "probes"},
		},
		{
			Name: "grant-to-nobody-kept", Breaks: "a grant whose caller has gone is not given back", Postgres: true,
			Edits: []Edit{{
				"engine/nobody.go",
				"	if e.commits.shared {\n		e.returns.offer(r)\n		return\n	}\n",
				"	if r != nil {\n		return\n	}\n",
			}},
			Fault:  "lock held",
			Checks: []string{"slots"},
		},
		{
			Name: "time-before-the-lock", Breaks: "the clock is the transaction's start, now(), and not clock_timestamp()", Postgres: true,
			Edits: []Edit{{
				"statestore/postgres/statements.go",
				`"(extract(epoch FROM clock_timestamp()) * 1000000)::bigint,`,
				`"(extract(epoch FROM now()) * 1000000)::bigint,`,
			}},
			Fault:   "lock held",
			Checks:  []string{"slots", "leases"},
			Excused: "a replica tells no time earlier than it told before, so a stale reading shows only if nothing else ran in it meanwhile; the store's own tests ban now() from every statement, and TestTimeIsReadBehindTheLock finds it",
		},
		{
			Name: "durable-not-waited-for", Breaks: "a commit does not wait for the disk and the standby", Postgres: true,
			Edits: []Edit{{
				"statestore/postgres/txn.go",
				"	if level := t.syncLevel(d); level != \"\" {\n", "	if level := \"off\"; level != t.syncLevel(d)+\"?\" {\n",
			}},
			Fault:  "failover",
			Checks: []string{"letters", "balances", "repeats", "payments", "errors"},
		},
		{
			Name: "unknown-called-failed", Breaks: "a commit whose end nobody knows is answered as one that changed nothing", Postgres: true,
			Edits: []Edit{{
				"statestore/postgres/errors.go",
				"		return fmt.Errorf(\"%w: %s: %w\", statestore.ErrUnknownOutcome, doing, err)\n",
				"		return fmt.Errorf(\"%w: %s: %w\", statestore.ErrUnavailable, doing, err)\n",
			}},
			Fault:  "reset after n bytes, database",
			Checks: []string{"balances", "caps", "slots", "repeats"},
		},
		{
			Name: "wake-ups-unheard", Breaks: "a replica does not hear what others tell, and sees a trip when it looks by itself", Postgres: true,
			Edits: []Edit{{
				"engine/wake.go",
				"func (e *Engine) hear(message string) {\n", "func (e *Engine) hear(message string) {\n	if len(message) < 1<<20 {\n		return\n	}\n",
			}},
			Checks: []string{"trips"},
		},
		{
			Name: "policy-epoch-ignored", Breaks: "a replica decides by the policy that it knows, without a look whether it is in force, and hears of no other", Postgres: true,
			Edits: []Edit{
				{
					"engine/execute.go",
					"		if member.policies.epoch != epochIn(c.mark) {\n", "		if member.policies.epoch > epochIn(c.mark)+1000 {\n",
				},
				{
					"engine/wake.go",
					"		if EventKind(kind) == EventPolicy {\n", "		if EventKind(kind) == EventPolicy+\"?\" {\n",
				},
			},
			Checks: []string{"slots", "letters", "probes", "caps"},
		},
	}
}
