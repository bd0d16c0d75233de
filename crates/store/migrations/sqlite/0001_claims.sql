-- Claims: one row a credential, from before its payment is settled until the call that it pays for is delivered.
CREATE TABLE claim (
    seq            INTEGER PRIMARY KEY,
    id             TEXT    NOT NULL UNIQUE,
    keys           TEXT    NOT NULL,             -- JSON list, in the order that the rail gave
    scope          TEXT    NOT NULL,
    payer          TEXT,
    plan           TEXT    NOT NULL,             -- JSON; may hold a signed transaction
    reservation    TEXT,                         -- JSON
    expires_ms     INTEGER NOT NULL,
    state          TEXT    NOT NULL,
    settled        TEXT,                         -- JSON
    lease_until_ms INTEGER,
    why            TEXT,
    changed_ms     INTEGER NOT NULL,
    CHECK (state IN ('settling', 'credit', 'delivering', 'delivered', 'failed')),
    CHECK ((settled IS NOT NULL) = (state IN ('credit', 'delivering', 'delivered'))),
    CHECK ((lease_until_ms IS NOT NULL) = (state = 'delivering')),
    CHECK ((why IS NOT NULL) = (state = 'failed'))
) STRICT;

CREATE INDEX claim_settling   ON claim (changed_ms, id) WHERE state = 'settling';
CREATE INDEX claim_delivering ON claim (seq)            WHERE state = 'delivering';
CREATE INDEX claim_final      ON claim (expires_ms, id) WHERE state IN ('delivered', 'failed');

-- What the money is, in every spelling. The primary key is what makes it usable once (C21).
CREATE TABLE claim_key (
    key   TEXT    PRIMARY KEY,
    claim INTEGER NOT NULL REFERENCES claim (seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX claim_key_claim ON claim_key (claim);

-- What settlements may have spent of our budgets. Outlives its claim: pruning a claim gives no budget back.
CREATE TABLE reservation (
    budget   TEXT    NOT NULL,
    at_ms    INTEGER NOT NULL,
    claim_id TEXT    NOT NULL,
    amount   TEXT    NOT NULL,                   -- base units, decimal: up to 128 bits
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (budget, at_ms, claim_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX reservation_claim ON reservation (claim_id);
CREATE INDEX reservation_until ON reservation (until_ms);
