//! The lease: which of several processes dispatches. It saves work; that nothing is lost or done twice rests on revisions.

use farthing_ledger::Timestamp;
use farthing_ledger::record::{Committed, Expect, RecordChange, RecordKey, Table, Work};
use serde::{Deserialize, Serialize};

use super::super::{Billing, ServiceError};

const LEASE: Table = Table::new("lease");

#[derive(Serialize, Deserialize)]
struct Held {
    by: String,
    until_ms: u64,
}

impl Billing {
    /// Takes or prolongs the dispatcher's lease until `until`, unless another holds it now. Whether it is held.
    ///
    /// # Errors
    /// [`ServiceError::Store`], [`ServiceError::Unreadable`].
    pub async fn hold_webhook_lease(
        &self,
        by: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, ServiceError> {
        let at = RecordKey { table: LEASE, key: "webhooks".to_owned() };
        let found = self.store().records(std::slice::from_ref(&at)).await?.into_iter().next().flatten();
        let expect = match &found {
            None => Expect::Absent,
            Some(record) => {
                let held: Held =
                    serde_json::from_str(&record.body).map_err(|e| ServiceError::unreadable("lease", &e))?;
                if held.by != by && held.until_ms > now.unix_ms() {
                    return Ok(false);
                }
                Expect::Revision(record.revision)
            }
        };
        let held = Held { by: by.to_owned(), until_ms: until.unix_ms() };
        let body = serde_json::to_string(&held).map_err(|e| ServiceError::unreadable("lease", &e))?;
        let records = vec![RecordChange::Put { at, expect, body }];
        let work = Work { now, steps: Vec::new(), records };
        Ok(matches!(self.store().commit(work).await?, Committed::Applied { .. }))
    }
}
