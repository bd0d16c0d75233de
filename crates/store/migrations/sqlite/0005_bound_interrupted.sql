-- What the challenge bound, as SHA-256: a credential is known by it also when the secret that bound it is gone. None in claims from
-- before it was kept.
ALTER TABLE claim ADD COLUMN bound BLOB;

-- Deliveries whose process has gone are looked for while others serve: in the order of the lists.
DROP INDEX claim_delivering;
CREATE INDEX claim_delivering ON claim (changed_ms, id) WHERE state = 'delivering';
