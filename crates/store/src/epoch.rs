//! Names of histories: random, so that none comes twice.

use farthing_protocol::ports::StoreEpoch;

/// The history of every store from before histories had names.
pub(crate) const UNNAMED: StoreEpoch = StoreEpoch(0);

/// A name that is not `old`'s and not [`UNNAMED`].
pub(crate) fn another(old: StoreEpoch) -> StoreEpoch {
    loop {
        let epoch = StoreEpoch(rand::random());
        if epoch != old && epoch != UNNAMED {
            return epoch;
        }
    }
}
