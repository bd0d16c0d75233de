//! [`Preview`]: what a call would cost, without paying for it.

use std::sync::Arc;

use farthing_money::Amount;
use farthing_protocol::Challenge;
use farthing_protocol::flow::payer::Refusal;
use farthing_protocol::ports::{Declined, Quote};
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Request, Response};
use url::Url;

use crate::consent::HostQuestion;
use crate::driver::{self, Core, Exchange};
use crate::offer::{self, Known, Verdict};
use crate::outgoing::Outgoing;
use crate::policy::Check;
use crate::spend::{Draw, Spent, Window};
use crate::{AgentError, PaymentId, SpendError, again};

/// What a seller asks for, and what would be done about it.
#[derive(Debug)]
pub struct Preview {
    /// Where the request went, after redirects that were followed.
    pub url: Url,
    /// The status of the answer.
    pub status: u16,
    /// Every offer of a 402, in the seller's order.
    pub offers: Vec<OfferPreview>,
    /// Which of them would be paid.
    pub chosen: Option<usize>,
    /// Why none would be paid, when there are offers and none would.
    pub refusal: Option<Refusal>,
    /// Why a challenge could not be read, when one could not.
    pub unreadable: Option<String>,
    /// What a person would be asked first, where there is somebody to ask.
    pub question: Option<HostQuestion>,
    /// An earlier payment for this same request that is still open: the call would present it, and pay nothing, unless its
    /// money can no longer move.
    pub earlier: Option<PaymentId>,
    /// The answer itself: when nothing is asked for, the request was served.
    pub response: Response,
}

/// One offer, judged.
#[derive(Debug, Clone)]
pub struct OfferPreview {
    /// The challenge.
    pub challenge: Challenge,
    /// What it would cost and to whom it would go, or why no rail here pays it.
    pub quote: Result<Quote, Declined>,
    /// What the policy and the rules of the protocol say to it.
    pub verdict: Result<(), Refusal>,
    /// Every rule that was looked at, in order.
    pub checks: Vec<Check>,
    /// What is left of every limit that the payment counts against.
    pub budgets: Vec<BudgetPreview>,
}

/// A limit that a payment would count against.
#[derive(Debug, Clone)]
pub struct BudgetPreview {
    /// The counter in the spend book.
    pub counter: String,
    /// How long a payment counts.
    pub window: Window,
    /// The limit and where it stands, for people.
    pub rule: String,
    /// The limit, in units of 10^-18 whole units.
    pub limit: Amount,
    /// What is spent and held of it, before the payment.
    pub spent: Spent,
    /// What is left of it, before the payment.
    pub left: Amount,
    /// What the payment would take.
    pub units: Amount,
}

pub(crate) async fn preview<E: Exchange>(
    core: &Arc<Core>,
    exchange: &mut E,
    request: Request,
) -> Result<Preview, AgentError> {
    let mut request = Outgoing::new(request)?;
    let response = driver::probe(core, exchange, &mut request)
        .await
        .map_err(|error| AgentError::Network { why: error.why })?;
    let mut preview = Preview {
        url: request.url().clone(),
        status: response.status().as_u16(),
        offers: Vec::new(),
        chosen: None,
        refusal: None,
        unreadable: None,
        question: None,
        earlier: None,
        response,
    };
    if preview.status != 402 {
        return Ok(preview);
    }
    let headers = preview.response.headers();
    let parsed = Challenge::parse_all(headers.get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes));
    preview.unreadable = parsed.iter().find_map(|result| result.as_ref().err().map(ToString::to_string));
    let challenges: Vec<Challenge> = parsed.into_iter().flatten().collect();
    if challenges.is_empty() {
        return Ok(preview);
    }
    let offers = offer::judge_all(core, &request, &challenges, Known::ByPolicy);
    preview.question = offer::question(core, &request, &challenges, &offers);
    preview.earlier = earlier(core, &request)?;
    let ranked = offer::ranked(&offers, &core.preference);
    preview.offers = show(core, &offers)?;
    preview.chosen = ranked.into_iter().find(|index| preview.offers[*index].verdict.is_ok());
    if preview.chosen.is_none() {
        let over = |(offer, shown): (&offer::Offer, &OfferPreview)| match &offer.verdict {
            Verdict::Payable(_) => shown.verdict.clone().err(),
            _ => None,
        };
        let limits = offers.iter().zip(&preview.offers).filter_map(over).collect();
        preview.refusal = Some(offer::refuse_all(&offers, limits));
    }
    Ok(preview)
}

fn earlier(core: &Core, request: &Outgoing) -> Result<Option<PaymentId>, AgentError> {
    let open =
        core.books.journal.open().map_err(|error| AgentError::Unrecorded { why: error.to_string() })?;
    Ok(open.into_iter().find(|record| again::is_for(record, request)).map(|record| record.id))
}

fn show(core: &Core, offers: &[offer::Offer]) -> Result<Vec<OfferPreview>, AgentError> {
    offers
        .iter()
        .map(|offer| {
            let (quote, verdict, budgets) = match &offer.verdict {
                Verdict::Declined(declined) => {
                    let refusal = Refusal { code: declined.code, why: declined.why.clone() };
                    (Err(declined.clone()), Err(refusal), Vec::new())
                }
                Verdict::Refused { quote, refusal } => (Ok(quote.clone()), Err(refusal.clone()), Vec::new()),
                Verdict::Payable(payable) => {
                    let verdict = match core.books.spend.check(&payable.draws, core.books.clock.now()) {
                        Ok(()) => Ok(()),
                        Err(error @ SpendError::OverLimit { .. }) => {
                            Err(Refusal { code: error.code(), why: error.to_string() })
                        }
                        Err(error) => return Err(AgentError::Unrecorded { why: error.to_string() }),
                    };
                    (Ok(payable.quote.clone()), verdict, budgets(core, &payable.draws)?)
                }
            };
            let (challenge, checks) = (offer.challenge.clone(), offer.checks.clone());
            Ok(OfferPreview { challenge, quote, verdict, checks, budgets })
        })
        .collect()
}

fn budgets(core: &Core, draws: &[Draw]) -> Result<Vec<BudgetPreview>, AgentError> {
    let now = core.books.clock.now();
    let budget = |draw: &Draw| {
        let spent = core.books.spend.spent(&draw.counter, now);
        let spent = spent.map_err(|error| AgentError::Unrecorded { why: error.to_string() })?;
        Ok(BudgetPreview {
            counter: draw.counter.clone(),
            window: draw.window,
            rule: draw.rule.clone(),
            limit: draw.limit,
            spent,
            left: draw.limit.checked_sub(spent.used()).unwrap_or(Amount::ZERO),
            units: draw.units,
        })
    };
    draws.iter().map(budget).collect()
}
