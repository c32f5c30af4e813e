-- SPDX-License-Identifier: Apache-2.0

-- What operators look for, beside the encoded record. The amounts are those of
-- runs: costs in micro-USD, and what the last enforced grant had admitted of
-- cost, tokens and calls with the caps at that time.
ALTER TABLE {schema}.records
  ADD COLUMN state           text,
  ADD COLUMN cost_cap        bigint,
  ADD COLUMN cost_spent      bigint,
  ADD COLUMN cost_assumed    bigint,
  ADD COLUMN cost_reserved   bigint,
  ADD COLUMN admitted_cost   bigint,
  ADD COLUMN allowed_cost    bigint,
  ADD COLUMN admitted_tokens bigint,
  ADD COLUMN allowed_tokens  bigint,
  ADD COLUMN admitted_calls  bigint,
  ADD COLUMN allowed_calls   bigint,
  ADD CONSTRAINT amounts_are_not_negative CHECK (cost_spent >= 0 AND cost_assumed >= 0 AND cost_reserved >= 0),
  -- spent itself may pass the cap: a call may cost more than was reserved.
  ADD CONSTRAINT admitted_within_caps CHECK (
    admitted_cost <= allowed_cost AND admitted_tokens <= allowed_tokens AND admitted_calls <= allowed_calls);

CREATE VIEW {schema}.runs AS
  SELECT namespace, name AS run, state, cost_cap, cost_spent, cost_assumed, cost_reserved,
         admitted_cost, allowed_cost, admitted_tokens, allowed_tokens, admitted_calls, allowed_calls,
         to_timestamp(due / 1e6) AS due
  FROM {schema}.records WHERE kind = 10;

CREATE VIEW {schema}.targets AS
  SELECT namespace, name AS target, state, to_timestamp(due / 1e6) AS due FROM {schema}.records WHERE kind = 20;

CREATE VIEW {schema}.operations AS
  SELECT namespace, name AS operation, state, to_timestamp(due / 1e6) AS due FROM {schema}.records WHERE kind = 30;

CREATE VIEW {schema}.dead_letters AS
  SELECT namespace, name AS letter, state, to_timestamp(ord / 1e6) AS dead_lettered, to_timestamp(due / 1e6) AS due
  FROM {schema}.records WHERE kind = 50;

CREATE VIEW {schema}.escalations AS
  SELECT namespace, name AS escalation, state, to_timestamp(ord / 1e6) AS created, to_timestamp(due / 1e6) AS due
  FROM {schema}.records WHERE kind = 51;
