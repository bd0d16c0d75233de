//! [`LazyPayer`]: a Tempo payer whose key stays locked until something is to be paid. Most calls cost nothing, and unlocking
//! takes a password and a second.

use async_trait::async_trait;
use farthing_client::Keystore;
use farthing_client::keystore::KeyInfo;
use farthing_protocol::ports::{Declined, PayContext, PayError, Payer, PaymentFate, Quote, SentPayment};
use farthing_protocol::{Challenge, MethodId, PaymentProof, UnixMs};
use farthing_rails::tempo::{PayMode, PrivateKey, TempoPayer};
use tokio::sync::OnceCell;

use super::wallets;
use crate::cli::network::Reach;
use crate::cli::password::PasswordArgs;
use crate::error::CliError;

/// How to pay.
#[derive(Debug, Clone)]
pub struct PayerOptions {
    /// The chains to pay on.
    pub chains: Vec<Reach>,
    /// How, where the seller leaves the choice.
    pub mode: PayMode,
}

impl PayerOptions {
    /// A payer with this key.
    pub fn payer(&self, key: PrivateKey) -> TempoPayer {
        let builder = TempoPayer::builder(key).mode(self.mode);
        let with_chain = |builder: farthing_rails::tempo::TempoPayerBuilder, reach: &Reach| {
            builder.chain(reach.chain_id, reach.rpc.clone())
        };
        self.chains.iter().fold(builder, with_chain).build()
    }
}

/// Where the key is.
#[derive(Debug, Clone)]
pub struct LockedKey {
    /// The keystore.
    pub keystore: Keystore,
    /// Which key; why there is none, where there is none.
    pub info: Result<KeyInfo, CliError>,
    /// Its password.
    pub password: PasswordArgs,
}

/// A payer whose key is unlocked by the first payment.
#[derive(Debug)]
pub struct LazyPayer {
    options: PayerOptions,
    /// Reads challenges. Its key belongs to nobody and signs nothing.
    reader: TempoPayer,
    key: LockedKey,
    unlocked: OnceCell<TempoPayer>,
}

impl LazyPayer {
    /// A payer with a locked key.
    pub fn new(options: PayerOptions, key: LockedKey) -> Self {
        let reader = options.payer(PrivateKey::random(&mut rand::rng()));
        Self { options, reader, key, unlocked: OnceCell::new() }
    }

    /// Unlocks the key before there is anything to pay.
    ///
    /// # Errors
    /// When there is no wallet, or its password is not known.
    pub async fn unlock_now(&self) -> Result<(), CliError> {
        self.key.info.clone()?;
        self.unlock().await.map(drop).map_err(|error| CliError::usage(error.code(), error.to_string()))
    }

    async fn unlock(&self) -> Result<&TempoPayer, PayError> {
        let locked = |error: CliError| PayError::Failed {
            code: error.code,
            why: error
                .help
                .map_or_else(|| error.message.clone(), |help| format!("{} ({help})", error.message)),
        };
        let info = self.key.info.clone().map_err(locked)?;
        self.unlocked
            .get_or_try_init(|| async {
                let key = self.key.clone();
                let unlocking = tokio::task::spawn_blocking(move || {
                    wallets::unlock(&key.keystore, &info.name, &key.password)
                });
                let key = unlocking.await.map_err(|error| CliError::unexpected("unlock", error.to_string()));
                Ok(self.options.payer(key.and_then(|key| key).map_err(locked)?))
            })
            .await
    }
}

#[async_trait]
impl Payer for LazyPayer {
    fn method(&self) -> &MethodId {
        self.reader.method()
    }

    fn accepts(&self) -> Vec<String> {
        self.reader.accepts()
    }

    fn quote(&self, challenge: &Challenge) -> Result<Quote, Declined> {
        let payer = match &self.key.info {
            Ok(info) => info.address.map_or_else(|| info.name.to_string(), |address| address.to_string()),
            Err(_) => "(no wallet)".to_owned(),
        };
        Ok(Quote { payer, ..self.reader.quote(challenge)? })
    }

    async fn pay(&self, challenge: &Challenge, context: PayContext) -> Result<PaymentProof, PayError> {
        self.unlock().await?.pay(challenge, context).await
    }

    async fn outcome(&self, payment: &SentPayment<'_>, now: UnixMs) -> Result<PaymentFate, String> {
        // Looking needs no key: no password is asked for.
        self.reader.outcome(payment, now).await
    }
}
