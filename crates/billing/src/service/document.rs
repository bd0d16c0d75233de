//! [`Document`]: a type that is kept as a record; pages of them; and how ids are written.

use farthing_ledger::record::{Order, Record, RecordKey, Scan, Table, Version};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Billing, Cx, ServiceError, TenantId};

/// A type that is kept as JSON in a table of its own. Its key begins with the tenant.
pub trait Document: Serialize + DeserializeOwned + Send + Sync {
    /// Where.
    const TABLE: Table;
    /// What it is called in errors, such as `customer`.
    const NAME: &'static str;
}

/// A document as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// Its key within the tenant.
    pub key: String,
    /// The commit that wrote it.
    pub revision: Version,
    /// What it says.
    pub doc: T,
}

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// The cursor: [`Page::next`] of the page before.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// The newest first, when keys are time-ordered.
    pub order: Order,
}

impl Default for PageQuery {
    fn default() -> Self {
        Self { after: None, limit: 100, order: Order::Descending }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Page<T> {
    /// The items.
    pub data: Vec<T>,
    /// The cursor of the next page, when there is one.
    pub next: Option<String>,
}

impl<T> Page<Stored<T>> {
    /// The documents alone, as they are shown.
    #[must_use]
    pub fn docs(self) -> Page<T> {
        self.map(|doc| doc)
    }

    /// The page with something else made of every document.
    #[must_use]
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> Page<U> {
        let data = self.data.into_iter().map(|stored| stored.doc).map(make).collect();
        Page { data, next: self.next }
    }
}

/// The record of `key` among the tenant's.
#[must_use]
pub fn record_key<T: Document>(tenant: TenantId, key: &str) -> RecordKey {
    RecordKey { table: T::TABLE, key: format!("{tenant}/{key}") }
}

/// How an id is written: what it names, and 32 hexadecimal digits, such as `cus_018f…`.
#[must_use]
pub fn id_text(prefix: &str, bits: u128) -> String {
    format!("{prefix}_{bits:032x}")
}

/// Reads what [`id_text`] wrote. `None` for anything else, other spellings included.
#[must_use]
pub fn read_id(prefix: &str, text: &str) -> Option<u128> {
    let hex = text.strip_prefix(prefix)?.strip_prefix('_')?;
    let canonical = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    canonical.then(|| u128::from_str_radix(hex, 16).ok()).flatten()
}

impl Billing {
    /// The document under `key`, if there is one.
    ///
    /// # Errors
    /// [`ServiceError::Store`], [`ServiceError::Unreadable`].
    pub async fn find<T: Document>(&self, cx: &Cx, key: &str) -> Result<Option<Stored<T>>, ServiceError> {
        let found = self.store().records(&[record_key::<T>(cx.tenant, key)]).await?;
        found.iter().flatten().next().map(|record| stored(cx.tenant, record)).transpose()
    }

    /// The document under `key`.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and as [`Billing::find`].
    pub async fn get<T: Document>(&self, cx: &Cx, key: &str) -> Result<Stored<T>, ServiceError> {
        self.find(cx, key).await?.ok_or_else(|| ServiceError::NotFound { what: T::NAME, id: key.to_owned() })
    }

    /// A page of the documents whose keys begin with `prefix`.
    ///
    /// # Errors
    /// As [`Billing::find`].
    pub async fn list<T: Document>(
        &self,
        cx: &Cx,
        prefix: &str,
        page: &PageQuery,
    ) -> Result<Page<Stored<T>>, ServiceError> {
        let whole = |key: &str| format!("{}/{key}", cx.tenant);
        let limit = page.limit.clamp(1, farthing_ledger::store::MAX_PAGE - 1);
        let scan = Scan {
            table: T::TABLE,
            prefix: whole(prefix),
            after: page.after.as_deref().map(whole),
            order: page.order,
            // One more tells whether there is a next page.
            limit: limit + 1,
        };
        let mut records = self.store().scan(scan).await?;
        let more = records.len() > limit;
        records.truncate(limit);
        let data: Vec<Stored<T>> =
            records.iter().map(|record| stored(cx.tenant, record)).collect::<Result<_, _>>()?;
        let next = data.last().filter(|_| more).map(|last| last.key.clone());
        Ok(Page { data, next })
    }
}

/// What a record says.
///
/// # Errors
/// [`ServiceError::Unreadable`].
pub(super) fn read_document<T: Document>(record: &Record) -> Result<T, ServiceError> {
    serde_json::from_str(&record.body).map_err(|error| ServiceError::unreadable(T::NAME, &error))
}

/// A record that was read for `tenant`, as a document.
///
/// # Errors
/// [`ServiceError::Unreadable`].
pub(super) fn stored<T: Document>(tenant: TenantId, record: &Record) -> Result<Stored<T>, ServiceError> {
    let doc = read_document(record)?;
    let mine = format!("{tenant}/");
    let key = record.key.strip_prefix(&mine).unwrap_or(&record.key).to_owned();
    Ok(Stored { key, revision: record.revision, doc })
}

#[cfg(test)]
mod tests {
    use super::{id_text, read_id};

    #[test]
    fn an_id_has_one_spelling() {
        let text = id_text("cus", 0xab);
        assert_eq!(text, "cus_000000000000000000000000000000ab");
        assert_eq!(read_id("cus", &text), Some(0xab));
        for other in [
            "cus_ab",
            "bud_000000000000000000000000000000ab",
            "cus_000000000000000000000000000000AB",
            "cus_+00000000000000000000000000000ab",
            "cus000000000000000000000000000000ab",
        ] {
            assert_eq!(read_id("cus", other), None, "{other}");
        }
    }
}
