-- The end of the log moves with every batch. A row that is written over leaves a dead one behind each time; while somebody holds
-- an old snapshot of the database, as a backup does, none of them may be removed, and everybody walks past all of them. So the
-- row that is locked is never changed, and where the log ends is a row that is added and found from the newest down. The one
-- before it is deleted. The same for how far the log is on disk.

CREATE TABLE ledger_end (
    shard       integer NOT NULL,
    version     bigint  NOT NULL,          -- commits that changed anything, records included: every batch has a later one
    seq         bigint  NOT NULL,
    at_ms       bigint  NOT NULL,
    hash        bytea   NOT NULL,
    replay_from bigint  NOT NULL,          -- entries before this one need not be read at start
    round_began bigint  NOT NULL,          -- the end of the log when the present round of checkpoints began
    round_place bigint  NOT NULL,          -- the next account that it looks at
    aged_to     bigint  NOT NULL,          -- holds that were placed up to here and are open have a row of their own
    PRIMARY KEY (shard, version)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

INSERT INTO ledger_end
SELECT shard, version, seq, at_ms, hash, replay_from, round_began, round_place, aged_to FROM ledger_head;

ALTER TABLE ledger_head
    DROP COLUMN seq, DROP COLUMN at_ms, DROP COLUMN hash, DROP COLUMN version, DROP COLUMN replay_from,
    DROP COLUMN round_began, DROP COLUMN round_place, DROP COLUMN aged_to;

ALTER TABLE ledger_durable DROP CONSTRAINT ledger_durable_pkey;
ALTER TABLE ledger_durable ADD PRIMARY KEY (shard, version, slot);
ALTER TABLE ledger_durable RESET (fillfactor);
ALTER TABLE ledger_durable SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
