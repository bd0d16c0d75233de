-- What settlements that failed have spent all the same. No claim owns it any more: the same challenge may be claimed anew, at
-- the same instant too, and what that claim reserves is given back without this.
CREATE TABLE spent_reservation (
    seq      INTEGER PRIMARY KEY,
    budget   TEXT    NOT NULL,
    at_ms    INTEGER NOT NULL,
    amount   TEXT    NOT NULL,                   -- base units, decimal: up to 128 bits
    until_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX spent_reservation_budget ON spent_reservation (budget, at_ms);
CREATE INDEX spent_reservation_until  ON spent_reservation (until_ms);
