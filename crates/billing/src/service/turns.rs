//! [`Turns`]: calls of this process that would only refuse each other in the store go one after the other. It is a courtesy: what
//! is right is decided by what each commit expects, and calls of other processes do not wait here.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures_util::lock::{Mutex, OwnedMutexGuard};

/// So many things can have their turns apart; two that share a place wait for each other without need.
const PLACES: usize = 256;

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    places: Vec<Arc<Mutex<()>>>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { places: (0..PLACES).map(|_| Arc::default()).collect() }
    }

    /// Waits for the turn of a call about `what`. It ends when the guard is dropped.
    pub(super) async fn take(&self, what: &impl Hash) -> Option<OwnedMutexGuard<()>> {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % 256).unwrap_or(0);
        match self.places.get(at) {
            Some(place) => Some(place.clone().lock_owned().await),
            None => None,
        }
    }
}
