-- Claims that are served before they are settled, given back, answered again; leases with holders; the history's epoch.
-- The table is made anew because its checks name the states. Foreign keys are off while migrations run.
CREATE TABLE claim_new (
    seq                 INTEGER PRIMARY KEY,
    id                  TEXT    NOT NULL UNIQUE,
    keys                TEXT    NOT NULL,             -- JSON list, in the order that the rail gave
    scope               TEXT    NOT NULL,
    payer               TEXT,
    paid                TEXT,                         -- JSON; none in claims from before amounts were kept
    plan                TEXT    NOT NULL,             -- JSON; may hold a signed transaction
    reservation         TEXT,                         -- JSON
    expires_ms          INTEGER NOT NULL,
    idempotency_key     TEXT,
    idempotency_request BLOB,                         -- SHA-256 of the request
    first               TEXT,                         -- JSON, the lease that it began with; none where settling came first
    state               TEXT    NOT NULL,
    settled             TEXT,                         -- JSON
    lease_holder        BLOB,                         -- 128 bits, most significant first
    lease_until_ms      INTEGER,
    why                 TEXT,
    refund_plan         TEXT,                         -- JSON
    refund              TEXT,                         -- JSON, what was settled by giving back
    changed_ms          INTEGER NOT NULL,
    deliveries          INTEGER NOT NULL,
    answered            INTEGER NOT NULL,
    last_step           BLOB,                         -- SHA-256 of the step that was taken last
    CHECK (state IN ('reserved', 'settling', 'credit', 'delivering', 'delivered', 'refund_due', 'refunding', 'refunded',
                     'failed')),
    CHECK ((settled IS NOT NULL) = (state NOT IN ('reserved', 'settling', 'failed'))),
    CHECK ((lease_until_ms IS NOT NULL) = (state IN ('reserved', 'delivering'))),
    CHECK ((lease_holder IS NOT NULL) = (lease_until_ms IS NOT NULL)),
    CHECK ((why IS NOT NULL) = (state = 'failed')),
    CHECK ((refund_plan IS NOT NULL) = (state = 'refunding')),
    CHECK ((refund IS NOT NULL) = (state = 'refunded')),
    CHECK ((idempotency_request IS NOT NULL) = (idempotency_key IS NOT NULL)),
    CHECK (answered IN (0, 1))
) STRICT;

-- No holder is known of an older lease: its process has ended, and the next start gives it back.
INSERT INTO claim_new
SELECT seq, id, keys, scope, payer, NULL, plan, reservation, expires_ms, NULL, NULL, NULL, state, settled,
       iif(state = 'delivering', zeroblob(16), NULL), lease_until_ms, why, NULL, NULL, changed_ms,
       iif(state IN ('delivering', 'delivered'), 1, 0), 0, NULL
FROM claim;

DROP TABLE claim;
ALTER TABLE claim_new RENAME TO claim;

-- What is waited for, by what: each list has an index of nothing but its own rows.
CREATE INDEX claim_reserved   ON claim (changed_ms, id) WHERE state = 'reserved';
CREATE INDEX claim_settling   ON claim (changed_ms, id) WHERE state = 'settling';
CREATE INDEX claim_credit     ON claim (changed_ms, id) WHERE state = 'credit';
CREATE INDEX claim_delivering ON claim (seq)            WHERE state = 'delivering';
CREATE INDEX claim_refund_due ON claim (changed_ms, id) WHERE state = 'refund_due';
CREATE INDEX claim_refunding  ON claim (changed_ms, id) WHERE state = 'refunding';
CREATE INDEX claim_final      ON claim (expires_ms, id) WHERE state IN ('delivered', 'refunded', 'failed');

-- One live claim a request (C23).
CREATE UNIQUE INDEX claim_idempotency ON claim (idempotency_key)
    WHERE idempotency_key IS NOT NULL AND state <> 'failed';

-- What the service answered, for a payer who may not have received it.
CREATE TABLE answer (
    claim   INTEGER PRIMARY KEY REFERENCES claim (seq),
    status  INTEGER NOT NULL,
    headers TEXT    NOT NULL,                         -- JSON list of pairs; a value's bytes as code points up to 255
    body    BLOB    NOT NULL
) STRICT;

-- Which history this is, and how many batches it has: the file beside the database says the same, or history was lost.
CREATE TABLE history (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    epoch     INTEGER NOT NULL,
    commits   INTEGER NOT NULL,
    witnessed INTEGER NOT NULL CHECK (witnessed IN (0, 1))
) STRICT;

-- Zero is the history of every store from before histories had names.
INSERT INTO history VALUES (1, 0, 0, 0);
