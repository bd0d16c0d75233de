//! What the chain tests share: nodes to run against, a proxy that loses answers, and one paid call from offer to receipt.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod access_key;
pub mod lossy;
pub mod node;

use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::Address;
use farthing_money::{Amount, Asset, Money};
use farthing_protocol::ports::{
    ClaimKey, PayContext, PayError, Payer, Price, Resolution, SettleError, Settled, Timing, Verified,
    Verifier, VerifyError, VerifyRequest,
};
use farthing_protocol::{
    Challenge, CredentialBuf, CredentialHeader, Intent, MethodId, PaymentProof, Problem, UnixMs,
};
use farthing_rails::tempo::{
    PrivateKey, TempoCharge, TempoPayer, TempoPayerBuilder, TempoRpc, Transfer, Wallet, tokens,
};

pub use node::Node;

/// Runs a scenario against every chain that there is.
macro_rules! on_every_chain {
    ($($name:ident),* $(,)?) => {
        on_every_chain!(@chain on_anvil, anvil, $($name),*);
        on_every_chain!(@chain on_sandbox, sandbox, $($name),*);
    };
    (@chain $module:ident, $start:ident, $($name:ident),*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    if let Some(node) = super::support::node::$start().await {
                        super::$name(node).await;
                    }
                }
            )*
        }
    };
}

pub const REALM: &str = "api.example.com";
/// The development keys that every local chain funds.
pub const KEYS: [&str; 4] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
];

pub fn key(i: usize) -> PrivateKey {
    PrivateKey::from_hex(KEYS[i]).unwrap()
}

#[allow(clippy::disallowed_methods, reason = "a test is the outermost ring")]
pub fn now() -> UnixMs {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMs::from_ms(u64::try_from(elapsed.as_millis()).unwrap())
}

/// A recipient that nobody has used.
pub fn fresh_address() -> Address {
    PrivateKey::random(&mut rand::rng()).address()
}

pub fn asset(node: &Node) -> Asset {
    tokens::asset(node.chain_id, tokens::PATH_USD)
}

pub fn money(node: &Node, base: u128) -> Money {
    Money::new(Amount::from_base(base), asset(node))
}

pub fn rpc(node: &Node) -> TempoRpc {
    TempoRpc::new(&node.url).unwrap()
}

pub fn payer(node: &Node, i: usize) -> TempoPayerBuilder {
    TempoPayer::builder(key(i)).chain(node.chain_id, rpc(node))
}

/// A challenge with a fresh id, as a gate would issue it.
pub fn challenge(seller: &dyn Verifier, price: Money, ttl_s: u64) -> Challenge {
    let price = Price { money: price, description: None, external_id: Some("order-7".into()) };
    Challenge {
        id: format!("id-{:032x}", rand::random::<u128>()),
        realm: REALM.into(),
        method: MethodId::new("tempo").unwrap(),
        intent: Intent::charge(),
        request: seller.offer(&price).unwrap(),
        description: None,
        expires: Some(now().plus_ms(ttl_s * 1000).to_string()),
        digest: None,
        opaque: None,
        header: CredentialHeader::Authorization,
    }
}

/// A credential as it arrives at the seller.
pub struct Presented {
    buf: CredentialBuf,
    expires: UnixMs,
}

impl Presented {
    pub fn new(challenge: &Challenge, proof: &PaymentProof) -> Self {
        let buf = CredentialBuf::decode(&challenge.answer(proof).unwrap()).unwrap();
        Self { buf, expires: challenge.expires_at().unwrap().unwrap() }
    }

    pub fn keys(&self, seller: &TempoCharge) -> Result<Vec<ClaimKey>, Problem> {
        seller.keys(&self.buf.view().unwrap())
    }

    /// The same credential, of a challenge that expires at another time.
    pub fn expiring(self, expires: UnixMs) -> Self {
        Self { expires, ..self }
    }

    pub async fn verify_at(&self, seller: &TempoCharge, now: UnixMs) -> Result<Verified, VerifyError> {
        self.verify_timed(seller, now, Timing::InTime).await
    }

    /// Presented after the challenge's expiry.
    pub async fn verify_late(&self, seller: &TempoCharge) -> Result<Verified, VerifyError> {
        self.verify_timed(seller, self.expires.plus_ms(1_000), Timing::Late).await
    }

    async fn verify_timed(
        &self,
        seller: &TempoCharge,
        now: UnixMs,
        timing: Timing,
    ) -> Result<Verified, VerifyError> {
        let credential = self.buf.view().unwrap();
        seller.verify(VerifyRequest { credential: &credential, expires: self.expires, now, timing }).await
    }

