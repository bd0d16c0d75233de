#![allow(clippy::unwrap_used, clippy::print_stderr, dead_code, reason = "tests")]
mod support;
use farthing_money::Amount;
use farthing_protocol::ports::*;
use farthing_protocol::*;
use farthing_rails::tempo::*;
use support::*;
#[tokio::test(flavor = "multi_thread")]
async fn mppx_pays_us() {
    let node = support::node::anvil().await.unwrap();
    let r = fresh_address();
    let base = || TempoCharge::builder(node.chain_id, rpc(&node), r, tokens::PATH_USD);
    let split = vec![Split{recipient: fresh_address(), amount: Amount::from_base(10), memo: None}, Split{recipient: fresh_address(), amount: Amount::from_base(10), memo: Some(alloy_primitives::B256::repeat_byte(3))}];
    let sponsor = Sponsorship::new(node.chain_id, key(3), Amount::from_base(1_000_000));
    for (name, seller, amount, mode) in [
        ("pull", base().build().unwrap(), 100, "-"),
        ("push", base().build().unwrap(), 100, "push"),
        ("proof", base().build().unwrap(), 0, "-"),
        ("splits", base().splits(split.clone()).build().unwrap(), 100, "-"),
        ("splits push", base().splits(split.clone()).build().unwrap(), 100, "push"),
        ("sponsored", base().sponsor(sponsor.clone()).build().unwrap(), 100, "-"),
        ("sponsored splits", base().sponsor(sponsor.clone()).splits(split.clone()).build().unwrap(), 100, "-"),
    ] {
        let c = challenge(&seller, money(&node, amount), 300);
        let out = std::process::Command::new("node").args(["/tmp/rv/pay.mjs", &c.to_header_value().unwrap(), &node.url, KEYS[1], mode]).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        if text.is_empty() { eprintln!("{name}: NODE {}", String::from_utf8_lossy(&out.stderr)); continue; }
        let buf = CredentialBuf::decode(text.trim()).unwrap();
        let view = buf.view().unwrap();
        let v = seller.verify(VerifyRequest{credential:&view, expires: c.expires_at().unwrap().unwrap(), now: now()}).await;
        match v { Err(e) => eprintln!("{name}: VERIFY {e}"), Ok(v) => { let s = seller.settle(&v.plan, now()).await; eprintln!("{name}: {s:?} balance {}", balance(&node, r).await) } }
    }
}
