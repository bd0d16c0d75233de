-- A ledger as a log that any number of processes share. The journal is the truth; accounts and old holds are checkpoints that
-- can be rebuilt from it. Every key begins with the shard: one log each.

-- The end of the log. Whoever appends locks the row first.
CREATE TABLE ledger_head (
    shard       integer PRIMARY KEY,
    seq         bigint  NOT NULL,
    at_ms       bigint  NOT NULL,
    hash        bytea   NOT NULL,
    version     bigint  NOT NULL,          -- commits that changed anything, records included
    replay_from bigint  NOT NULL,          -- entries before this one need not be read at start
    round_began bigint  NOT NULL,          -- the end of the log when the present round of checkpoints began
    round_place bigint  NOT NULL,          -- the next account that it looks at
    aged_to     bigint  NOT NULL           -- holds that were placed up to here and are open have a row of their own
) WITH (fillfactor = 20);

-- How far the log is known to have reached the disk. A writer commits without waiting for the disk, lets the next one go on, and
-- then moves its row here by a commit that does wait; only then anybody is answered or shown what was written. Several rows, so
-- that processes do not wait for each other.
CREATE TABLE ledger_durable (
    shard   integer NOT NULL,
    slot    integer NOT NULL,
    seq     bigint  NOT NULL,
    version bigint  NOT NULL,
    PRIMARY KEY (shard, slot)
) WITH (fillfactor = 20);

CREATE TABLE ledger_journal (
    shard       integer NOT NULL,
    seq         bigint  NOT NULL,
    body        bytea   NOT NULL,          -- canonical bytes of the entry
    hash        bytea   NOT NULL,          -- over the hash before it and the body
    id          bytea,                     -- the caller's id that the entry used up
    ends        bytea,                     -- the hold that the entry ended
    debit       bigint,                    -- the places of the accounts that it touched
    credit      bigint,
    prev_debit  bigint,                    -- the entry before this one that touched the debit account
    prev_credit bigint,                    -- the same for the credit account: an account's history is a chain
    PRIMARY KEY (shard, seq)
);

CREATE UNIQUE INDEX ledger_journal_id   ON ledger_journal (shard, id)   WHERE id IS NOT NULL;
CREATE UNIQUE INDEX ledger_journal_ends ON ledger_journal (shard, ends) WHERE ends IS NOT NULL;

CREATE TABLE ledger_asset (
    shard integer NOT NULL,
    id    bigint  NOT NULL,
    seq   bigint  NOT NULL,                -- the entry that defined it
    PRIMARY KEY (shard, id)
);

-- Opened and closed with their entry; totals are as of entry `as_of`, and what came after is added at start.
CREATE TABLE ledger_account (
    shard     integer NOT NULL,
    place     bigint  NOT NULL,            -- order of opening
    id        bytea   NOT NULL,
    asset     bigint  NOT NULL,
    guard     bigint  NOT NULL,            -- 1 no limit, 2 debits by credits, 3 credits by debits
    opened_ms bigint  NOT NULL,
    closed_ms bigint,
    totals    bytea   NOT NULL,            -- debits posted, pending, credits posted, pending: 16 bytes each
    last_seq  bigint  NOT NULL,            -- the last entry that touched it, 0 for none
    as_of     bigint  NOT NULL,
    PRIMARY KEY (shard, place)
) WITH (fillfactor = 70);

CREATE UNIQUE INDEX ledger_account_id ON ledger_account (shard, id);

-- Holds that have been open for long, exactly as they stand.
CREATE TABLE ledger_old_hold (
    shard     integer NOT NULL,
    id        bytea   NOT NULL,
    seq       bigint  NOT NULL,            -- the entry that placed it
    remaining bytea   NOT NULL,            -- 16 bytes
    PRIMARY KEY (shard, id)
);

-- Documents that change in the transaction that moves the money. Keys are ordered by their bytes in every locale.
CREATE TABLE ledger_record (
    shard    integer NOT NULL,
    tbl      text    COLLATE "C" NOT NULL,
    key      text    COLLATE "C" NOT NULL,
    revision bigint  NOT NULL,             -- the commit that wrote it last
    body     text    NOT NULL,
    proof    bytea   NOT NULL,             -- 16 bytes of the hash of the rest: a damaged document must not decide about money
    PRIMARY KEY (shard, tbl, key)
) WITH (fillfactor = 80);
