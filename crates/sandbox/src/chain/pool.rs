//! Transactions that wait for a block, in the order in which they came.

use crate::refusal::Refusal;
use crate::transaction::Signed;
use alloy_primitives::B256;
use std::collections::VecDeque;
use std::sync::Arc;

/// A bounded queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    waiting: VecDeque<Arc<Signed>>,
}

impl Pool {
    pub(crate) fn push(&mut self, signed: Signed, limit: usize) -> Result<(), Refusal> {
        if self.find(signed.hash).is_some() {
            return Err(Refusal::AlreadyKnown);
        }
        if self.waiting.len() >= limit {
            return Err(Refusal::MempoolFull { limit });
        }
        self.waiting.push_back(Arc::new(signed));
        Ok(())
    }

    pub(crate) fn find(&self, hash: B256) -> Option<&Arc<Signed>> {
        self.waiting.iter().find(|signed| signed.hash == hash)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes everything out.
    pub(crate) fn take(&mut self) -> VecDeque<Arc<Signed>> {
        std::mem::take(&mut self.waiting)
    }

    /// Puts back what could not be included.
    pub(crate) fn put_back(&mut self, signed: Arc<Signed>) {
        self.waiting.push_back(signed);
    }
}
