-- SPDX-License-Identifier: Apache-2.0

-- One row a record. body is the encoded record and a checksum over the row.
-- The kinds that are written again and again lie apart from those that come
-- and go and from those that stay, each with the room on its pages that it
-- needs: an update that finds room on its page touches no index.
CREATE TABLE {schema}.records (
  kind      smallint NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  name      text COLLATE "C" NOT NULL,
  ord       bigint,
  due       bigint,
  -- due, coarse: about 8 s. A due time that moves within its slot leaves the
  -- index alone.
  due_slot  bigint GENERATED ALWAYS AS (due >> 23) STORED,
  body      bytea NOT NULL,
  PRIMARY KEY (kind, namespace, name)
) PARTITION BY LIST (kind);

CREATE TABLE {schema}.records_hot PARTITION OF {schema}.records
  FOR VALUES IN (1, 2, 10, 20, 21) WITH (fillfactor = 50);
CREATE TABLE {schema}.records_operations PARTITION OF {schema}.records
  FOR VALUES IN (30) WITH (fillfactor = 100);
CREATE TABLE {schema}.records_rest PARTITION OF {schema}.records
  DEFAULT WITH (fillfactor = 90);

ALTER TABLE {schema}.records_hot ALTER COLUMN body SET STORAGE MAIN;
CREATE INDEX records_due ON {schema}.records (due_slot) WHERE due_slot IS NOT NULL;
CREATE INDEX records_ord ON {schema}.records (kind, namespace, ord, name) WHERE ord IS NOT NULL;

-- The store's own time: the latest that was told, raised now and then.
CREATE TABLE {schema}.clock (
  one   boolean PRIMARY KEY DEFAULT true CHECK (one),
  floor bigint NOT NULL
) WITH (fillfactor = 20);
INSERT INTO {schema}.clock (floor) VALUES (0);
