-- What was earned, in the order in which it was: whoever books revenue reads on where it stopped.
CREATE INDEX claim_delivered ON claim (changed_ms, id) WHERE state = 'delivered';
