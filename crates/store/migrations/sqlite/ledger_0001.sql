-- The journal is the truth; every other table can be rebuilt from it and is there to start quickly.
CREATE TABLE journal (
    seq         INTEGER PRIMARY KEY,
    body        BLOB NOT NULL,             -- canonical bytes of the entry
    hash        BLOB NOT NULL,             -- over the hash before it and the body
    id          BLOB UNIQUE,               -- the caller's id that the entry used up
    ends        BLOB UNIQUE,               -- the hold that the entry ended
    prev_debit  INTEGER,                   -- the entry before this one that touched the debit account
    prev_credit INTEGER                    -- the same for the credit account: an account's history is a chain
) STRICT;

CREATE TABLE asset (
    id  INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL                   -- the entry that defined it
) STRICT;

-- Opened and closed with their entry; totals are as of entry `as_of`, and what came after is added at start.
CREATE TABLE account (
    place     INTEGER PRIMARY KEY,         -- order of opening
    id        BLOB    NOT NULL UNIQUE,
    asset     INTEGER NOT NULL,
    guard     INTEGER NOT NULL,            -- 1 no limit, 2 debits by credits, 3 credits by debits
    opened_ms INTEGER NOT NULL,
    closed_ms INTEGER,
    totals    BLOB    NOT NULL,            -- debits posted, pending, credits posted, pending: 16 bytes each
    last_seq  INTEGER NOT NULL,            -- the last entry that touched it, 0 for none
    as_of     INTEGER NOT NULL
) STRICT;

-- Holds that have been open for long, exactly as they stand.
CREATE TABLE old_hold (
    id        BLOB    PRIMARY KEY,
    seq       INTEGER NOT NULL,            -- the entry that placed it
    remaining BLOB    NOT NULL             -- 16 bytes
) STRICT, WITHOUT ROWID;

-- Entries before this one need not be read at start.
CREATE TABLE replay_from (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
) STRICT;

INSERT INTO replay_from VALUES (1, 1);
