//! Calls that are charged to a wallet: held before anything is paid, captured or voided when it is certain, kept otherwise.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use farthing_client::{Agent, CallWallet, Captured, PaymentId, WalletCall, WalletError};
use farthing_protocol::ports::{PayError, PaymentFate};

use crate::payer::{Does, FakePayer, builder, get, outcome};
use crate::seller::{Reply, Seller, reply, shop};

/// What a wallet was told, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Placed(u128),
    Captured(Option<String>),
    Cost(u128),
    Voided,
}

/// A wallet that writes down what it is told, and may say no.
#[derive(Default)]
pub struct Wallet {
    says: Option<WalletError>,
    told: Mutex<Vec<Told>>,
    calls: Mutex<Vec<WalletCall>>,
    held: Mutex<Vec<PaymentId>>,
}

impl Wallet {
    fn that_says(error: WalletError) -> Arc<Self> {
        Arc::new(Self { says: Some(error), ..Self::default() })
    }

    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    fn tell(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }

    fn end(&self, payment: &PaymentId, told: Told) {
        let mut held = self.held.lock().unwrap();
        if let Some(at) = held.iter().position(|held| held == payment) {
            held.remove(at);
            self.tell(told);
        }
    }
}

impl CallWallet for Wallet {
    fn place(&self, call: &WalletCall) -> Result<(), WalletError> {
        self.held.lock().unwrap().push(call.payment.clone());
        self.calls.lock().unwrap().push(call.clone());
        self.tell(Told::Placed(call.money.amount().base()));
        match &self.says {
            Some(error @ WalletError::Refused { .. }) => {
                self.held.lock().unwrap().clear();
                Err(error.clone())
            }
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn capture(&self, payment: &PaymentId, captured: &Captured) -> Result<(), WalletError> {
        self.end(
            payment,
            match &captured.cost {
                Some(cost) => Told::Cost(cost.amount().base()),
                None => Told::Captured(captured.reference.clone()),
            },
        );
        Ok(())
    }

    fn void(&self, payment: &PaymentId) -> Result<(), WalletError> {
        self.end(payment, Told::Voided);
        Ok(())
    }

    fn held(&self) -> Result<Vec<PaymentId>, WalletError> {
        Ok(self.held.lock().unwrap().clone())
    }

    fn catch_up(&self) -> Result<usize, WalletError> {
        Ok(0)
    }
}

fn agent(payer: &Arc<FakePayer>, wallet: &Arc<Wallet>) -> Agent {
    builder(payer).wallet(Arc::clone(wallet) as _).build().unwrap()
}

#[tokio::test]
async fn what_becomes_of_the_payment_becomes_of_the_hold() {
    let fails = |error| Does::Fails(error);
    let failed = || PayError::Failed { code: "no_funds", why: "none".to_owned() };
    let unknown = || PayError::Unknown { reference: "0xab".to_owned(), why: "lost".to_owned() };
    let placed = Told::Placed(10_000);
    for (does, expected, told) in [
        (Does::Pays, "200", vec![placed.clone(), Told::Captured(Some("0xfeed".to_owned()))]),
        (fails(failed()), "no_funds", vec![placed.clone(), Told::Voided]),
        // Nobody knows whether it was paid: it stays held.
        (fails(unknown()), "outcome_unknown", vec![placed.clone()]),
    ] {
        let seller = Seller::start(shop).await;
        let (payer, wallet) = (FakePayer::new(does), Arc::new(Wallet::default()));
        let result = agent(&payer, &wallet).execute(get(&seller.url("/report?key=secret"))).await;
        assert_eq!(outcome(&result), expected);
        assert_eq!(wallet.told(), told);
        let calls = wallet.calls.lock().unwrap().clone();
        assert_eq!(calls[0].vendor, format!("127.0.0.1:{}", seller.port));
        assert_eq!(calls[0].offer, "GET /report", "no query, which may hold secrets");
    }
}

#[tokio::test]
async fn a_wallet_that_says_no_or_nothing_stops_the_payment() {
    let refused =
        WalletError::Refused { code: "insufficient_funds".to_owned(), why: "0.40 is there".to_owned() };
    let unavailable = WalletError::Unavailable { why: "no route".to_owned() };
    for (says, code, told) in [
        (refused, "wallet_refused", vec![Told::Placed(10_000)]),
        // It may have heard: so it is told that nothing came of it.
        (unavailable, "wallet_unavailable", vec![Told::Placed(10_000), Told::Voided]),
    ] {
        let seller = Seller::start(shop).await;
        let (payer, wallet) = (FakePayer::new(Does::Pays), Wallet::that_says(says));
        let agent = agent(&payer, &wallet);
        let error = agent.execute(get(&seller.url("/"))).await.unwrap_err();
        assert_eq!((error.code(), error.may_have_paid()), (code, false), "{error}");
        assert_eq!((payer.asked(), seller.credentials().len()), (0, 0));
        assert_eq!(wallet.told(), told);
        assert!(agent.spend_book().held().unwrap().is_empty(), "the budget of this machine has it back");
        assert!(agent.journal().payments().unwrap().is_empty(), "what is refused is no payment");
    }
}

#[tokio::test]
async fn a_lost_answer_keeps_the_hold_until_the_rail_tells() {
    for (fate, told) in [
        (PaymentFate::Moved { reference: "0xab".to_owned() }, Told::Captured(Some("0xab".to_owned()))),
        (PaymentFate::CannotMove { why: "expired".to_owned() }, Told::Voided),
    ] {
        let seller = Seller::start(|seen, nth| match seen.credential() {
            Some(_) => Reply::Close,
            None => shop(seen, nth),
        })
        .await;
        let (payer, wallet) = (FakePayer::new(Does::Pays), Arc::new(Wallet::default()));
        let agent =
            builder(&payer).wallet(Arc::clone(&wallet) as _).max_wait(Duration::ZERO).build().unwrap();
        agent.execute(get(&seller.url("/"))).await.unwrap_err();
        assert_eq!(wallet.told(), [Told::Placed(10_000)]);
        payer.set_fate(Ok(fate));
        let open = agent.journal().open().unwrap();
        agent.resolve(&open[0].id).await.unwrap();
        assert_eq!(wallet.told(), [Told::Placed(10_000), told]);
    }
}

#[tokio::test]
async fn a_hold_whose_process_died_before_it_wrote_anything_is_given_back() {
    let payer = FakePayer::new(Does::Pays);
    let wallet = Arc::new(Wallet::default());
    let agent = agent(&payer, &wallet);
    wallet.held.lock().unwrap().push(PaymentId::parse("0190-dead").unwrap());
    assert_eq!(agent.sweep().await, 1);
    assert_eq!(wallet.told(), [Told::Voided]);
}

#[tokio::test]
async fn what_costs_nothing_holds_nothing() {
    let seller = Seller::start(|_, _| reply(200, &[], "free")).await;
    let (payer, wallet) = (FakePayer::new(Does::Pays), Arc::new(Wallet::default()));
    agent(&payer, &wallet).execute(get(&seller.url("/"))).await.unwrap();
    assert!(wallet.told().is_empty());
}
