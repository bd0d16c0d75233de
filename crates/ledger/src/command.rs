//! [`Command`]: everything that can be asked of a ledger, and [`Outcome`]: what it answers. Nothing here decides.

use crate::{
    AccountId, AssetId, NewAccount, NewAsset, NewHold, PostHold, Rejection, Transfer, TransferId, VoidHold,
};

/// One thing asked of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Give an asset a number.
    DefineAsset(NewAsset),
    /// Open an account.
    OpenAccount(NewAccount),
    /// Let an account take part in no new transfer, for good.
    CloseAccount(AccountId),
    /// Move money at once.
    Transfer(Transfer),
    /// Set money aside.
    Hold(NewHold),
    /// Move what was set aside, or a part of it.
    Post(PostHold),
    /// Give back what was set aside.
    Void(VoidHold),
    /// Give back what was set aside for too long.
    Expire(TransferId),
}

/// Whether a step shares its fate with the one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// It stands alone, or ends its group.
    End,
    /// It and the next succeed or fail together.
    WithNext,
}

/// A command and its place in a batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// What is asked.
    pub command: Command,
    /// Whether the next step shares its fate.
    pub link: Link,
}

impl Step {
    /// A command that stands alone.
    #[must_use]
    pub const fn single(command: Command) -> Self {
        Self { command, link: Link::End }
    }

    /// Commands that succeed or fail together.
    #[must_use]
    pub fn group(commands: impl IntoIterator<Item = Command>) -> Vec<Self> {
        let mut steps: Vec<Self> =
            commands.into_iter().map(|command| Self { command, link: Link::WithNext }).collect();
        if let Some(last) = steps.last_mut() {
            last.link = Link::End;
        }
        steps
    }
}

impl From<Command> for Step {
    fn from(command: Command) -> Self {
        Self::single(command)
    }
}

/// What became of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is in the journal now.
    Applied,
    /// It was in the journal already, with exactly this content: nothing changed.
    Exists,
    /// A rule forbids it: nothing changed.
    Rejected(Rejection),
}

impl Outcome {
    /// The stable code: `applied`, `exists`, or the rejection's.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Exists => "exists",
            Self::Rejected(rejection) => rejection.code(),
        }
    }
}

/// What an engine must have been given before it may decide some steps. For stores that do not keep everything at hand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadSet {
    /// Transfers, holds, posts and voids, whose accounts must be given too when they are holds.
    pub transfers: Vec<TransferId>,
    /// Accounts.
    pub accounts: Vec<AccountId>,
    /// Assets.
    pub assets: Vec<AssetId>,
}

impl ReadSet {
    /// What `steps` name, sorted and without repetition: rows locked in this order never wait in a circle.
    #[must_use]
    pub fn of(steps: &[Step]) -> Self {
        let mut set = Self::default();
        for step in steps {
            set.add(&step.command);
        }
        set.transfers.sort_unstable();
        set.transfers.dedup();
        set.accounts.sort_unstable();
        set.accounts.dedup();
        set.assets.sort_unstable();
        set.assets.dedup();
        set
    }

    fn add(&mut self, command: &Command) {
        match command {
            Command::DefineAsset(new) => self.assets.push(new.id),
            Command::OpenAccount(new) => {
                self.accounts.push(new.id);
                self.assets.push(new.asset);
            }
            Command::CloseAccount(id) => self.accounts.push(*id),
            Command::Transfer(transfer) | Command::Hold(NewHold { transfer, .. }) => {
                self.transfers.push(transfer.id);
                self.accounts.extend([transfer.debit, transfer.credit]);
            }
            Command::Post(post) => self.transfers.extend([post.id, post.hold]),
            Command::Void(void) => self.transfers.extend([void.id, void.hold]),
            Command::Expire(hold) => self.transfers.push(*hold),
        }
    }
}
