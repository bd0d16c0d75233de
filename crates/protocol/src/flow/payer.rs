//! The buyer's flow: from an answer to a payment to the paid answer, paying at most once.
//!
//! One flow is one logical request. It pays once or never: after a credential exists, every further attempt sends that same
//! credential, and when the seller will not take it the flow ends with what is known. It is not a policy: whether to pay
//! is the driver's answer to [`Action::Choose`].

use std::fmt;

use crate::ports::{PayError, Quote};
use crate::{Challenge, CredentialHeader, FormatError, PaymentProof, Receipt};

/// What the driver is to do next.
#[derive(Debug)]
pub enum Action {
    /// Send the request, with this credential when there is one, and hand the answer back as [`Event::Answered`] or
    /// [`Event::Unsent`]. Never follow a redirect with a credential.
    Send {
        /// Header name and value; the value is secret.
        credential: Option<(CredentialHeader, CredentialValue)>,
        /// Wait this long first, in milliseconds.
        after_ms: u64,
    },
    /// Pick an offer to pay, or none; answer with [`Event::Chosen`].
    Choose(Vec<Challenge>),
    /// Pay this challenge; answer with [`Event::Paid`].
    Pay(Box<Challenge>),
    /// Hand the last answer to the caller: done.
    Finish(Finish),
    /// Give up.
    Fail(Box<FlowError>),
}

/// A credential's header value. It authorises money, so `Debug` does not show it (C19).
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialValue(String);

impl CredentialValue {
    /// A header value that was made and kept before, for [`Event::Kept`].
    #[must_use]
    pub const fn kept(value: String) -> Self {
        Self(value)
    }

    /// The header value, to be sent and not to be kept.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CredentialValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialValue({} bytes)", self.0.len())
    }
}

/// How a flow ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// The answer was not a 402, or not one with Payment challenges: nothing was paid.
    Unpaid,
    /// Paid and served.
    Paid(Box<PaidCall>),
}

/// A paid call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidCall {
    /// The challenge's id.
    pub challenge_id: String,
    /// What was agreed to.
    pub quote: Quote,
    /// The seller's receipt, when it sent one that reads well.
    pub receipt: Option<Receipt>,
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// An answer arrived.
    Answered(Answer<'a>),
    /// No answer arrived: connection, time-out.
    Unsent {
        /// What went wrong, for people.
        why: String,
    },
    /// The offer to pay and what it costs, or why none.
    Chosen(Box<Result<(Challenge, Quote), Refusal>>),
    /// Instead of a choice: the same request was paid before and its outcome is open, so that payment's credential is presented
    /// again. Nothing is paid.
    Kept(Box<Kept>),
    /// The rail's answer.
    Paid(Result<PaymentProof, PayError>),
}

/// A payment of an earlier flow, which proves itself with a credential that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The header that the credential travels in.
    pub header: CredentialHeader,
    /// Its value.
    pub value: CredentialValue,
    /// The challenge's id.
    pub challenge_id: String,
    /// What was agreed to.
    pub quote: Quote,
}

/// The parts of an HTTP answer that matter here.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// Every `WWW-Authenticate` value.
    pub www_authenticate: &'a [&'a [u8]],
    /// The `Payment-Receipt` value.
    pub receipt: Option<&'a str>,
    /// The `Retry-After` value, in seconds.
    pub retry_after_s: Option<u32>,
    /// The body's problem, where it is one: its type's last segment, and its detail.
    pub problem: Option<(&'a str, &'a str)>,
}

/// Why no offer is to be paid: the policy's or the wallet's word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// The stable code.
    pub code: &'static str,
    /// Why, for people: what was asked, and what would allow it.
    pub why: String,
}

/// Why a flow gave up. Says whether money may have moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The request was not answered, and nothing was paid.
    #[error("{why}")]
    Transport {
        /// What went wrong.
        why: String,
    },
    /// No offer may be paid. Nothing was paid.
    #[error(transparent)]
    Refused(Refusal),
    /// A 402 whose challenges cannot be read. Nothing was paid.
    #[error("the seller asks for a payment in a form that cannot be read: {why}")]
    Unreadable {
        /// What is wrong with them.
        why: String,
    },
    /// The payment was not made.
    #[error(transparent)]
    NotPaid(PayError),
    /// The credential was made and the seller did not serve the call.
    #[error("the seller did not take the payment ({status}): {why}")]
    NotServed {
        /// The last status.
        status: u16,
        /// The seller's words, or ours.
        why: String,
        /// The challenge's id.
        challenge_id: String,
        /// What was agreed to; it may have been taken.
        quote: Box<Quote>,
    },
    /// The credential was sent and no answer arrived: it may have been taken.
    #[error("the payment was sent and the answer did not arrive: {why}")]
    AnswerLost {
        /// What went wrong.
        why: String,
        /// The challenge's id.
        challenge_id: String,
        /// What was agreed to; it may have been taken.
        quote: Box<Quote>,
    },
    /// The payment was made and its credential cannot be written.
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl FlowError {
    /// The stable code of the failure, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Transport { .. } => "transport_failed",
            Self::Refused(refusal) => refusal.code,
            Self::Unreadable { .. } => "unreadable_challenge",
            Self::NotPaid(error) => error.code(),
            Self::NotServed { .. } => "payment_not_accepted",
            Self::AnswerLost { .. } => "answer_lost",
            Self::Format(error) => error.code(),
        }
    }

    /// Whether money may have moved although the flow failed.
    #[must_use]
    pub const fn may_have_paid(&self) -> bool {
        matches!(
            self,
            Self::NotServed { .. }
                | Self::AnswerLost { .. }
                | Self::NotPaid(PayError::Unknown { .. })
                | Self::Format(_)
        )
    }
}

