//! Carrying a plan out, and learning what became of what an earlier run sent.

use alloy_primitives::{Address, B256};
use farthing_billing::service::Billing;
use farthing_billing::service::collection::{Collection, CollectionEnd, NewCollection};
use farthing_money::Amount;
use farthing_rails::tempo::sweep::{Known, SignedSweep, Sweep, SweepFate, Swept};
use farthing_rails::tempo::{PrivateKey, WalletError, tokens};
use futures_util::stream::{self, StreamExt as _};

use super::plan::{Left, Lying, Plan, Verdict, decide, left};
use super::{CollectError, Collector};
use crate::deposit::keys::DepositSeed;

/// Addresses from which something is sent at the same time.
const AT_ONCE: usize = 8;

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It arrived.
    Collected {
        /// How much: what was there when it was signed, less what the fee may take.
        amount: Amount,
        /// The most that the fee may have taken.
        fee_most: Amount,
        /// What the fee took, where the node shows it.
        fee: Option<Amount>,
        /// The transaction.
        hash: B256,
        /// Its block.
        block: Option<u64>,
    },
    /// Nothing was sent.
    Left(Left),
    /// Nothing moved.
    Failed {
        /// Why.
        why: String,
    },
    /// It was sent, and nobody knows what became of it yet: the next run looks.
    Unknown {
        /// The transaction.
        hash: B256,
        /// What is in the way.
        why: String,
    },
}

/// What became of one part of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What lay where.
    pub lying: Lying,
    /// What became of it.
    pub ended: Ended,
}

impl Collector {
    /// Learns what became of what earlier runs sent, and writes it down. What is still open stays so.
    ///
    /// # Errors
    /// [`CollectError`]; it may be asked again.
    pub async fn look_up(&self, record: &Billing) -> Result<Vec<Collection>, CollectError> {
        let mut found = Vec::new();
        for collection in self.open(record).await? {
            let Some(known) = known(&collection) else {
                let why = "its record names no transaction".to_owned();
                found.push(
                    record.end_collection(&self.cx(), &collection.id, CollectionEnd::Unclear { why }).await?,
                );
                continue;
            };
            let end = match self.sweeper.fate(&known).await? {
                SweepFate::Open => {
                    found.push(collection);
                    continue;
                }
                SweepFate::Made(swept) => collected(&swept),
                SweepFate::Reverted => CollectionEnd::Failed {
                    why: "the transfer failed on the chain: nothing moved but its fee".to_owned(),
                },
                SweepFate::Gone => {
                    CollectionEnd::Failed { why: "it ended without being executed: nothing moved".to_owned() }
                }
                SweepFate::Unclear { why } => CollectionEnd::Unclear { why },
            };
            found.push(record.end_collection(&self.cx(), &collection.id, end).await?);
        }
        Ok(found)
    }

    /// Sends what the plan collects, each as it is there at that moment, and tells `told` of each as it ends.
    ///
    /// # Errors
    /// [`CollectError::Key`] when the seed is not the one of the addresses: nothing was sent.
    pub async fn collect(
        &self,
        record: &Billing,
        seed: &DepositSeed,
        plan: &Plan,
        told: impl Fn(&Done) + Sync,
    ) -> Result<Vec<Done>, CollectError> {
        self.keys.check_seed(seed)?;
        // One after the other from each address: one token may pay the other's fee.
        let lying: Vec<Lying> = plan.collected().cloned().collect();
        let mut groups = lying.chunk_by(|one, other| one.index == other.index).map(<[Lying]>::to_vec);
        let Some(first) = groups.next() else { return Ok(Vec::new()) };
        let with = (record, seed, &told);
        // The first transfer that a recipient ever gets costs more: the others are priced after it.
        let mut done = self.group(with, first).await;
        let others: Vec<_> = groups.map(|lying| self.group(with, lying)).collect();
        let mut others = stream::iter(others).buffered(AT_ONCE);
        while let Some(group) = others.next().await {
            done.extend(group);
        }
        Ok(done)
    }

