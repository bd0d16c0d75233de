-- Documents that change in the transaction that moves the money.
CREATE TABLE record (
    kind     TEXT    NOT NULL,             -- the table that it is in
    key      TEXT    NOT NULL,             -- ordered by its bytes
    revision INTEGER NOT NULL,             -- the commit that wrote it last
    body     TEXT    NOT NULL,
    proof    BLOB    NOT NULL,             -- 16 bytes of the hash of the rest: a damaged document must not decide about money
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- The commit that wrote the entry; entries from before there were records have none. A commit without records leaves the
-- store's version here, and so writes no page that it would not write anyway.
ALTER TABLE journal ADD COLUMN version INTEGER;

-- The last commit that changed a record. The store's version is this one or that of the last entry, whichever is higher.
CREATE TABLE record_version (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;

INSERT INTO record_version SELECT 1, coalesce(max(seq), 0) FROM journal;