/// Whether the request may be carried out twice without harm (RFC 9110, section 9.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// GET, HEAD, OPTIONS, PUT, DELETE, or a request with an `Idempotency-Key` of the caller's.
    Harmless,
    /// A request that the client gave an `Idempotency-Key` of its own accord: sent again when no answer came, because a
    /// credential is good for one delivery and the key for the same answer; not when the call was carried out and failed,
    /// because not every seller heeds the key.
    WhenLost,
    /// Anything else: sent again only where the seller says that it has not been served.
    Harmful,
}

/// The buyer's flow for one logical request.
#[derive(Debug)]
pub struct PayerFlow {
    state: State,
    repeat: Repeat,
    /// Sendings of any kind.
    resends_left: u8,
    /// Sendings after a lost answer, or one that says that the call failed.
    repeats_left: u8,
    wait_left_ms: u64,
    /// The wait that is next where the seller names none.
    pause_ms: u64,
}

#[derive(Debug)]
enum State {
    Ready,
    Probing,
    Choosing,
    Paying { challenge: Box<Challenge>, quote: Box<Quote> },
    Sent(Sent),
    Done,
}

#[derive(Debug, Clone)]
struct Sent {
    header: CredentialHeader,
    value: CredentialValue,
    challenge_id: String,
    quote: Box<Quote>,
}

impl PayerFlow {
    /// How often a credential is sent again at most, whatever the answers are.
    pub const RESENDS: u8 = 16;
    /// How often it is sent again after answers that were lost, or say that the call failed.
    pub const REPEATS: u8 = 4;
    /// How long all waits before sending again may take together, in milliseconds, unless
    /// [`with_max_wait_ms`](Self::with_max_wait_ms) says otherwise.
    pub const MAX_WAIT_MS: u64 = 60_000;
    /// The longest pause where the seller names none, in milliseconds.
    const LONGEST_PAUSE_MS: u64 = 8_000;

    /// A flow at its start.
    #[must_use]
    pub const fn new(repeat: Repeat) -> Self {
        Self {
            state: State::Ready,
            repeat,
            resends_left: Self::RESENDS,
            repeats_left: Self::REPEATS,
            wait_left_ms: Self::MAX_WAIT_MS,
            pause_ms: 1_000,
        }
    }

    /// Bounds how long all waits before sending again may take together. A seller that asks for more is not waited for.
    #[must_use]
    pub const fn with_max_wait_ms(mut self, max_wait_ms: u64) -> Self {
        self.wait_left_ms = max_wait_ms;
        self
    }

    /// The first action: the request without a credential.
    pub fn start(&mut self) -> Action {
        if !matches!(self.state, State::Ready) {
            return out_of_step(std::mem::replace(&mut self.state, State::Done));
        }
        self.state = State::Probing;
        Action::Send { credential: None, after_ms: 0 }
    }

    /// What to do after `event`.
    pub fn handle(&mut self, event: Event<'_>) -> Action {
        match (std::mem::replace(&mut self.state, State::Done), event) {
            (State::Probing, Event::Answered(answer)) => self.after_probe(answer),
            (State::Probing, Event::Unsent { why }) => fail(FlowError::Transport { why }),
            (State::Choosing, Event::Chosen(chosen)) => self.after_choice(*chosen),
            (State::Choosing, Event::Kept(kept)) => {
                let Kept { header, value, challenge_id, quote } = *kept;
                self.send(Sent { header, value, challenge_id, quote: Box::new(quote) }, 0)
            }
            (State::Paying { challenge, quote }, Event::Paid(result)) => {
                self.after_pay(&challenge, quote, result)
            }
            (State::Sent(sent), Event::Answered(answer)) => self.after_answer(sent, answer),
            (State::Sent(sent), Event::Unsent { why }) => self.after_loss(sent, why),
            (state, _) => out_of_step(state),
        }
    }

    fn after_probe(&mut self, answer: Answer<'_>) -> Action {
        if answer.status != 402 {
            return Action::Finish(Finish::Unpaid);
        }
        let parsed = Challenge::parse_all(answer.www_authenticate.iter().copied());
        let why = parsed.iter().find_map(|result| result.as_ref().err().map(ToString::to_string));
        let challenges: Vec<Challenge> = parsed.into_iter().flatten().collect();
        match (challenges.is_empty(), why) {
            (true, Some(why)) => fail(FlowError::Unreadable { why }),
            // A 402 of another scheme is the caller's business.
            (true, None) => Action::Finish(Finish::Unpaid),
            (false, _) => {
                self.state = State::Choosing;
                Action::Choose(challenges)
            }
        }
    }