    async fn group<F: Fn(&Done) + Sync>(
        &self,
        (record, seed, told): (&Billing, &DepositSeed, &F),
        lying: Vec<Lying>,
    ) -> Vec<Done> {
        let mut done = Vec::with_capacity(lying.len());
        for lying in lying {
            let ended = self.one(record, seed, &lying).await;
            let it = Done { lying, ended };
            told(&it);
            done.push(it);
        }
        done
    }

    async fn one(&self, record: &Billing, seed: &DepositSeed, lying: &Lying) -> Ended {
        let signed = match self.sign(seed, lying).await {
            Ok(signed) => signed,
            Err(ended) => return ended,
        };
        let begun = match record.begin_collection(&self.cx(), &self.record_of(lying, &signed)).await {
            Ok(Some(begun)) => begun,
            Ok(None) => return Ended::Left(Left::UnderWay { hash: None }),
            Err(error) => return Ended::Failed { why: format!("it could not be written down: {error}") },
        };
        let (ended, end) = match self.sweeper.send(&signed).await {
            Ok(swept) => {
                let quote = signed.quote();
                let Swept { sent, fee } = swept;
                let (amount, fee_most) = (quote.moved, quote.fee);
                let ended = Ended::Collected { amount, fee_most, fee, hash: sent.hash, block: sent.block };
                (ended, collected(&swept))
            }
            Err(WalletError::Unknown { hash, why }) => return Ended::Unknown { hash, why },
            Err(error) => {
                let why = error.to_string();
                (Ended::Failed { why: why.clone() }, CollectionEnd::Failed { why })
            }
        };
        // Where this is not written, the next run learns it from the chain.
        if let Err(error) = record.end_collection(&self.cx(), &begun.id, end).await {
            tracing::warn!(collection = begun.id, code = error.code(), %error, "how a collection ended is not written down yet");
        }
        ended
    }

    /// Signs what is there now, when it is still worth it.
    async fn sign(&self, seed: &DepositSeed, lying: &Lying) -> Result<SignedSweep, Ended> {
        let failed = |why: &dyn std::fmt::Display| Ended::Failed { why: why.to_string() };
        let bytes = seed.private_key(lying.index).map_err(|error| failed(&error))?;
        let key = PrivateKey::from_bytes(&bytes).map_err(|error| failed(&error))?;
        if key.address() != lying.address {
            return Err(failed(&CollectError::AnotherKey { index: lying.index }));
        }
        let sweep = Sweep { token: lying.token, from: lying.address, to: self.settings.to };
        let signed = self.sweeper.sign(&key, sweep, self.now()).await.map_err(|error| match left(error) {
            Ok(left) => Ended::Left(left),
            Err(error) => failed(&error),
        })?;
        match decide(&signed.quote(), self.settings.minimum) {
            Verdict::Collect => Ok(signed),
            Verdict::Leave(left) => Err(Ended::Left(left)),
        }
    }

    fn record_of(&self, lying: &Lying, signed: &SignedSweep) -> NewCollection {
        let quote = signed.quote();
        NewCollection {
            network: self.network(),
            token: tokens::lower(lying.token),
            address: tokens::lower(lying.address),
            index: lying.index,
            owner: lying.owner.as_ref().map(|owner| (owner.tenant, owner.customer)),
            to: tokens::lower(self.settings.to),
            amount: quote.moved,
            fee_most: quote.fee,
            fee_token: tokens::lower(quote.fee_token),
            fee_payer: self.sweeper.fee_payer().map(tokens::lower),
            tx_hash: format!("{:#x}", signed.hash()),
            valid_before_s: signed.valid_before(),
        }
    }
}

fn collected(swept: &Swept) -> CollectionEnd {
    CollectionEnd::Collected { block: swept.sent.block, fee: swept.fee }
}

fn known(collection: &Collection) -> Option<Known> {
    let address = |text: &str| text.parse::<Address>().ok();
    Some(Known {
        sweep: Sweep {
            token: address(&collection.token)?,
            from: address(&collection.address)?,
            to: address(&collection.to)?,
        },
        moved: collection.amount,
        hash: collection.tx_hash.parse().ok()?,
        valid_before: collection.valid_before_s,
    })
}
