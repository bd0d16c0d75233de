//! The billing layer as pure decisions: budgets, wallets and grants, prices, usage, margin, top-up.
//!
//! It uses the words of the design and no others:
//!
//! | word | here |
//! |---|---|
//! | Wallet | one customer's accounts, one an asset: [`wallet::Wallet`] is one of these |
//! | settled, held, available | the three balances: [`wallet::WalletBalances`], `available = settled - held` |
//! | Budget | a spending limit in a tree, enforced when a hold is placed: [`budget::Budget`] |
//! | Hold | a pending transfer with an expiry; a spend is a linked group of them: [`budget::Spend`] |
//! | Subject | the unit of work a customer recognises: [`SubjectId`] on every leg |
//! | UsageEvent, Cost, Price, Margin | [`usage::UsageEvent`], [`usage::VendorCost`], [`pricing::Price`], [`margin::Margin`] |
//! | TopUpRule | threshold, amount and cap of one account; its state machine is [`topup::TopUp`] |
//!
//! Every function takes what it needs to know, `now` and ids included, and gives ledger commands, or says why not. Whoever
//! calls gives the commands to a ledger, and the ledger's answer back ([`budget::Plan::read`]). What several processes could
//! race for is decided by the ledger's accounts and never here: [`budget`] says for each limit which it is and why.
//!
//! Around these decisions stands [`service`]: the calls of a billing system over a store that commits ledger steps and records as
//! one.
//!
//! What this crate is not: it does no IO of its own, reads no clock and draws no randomness; it does not know how anybody pays.
//!
//! # Example
//!
//! A wallet with 10.00, an agent that may spend 5.00 in all and 2.00 a day, a call that is held at 1.50 and costs 1.20:
//!
//! ```
//! use farthing_billing::budget::{Budget, BudgetBalances, Capture, Funding, Path, Placed, Rate, Root, Scope, Spend};
//! use farthing_billing::wallet::{Move, Wallet};
//! use farthing_billing::{BudgetId, Chart, CounterpartyId, CustomerId, GroupId, Period, SubjectId};
//! use farthing_ledger::{
//!     AccountId, AssetId, Command, Decision, Engine, Expiry, Known, Limit, NewAccount, NewAsset, Outcome, Remainder,
//!     Step, Timestamp,
//! };
//! use farthing_money::{Amount, Asset, AssetKind};
//!
//! let now = Timestamp::from_unix_ms(1_700_000_000_000);
//! let mut ledger = Engine::new(0x5eed, 0, Timestamp::EPOCH);
//! let mut apply = |steps: &[Step]| {
//!     let mut decision = Decision::default();
//!     ledger.decide(now, steps, &mut decision);
//!     ledger.commit();
//!     decision.outcomes
//! };
//!
//! // The assets, the accounts outside, the wallet and 10.00 in it.
//! let asset = AssetId::from_u32;
//! let chart = Chart { money: asset(1), allowance: asset(2), seats: asset(3) };
//! let usd = Asset::new("USD", 2, AssetKind::Fiat)?;
//! let (bank, vendor) = (AccountId::from_u128(1), AccountId::from_u128(2));
//! let open = |id| Step::single(Command::OpenAccount(NewAccount { id, asset: chart.money, limit: Limit::None }));
//! let wallet = Wallet { customer: CustomerId::from_u128(7), chart };
//! let root = Root { wallet: wallet.account(), chart };
//! let mut steps = vec![Step::single(Command::DefineAsset(NewAsset { id: chart.money, asset: usd.clone() }))];
//! steps.extend(chart.define(&usd)?.map(Step::single));
//! steps.extend([open(bank), open(vendor)]);
//! steps.extend(wallet.open());
//! steps.extend(root.open());
//! let money = Move { group: GroupId::from_u128(0x100), other: bank, amount: Amount::from_base(1_000), reference: 0 };
//! steps.push(wallet.deposit(&money));
//! assert!(apply(&steps).iter().all(|outcome| *outcome == Outcome::Applied));
//!
//! // The agent's budget.
//! let agent = Budget {
//!     funding: Funding::Shared { total: Some(Amount::from_base(500)) },
//!     rates: vec![Rate { period: Period::Day, scope: Scope::Everybody, most: Amount::from_base(200) }],
//!     ..Budget::shared(BudgetId::from_u128(1), None)
//! };
//! let plan = Path::wallet(root).create(GroupId::from_u128(0x200), &agent)?;
//! plan.read(&apply(&plan.batch()))?;
//!
//! // A call: hold, then capture. The hold counts on the wallet and on every limit, or on none.
//! let path = Path::new(root, vec![agent.clone()])?;
//! let spend = Spend {
//!     group: GroupId::from_u128(0x300),
//!     to: vendor,
//!     amount: Amount::from_base(150),
//!     counterparty: CounterpartyId::from_u128(9),
//!     subject: SubjectId::from_u128(47),
//!     now,
//!     expiry: Expiry::At(Timestamp::from_unix_ms(1_700_000_300_000)),
//! };
//! let plan = path.spend(&spend)?;
//! plan.read(&apply(&plan.batch()))?;
//!
//! // A second one would pass the limit of the day. Nothing of it stays.
//! let second = path.spend(&Spend { group: GroupId::from_u128(0x400), ..spend })?;
//! let refused = second.read(&apply(&second.batch())).expect_err("150 + 150 > 200");
//! assert_eq!(refused.code(), "budget_period_exceeded");
//!
//! // Whoever finishes the call reads the legs from the ledger.
//! let hold = |n| match ledger.known(spend.group.leg(n)) {
//!     Some(Known::Hold(hold)) => Some(*hold),
//!     _ => None,
//! };
//! let legs: Vec<_> = (0..=u8::MAX).map_while(hold).collect();
//! let capture = Capture {
//!     group: GroupId::from_u128(0x500),
//!     amount: Amount::from_base(120),
//!     remainder: Remainder::Release,
//!     receipt: 0xabc,
//! };
//! let steps = Placed::read(&legs)?.capture(&capture)?;
//! let mut decision = Decision::default();
//! ledger.decide(now, &steps, &mut decision);
//! ledger.commit();
//! let account = |id| ledger.account(id).expect("it was opened");
//! let balances =
//!     BudgetBalances::of(&agent, account(agent.id.total_account()), account(agent.id.carved_account()))
//!         .expect("its own accounts");
//! assert_eq!((balances.spent.base(), balances.held.base(), balances.available.base()), (120, 0, 380));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod budget;
mod chart;
pub mod grant;
mod id;
pub mod margin;
mod period;
pub mod pricing;
pub mod service;
pub mod topup;
pub mod usage;
pub mod wallet;

pub use chart::{Chart, Reason};
pub use id::{
    BudgetId, CounterpartyId, CustomerId, DelegationId, GrantId, GroupId, OfferId, ProductId, SubjectId,
};
pub use period::{Period, Window};
