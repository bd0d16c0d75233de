//! [`FlightWitness`]: keeps the credential of a payment that its rail is about to broadcast, so that a lost answer or a crash
//! leaves something to present. It decides nothing about money.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use farthing_protocol::ports::{PayError, Witness};
use farthing_protocol::{Challenge, PaymentProof};

use crate::PaymentId;
use crate::books::Books;
use crate::in_flight::Worth;
use crate::journal::{Step, StoredCredential};

/// The witness of one payment.
pub(crate) struct FlightWitness {
    pub(crate) books: Arc<Books>,
    pub(crate) id: PaymentId,
    pub(crate) challenge: Challenge,
    pub(crate) worth: Worth,
    /// Why it could not keep a proof.
    pub(crate) failure: OnceLock<String>,
}

impl fmt::Debug for FlightWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightWitness").field("id", &self.id).finish_non_exhaustive()
    }
}

impl FlightWitness {
    /// The rail's word; where it did not pay because nothing could be kept, that is what the caller is told, whatever code
    /// the rail gave it.
    pub(crate) fn blame(&self, error: PayError) -> PayError {
        match (error, self.failure.get()) {
            (PayError::Failed { .. }, Some(why)) => {
                PayError::Failed { code: "payment_unrecorded", why: why.clone() }
            }
            (error, _) => error,
        }
    }

    async fn keep(&self, proof: &PaymentProof) -> Result<(), String> {
        let value = self.challenge.answer(proof).map_err(|error| error.to_string())?;
        // A proof of identity is worth nothing later.
        let credential =
            (self.worth == Worth::Money).then(|| StoredCredential::new(self.challenge.header, value));
        let (books, id) = (Arc::clone(&self.books), self.id.clone());
        let written =
            tokio::task::spawn_blocking(move || books.write(&id, Step::Sending { credential })).await;
        // A journal that panics has kept nothing for certain.
        written.map_err(|_| "the journal stopped unexpectedly".to_owned())?
    }
}

#[async_trait]
impl Witness for FlightWitness {
    async fn about_to_move(&self, proof: &PaymentProof) -> Result<(), String> {
        let kept = self.keep(proof).await;
        kept.map_err(|why| {
            let why = format!("the payment could not be recorded: {why}");
            self.failure.get_or_init(|| why).clone()
        })
    }
}
