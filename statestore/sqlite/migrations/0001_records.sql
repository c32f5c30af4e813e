-- SPDX-License-Identifier: Apache-2.0

-- The store's own numbers: the floor of its time.
CREATE TABLE meta (
  name  TEXT NOT NULL PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a record. Rows that are written together lie together, because the
-- table is ordered by id and a new record takes the next one; so a batch
-- touches few pages. body is the encoded record and a checksum over the row.
CREATE TABLE records (
  id        INTEGER PRIMARY KEY,
  kind      INTEGER NOT NULL,
  namespace TEXT NOT NULL,
  name      TEXT NOT NULL,
  ord       INTEGER,
  due       INTEGER,
  body      BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX records_key ON records (kind, namespace, name);
CREATE INDEX records_ord ON records (kind, namespace, ord, name) WHERE ord IS NOT NULL;
CREATE INDEX records_due ON records (due) WHERE due IS NOT NULL;

-- How many records of a kind a namespace has, kept with every change.
CREATE TABLE counts (
  kind      INTEGER NOT NULL,
  namespace TEXT NOT NULL,
  records   INTEGER NOT NULL,
  PRIMARY KEY (kind, namespace)
) STRICT, WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('floor', 0);
