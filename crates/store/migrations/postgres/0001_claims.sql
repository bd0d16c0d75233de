-- Claims: one row a credential, from before its payment is settled until the call that it pays for is delivered.
-- Names sort as bytes, so that pages are the same in every locale. Text that others wrote is JSON, which has no zero byte.
CREATE TABLE claim (
    id                  text    COLLATE "C" PRIMARY KEY,
    keys                text    NOT NULL,             -- JSON list, in the order that the rail gave
    scope               text    NOT NULL,
    payer               text,
    paid                text,                         -- JSON
    plan                text    NOT NULL,             -- JSON; may hold a signed transaction
    reservation         text,                         -- JSON
    expires_ms          bigint  NOT NULL,
    idempotency_key     text    COLLATE "C",
    idempotency_request bytea,                        -- SHA-256 of the request
    first               text,                         -- JSON, the lease that it began with; none where settling came first
    state               text    COLLATE "C" NOT NULL,
    settled             text,                         -- JSON
    lease_holder        bytea,                        -- 128 bits, most significant first
    lease_until_ms      bigint,
    why                 text,                         -- a JSON string
    refund_plan         text,                         -- JSON
    refund              text,                         -- JSON, what was settled by giving back
    changed_ms          bigint  NOT NULL,
    deliveries          bigint  NOT NULL,
    answered            boolean NOT NULL,
    last_step           bytea,                        -- SHA-256 of the step that was taken last
    CHECK (state IN ('reserved', 'settling', 'credit', 'delivering', 'delivered', 'refund_due', 'refunding', 'refunded',
                     'failed')),
    CHECK ((settled IS NOT NULL) = (state NOT IN ('reserved', 'settling', 'failed'))),
    CHECK ((lease_until_ms IS NOT NULL) = (state IN ('reserved', 'delivering'))),
    CHECK ((lease_holder IS NOT NULL) = (lease_until_ms IS NOT NULL)),
    CHECK ((why IS NOT NULL) = (state = 'failed')),
    CHECK ((refund_plan IS NOT NULL) = (state = 'refunding')),
    CHECK ((refund IS NOT NULL) = (state = 'refunded')),
    CHECK ((idempotency_request IS NOT NULL) = (idempotency_key IS NOT NULL))
);

-- What is waited for, by what: each list has an index of nothing but its own rows.
CREATE INDEX claim_reserved   ON claim (changed_ms, id)     WHERE state = 'reserved';
CREATE INDEX claim_settling   ON claim (changed_ms, id)     WHERE state = 'settling';
CREATE INDEX claim_credit     ON claim (changed_ms, id)     WHERE state = 'credit';
CREATE INDEX claim_refund_due ON claim (changed_ms, id)     WHERE state = 'refund_due';
CREATE INDEX claim_refunding  ON claim (changed_ms, id)     WHERE state = 'refunding';
CREATE INDEX claim_leased     ON claim (lease_until_ms, id) WHERE lease_until_ms IS NOT NULL;
CREATE INDEX claim_final      ON claim (expires_ms, id)     WHERE state IN ('delivered', 'refunded', 'failed');

-- One live claim a request (C23).
CREATE UNIQUE INDEX claim_idempotency ON claim (idempotency_key)
    WHERE idempotency_key IS NOT NULL AND state <> 'failed';

-- What the money is, in every spelling. The primary key is what makes it usable once (C21). No foreign keys here and below:
-- they would cost a look-up and a lock a row, and `farthing store check` compares.
CREATE TABLE claim_key (
    key      text COLLATE "C" PRIMARY KEY,
    claim_id text COLLATE "C" NOT NULL
);

CREATE INDEX claim_key_claim ON claim_key (claim_id);

-- What the service answered, for a payer who may not have received it.
CREATE TABLE answer (
    claim_id text    COLLATE "C" PRIMARY KEY,
    status   bigint  NOT NULL,
    headers  text    NOT NULL,                        -- JSON list of pairs; a value's bytes as code points up to 255
    body     bytea   NOT NULL
);

-- One row a budget: the lock that its reservations are made under, and the sum of those later than `after_ms`. A window slides
-- by adding or taking off what lies between two instants, so that a claim costs the same however much a window holds.
CREATE TABLE budget (
    name     text    COLLATE "C" PRIMARY KEY,
    after_ms bigint  NOT NULL,
    total    numeric NOT NULL CHECK (total >= 0)
);

-- What settlements may have spent of our budgets. Outlives its claim: pruning a claim gives no budget back.
CREATE TABLE reservation (
    seq      bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    budget   text    COLLATE "C" NOT NULL,
    at_ms    bigint  NOT NULL,
    claim_id text    COLLATE "C",                     -- whose failure gives it back; nobody's once it is spent
    amount   numeric NOT NULL CHECK (amount >= 0),
    until_ms bigint  NOT NULL
);

CREATE INDEX reservation_window ON reservation (budget, at_ms);
CREATE INDEX reservation_claim  ON reservation (claim_id) WHERE claim_id IS NOT NULL;
CREATE INDEX reservation_until  ON reservation (until_ms);

-- Which history this is, and where it was last seen: another server, timeline, database or table means that a backup was restored.
CREATE TABLE history (
    one   boolean PRIMARY KEY CHECK (one),
    epoch bigint  NOT NULL,
    place text    NOT NULL
);
