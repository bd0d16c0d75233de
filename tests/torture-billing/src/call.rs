//! What is asked of a process and what it answers: a JSON line each.

use farthing_billing::service::deposit::Sighting;
use farthing_billing::service::hold::{NewCapture, NewHold, NewRefund, NewVoid};
use farthing_billing::service::usage::NewUsage;
use farthing_billing::service::wallet::Credit;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One call of the service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// Money comes in.
    Credit {
        /// To whom.
        customer: String,
        /// How much.
        credit: Credit,
    },
    /// A hold is placed.
    Place {
        /// Which.
        new: NewHold,
    },
    /// It is paid from.
    Capture {
        /// Which.
        hold: String,
        /// How much.
        capture: NewCapture,
    },
    /// It is given back.
    Void {
        /// Which.
        hold: String,
        /// Why.
        void: NewVoid,
    },
    /// What was paid is given back.
    Refund {
        /// Which.
        hold: String,
        /// How much.
        refund: NewRefund,
    },
    /// Usage is told.
    Usage {
        /// Which.
        new: Box<NewUsage>,
    },
    /// A transfer was seen on a chain.
    Deposit {
        /// Which.
        seen: Sighting,
    },
    /// A top-up is begun, or finished, where one is due.
    TopUp {
        /// Whose.
        customer: String,
    },
    /// Holds that ran out are ended.
    Expire,
    /// A wallet is read.
    Wallet {
        /// Whose.
        customer: String,
    },
}

/// A call with what a server knows when it comes in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// Its number on this connection.
    pub n: u64,
    /// Who asks.
    pub tenant: String,
    /// When.
    pub now_ms: u64,
    /// The idempotency key.
    pub key: Option<String>,
    /// What.
    pub call: Call,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It was done, and this is what it says.
    Done(Value),
    /// It is not, and never will be.
    Refused(String),
    /// It is not known, or not now: ask again.
    Later(String),
}

/// The answer to the call with this number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answered {
    /// The number.
    pub n: u64,
    /// What became of it.
    pub reply: Reply,
}