    fn after_choice(&mut self, chosen: Result<(Challenge, Quote), Refusal>) -> Action {
        match chosen {
            Ok((challenge, quote)) => {
                let challenge = Box::new(challenge);
                self.state = State::Paying { challenge: challenge.clone(), quote: Box::new(quote) };
                Action::Pay(challenge)
            }
            Err(refusal) => fail(FlowError::Refused(refusal)),
        }
    }

    fn after_pay(
        &mut self,
        challenge: &Challenge,
        quote: Box<Quote>,
        result: Result<PaymentProof, PayError>,
    ) -> Action {
        let value = match result {
            Ok(proof) => match challenge.answer(&proof) {
                Ok(value) => CredentialValue(value),
                Err(error) => return fail(FlowError::Format(error)),
            },
            Err(error) => return fail(FlowError::NotPaid(error)),
        };
        let sent = Sent { header: challenge.header, value, challenge_id: challenge.id.clone(), quote };
        self.send(sent, 0)
    }

    fn send(&mut self, sent: Sent, after_ms: u64) -> Action {
        let credential = Some((sent.header, sent.value.clone()));
        self.state = State::Sent(sent);
        Action::Send { credential, after_ms }
    }

    fn after_answer(&mut self, sent: Sent, answer: Answer<'_>) -> Action {
        let mut impatience = None;
        if self.sends_again_after(answer.status) {
            let wait_ms =
                answer.retry_after_s.map_or(self.pause_ms, |asked| u64::from(asked).saturating_mul(1000));
            // Settling, being served, or a service of the seller's is down: the same credential may be sent again.
            if wait_ms <= self.wait_left_ms {
                return self.send_after(sent, wait_ms);
            }
            impatience = Some(wait_ms);
        }
        match answer.status {
            // 402 again, or 403: the seller does not take it. A second payment is never made (DESIGN section 3).
            402 | 403 | 409 | 503 => {
                let words = answer.problem.map_or("no reason given", |(_, detail)| detail);
                let why = match impatience {
                    None => words.to_owned(),
                    Some(wait_ms) => format!(
                        "{}; the next try is in {} s, and no more than {} s of waiting are left",
                        words.trim_end_matches(['.', ' ']),
                        wait_ms / 1000,
                        self.wait_left_ms / 1000
                    ),
                };
                fail(FlowError::NotServed {
                    status: answer.status,
                    why,
                    challenge_id: sent.challenge_id,
                    quote: sent.quote,
                })
            }
            _ => Action::Finish(Finish::Paid(Box::new(PaidCall {
                challenge_id: sent.challenge_id,
                quote: *sent.quote,
                receipt: answer.receipt.and_then(|value| Receipt::parse(value).ok()),
            }))),
        }
    }

    fn send_after(&mut self, sent: Sent, wait_ms: u64) -> Action {
        self.resends_left -= 1;
        self.wait_left_ms -= wait_ms;
        self.pause_ms = (self.pause_ms * 2).min(Self::LONGEST_PAUSE_MS);
        self.send(sent, wait_ms)
    }

    /// A failed upstream leaves a credit at a good seller, so that the same credential is served without paying again.
    const fn sends_again_after(&mut self, status: u16) -> bool {
        if self.resends_left == 0 {
            return false;
        }
        match (status, self.repeat) {
            (409 | 429 | 503, _) => true,
            (500 | 502 | 504, Repeat::Harmless) if self.repeats_left > 0 => {
                self.repeats_left -= 1;
                true
            }
            _ => false,
        }
    }

    fn after_loss(&mut self, sent: Sent, why: String) -> Action {
        const PAUSE_MS: u64 = 500;
        // Nobody has said that the call was not carried out: only a harmless one is sent again.
        let over = self.resends_left == 0 || self.repeats_left == 0 || self.wait_left_ms < PAUSE_MS;
        if over || self.repeat == Repeat::Harmful {
            return fail(FlowError::AnswerLost { why, challenge_id: sent.challenge_id, quote: sent.quote });
        }
        self.repeats_left -= 1;
        self.send_after(sent, PAUSE_MS)
    }
}

/// A driver that answers another question than was asked has lost its place. What may have been paid is still told.
fn out_of_step(state: State) -> Action {
    let why = "the payment flow was driven out of step".to_owned();
    fail(match state {
        State::Sent(sent) => {
            FlowError::AnswerLost { why, challenge_id: sent.challenge_id, quote: sent.quote }
        }
        State::Paying { challenge, .. } => {
            FlowError::NotPaid(PayError::Unknown { reference: challenge.id, why })
        }
        State::Ready | State::Probing | State::Choosing | State::Done => FlowError::Transport { why },
    })
}

fn fail(error: FlowError) -> Action {
    Action::Fail(Box::new(error))
}

#[cfg(test)]
mod tests;