    pub async fn verify(&self, seller: &TempoCharge) -> Result<Verified, VerifyError> {
        let verified = self.verify_at(seller, now()).await?;
        for key in self.keys(seller).unwrap() {
            assert!(verified.keys.contains(&key), "verify returns a superset of keys(): {key:?}");
        }
        Ok(verified)
    }
}

pub async fn pay(payer: &TempoPayer, challenge: &Challenge, cap: Money) -> Result<Presented, PayError> {
    let proof = payer.pay(challenge, PayContext { cap, now: now(), witness: None }).await?;
    Ok(Presented::new(challenge, &proof))
}

pub async fn settle(seller: &TempoCharge, verified: &Verified) -> Result<Settled, SettleError> {
    seller.settle(&verified.plan, now()).await
}

pub async fn balance(node: &Node, account: Address) -> u128 {
    rpc(node).balance(tokens::PATH_USD, account).await.unwrap().saturating_to::<u128>()
}

pub fn code(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::Rejected(problem) => problem.code,
        VerifyError::Replayed => "replayed",
        VerifyError::Unavailable { .. } => "unavailable",
        _ => "other",
    }
}

/// A credential with a payload of the test's own.
pub fn presented_with(
    challenge: &Challenge,
    payload: &serde_json::Value,
    source: Option<String>,
) -> Presented {
    let payload = serde_json::value::to_raw_value(payload).unwrap();
    Presented::new(challenge, &PaymentProof { payload, source })
}

/// The payload that `payer` makes for a challenge.
pub async fn proof_json(challenge: &Challenge, payer: &TempoPayer) -> serde_json::Value {
    let cap = payer.quote(challenge).unwrap().money;
    let proof = payer.pay(challenge, PayContext { cap, now: now(), witness: None }).await.unwrap();
    serde_json::from_str(proof.payload.get()).unwrap()
}

pub fn did_of(node: &Node, address: Address) -> String {
    format!("did:pkh:eip155:{}:{address}", node.chain_id)
}

/// Broadcasts the transaction of a payload, as its payer can.
pub async fn broadcast(node: &Node, payload: &serde_json::Value) -> serde_json::Value {
    let params = serde_json::json!([payload["signature"]]);
    let receipt: serde_json::Value = rpc(node).request("eth_sendRawTransactionSync", params).await.unwrap();
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    receipt
}

/// Resolves until the outcome is known: a transaction that is sent again takes a block.
pub async fn resolve(seller: &TempoCharge, verified: &Verified) -> Resolution {
    for _ in 0..100 {
        let resolution = seller.resolve(&verified.plan, now()).await.unwrap();
        if resolution != Resolution::Pending {
            return resolution;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Resolution::Pending
}

/// Sends PathUSD as a person would, and returns the hash.
pub async fn send(node: &Node, from: &PrivateKey, to: Address, base: u128) -> String {
    let wallet = Wallet::new(node.chain_id, rpc(node));
    let transfer = Transfer { token: tokens::PATH_USD, to, amount: Amount::from_base(base), memo: None };
    wallet.send(from, transfer, now()).await.unwrap().hash.to_string()
}

/// Gives an account PathUSD.
pub async fn fund(node: &Node, to: Address, base: u128) {
    send(node, &key(2), to, base).await;
    assert_eq!(balance(node, to).await, base);
}

/// Sends away all that an account can, fees aside.
pub async fn drain(node: &Node, from: &PrivateKey, to: Address) {
    let left = balance(node, from.address()).await;
    // The fee of a transfer: what is left after it must be less than any price here.
    for fee in [5_000_u128, 10_000, 20_000, 30_000, 50_000] {
        let wallet = Wallet::new(node.chain_id, rpc(node));
        let transfer =
            Transfer { token: tokens::PATH_USD, to, amount: Amount::from_base(left - fee), memo: None };
        if wallet.send(from, transfer, now()).await.is_ok() {
            return;
        }
    }
    panic!("nothing could be sent");
}

/// Lets time pass on the chain, and a block with it.
pub async fn pass(node: &Node, seconds: u64) {
    let rpc = rpc(node);
    let _: serde_json::Value = rpc.request("evm_increaseTime", serde_json::json!([seconds])).await.unwrap();
    let _: serde_json::Value = rpc.request("evm_mine", serde_json::json!([])).await.unwrap();
}
