//! Choosing an offer: what each challenge of a 402 would cost, which rule forbids it, and which one to pay first. It pays
//! nothing and holds nothing.

use std::sync::Arc;

use farthing_money::{Amount, MoneyError};
use farthing_protocol::flow::payer::Refusal;
use farthing_protocol::ports::{Declined, Payer, Quote};
use farthing_protocol::{Challenge, UnixMs};

use crate::Preference;
use crate::consent::HostQuestion;
use crate::driver::Core;
use crate::outgoing::Outgoing;
pub(crate) use crate::policy::Known;
use crate::policy::{Check, Source};
use crate::spend::Draw;

/// One challenge, judged.
pub(crate) struct Offer {
    pub(crate) challenge: Challenge,
    pub(crate) verdict: Verdict,
    /// Every rule that was looked at.
    pub(crate) checks: Vec<Check>,
}

/// What becomes of a challenge.
pub(crate) enum Verdict {
    /// No rail here pays it.
    Declined(Declined),
    /// A rule forbids it.
    Refused { quote: Quote, refusal: Refusal },
    /// It may be paid, if the counters still allow it.
    Payable(Payable),
}

/// A challenge that may be paid.
#[derive(Clone)]
pub(crate) struct Payable {
    pub(crate) payer: Arc<dyn Payer>,
    pub(crate) quote: Quote,
    pub(crate) draws: Vec<Draw>,
}

impl Offer {
    /// Why it is not paid, if it is not.
    fn refusal(&self) -> Option<Refusal> {
        match &self.verdict {
            Verdict::Declined(declined) => Some(Refusal { code: declined.code, why: declined.why.clone() }),
            Verdict::Refused { refusal, .. } => Some(refusal.clone()),
            Verdict::Payable(_) => None,
        }
    }
}

/// Judges every challenge, in the seller's order.
pub(crate) fn judge_all(
    core: &Core,
    request: &Outgoing,
    challenges: &[Challenge],
    known: Known,
) -> Vec<Offer> {
    let now = core.books.clock.now();
    let judged = |challenge: &Challenge| {
        let (verdict, checks) = judge(core, request, challenge, (now, known));
        Offer { challenge: challenge.clone(), verdict, checks }
    };
    challenges.iter().map(judged).collect()
}

fn judge(
    core: &Core,
    request: &Outgoing,
    challenge: &Challenge,
    (now, known): (UnixMs, Known),
) -> (Verdict, Vec<Check>) {
    let (payer, quote) = match quote(&core.payers, challenge) {
        Ok(found) => found,
        Err(declined) => return (Verdict::Declined(declined), Vec::new()),
    };
    let site = request.site();
    let mut examined = core.policy.examine(site, challenge.method.as_str(), &quote, known);
    // Told, and refused, in this order: host and transport, the challenge itself, whom and how, how much.
    let admissions = examined.checks.iter().take_while(|check| check.rule.starts_with("hosts.")).count();
    let about_challenge =
        core.policy.realm(site, &challenge.realm).into_iter().chain(admit(request, challenge, now));
    let about_challenge: Vec<Check> = about_challenge.chain([shares_fit(&quote)]).collect();
    examined.checks.splice(admissions..admissions, about_challenge);
    let checks = examined.checks.clone();
    let verdict = match examined.judgement() {
        Ok(draws) => Verdict::Payable(Payable { payer, quote, draws }),
        Err(refusal) => Verdict::Refused { quote, refusal },
    };
    (verdict, checks)
}

/// What a person would have to be asked before anything can be paid: nothing, where something can be without, or nothing could
/// be even with their consent.
pub(crate) fn question(
    core: &Core,
    request: &Outgoing,
    challenges: &[Challenge],
    offers: &[Offer],
) -> Option<HostQuestion> {
    let site = request.site();
    if offers.iter().any(|offer| matches!(offer.verdict, Verdict::Payable(_)))
        || !core.policy.asks_about(site)
    {
        return None;
    }
    let allowed = judge_all(core, request, challenges, Known::ByConsent);
    let best = ranked(&allowed, &core.preference).into_iter().next()?;
    let Verdict::Payable(Payable { quote, .. }) = &allowed[best].verdict else { return None };
    let refusal = core.policy.admit(site).err()?;
    Some(HostQuestion { host: site.authority(), origin: site.to_string(), quote: quote.clone(), refusal })
}

/// The first rail that quotes the challenge; else the word of the last one that was asked.
fn quote(payers: &[Arc<dyn Payer>], challenge: &Challenge) -> Result<(Arc<dyn Payer>, Quote), Declined> {
    let mut declined = Declined {
        code: "method_unsupported",
        why: format!("no wallet here pays with the method `{}`", challenge.method),
    };
    for payer in payers.iter().filter(|payer| *payer.method() == challenge.method) {
        match payer.quote(challenge) {
            Ok(quote) => return Ok((Arc::clone(payer), quote)),
            Err(why) => declined = why,
        }
    }
    Err(declined)
}

/// The rules of the protocol about the challenge itself, whatever it costs, in a fixed order.
fn admit(request: &Outgoing, challenge: &Challenge, now: UnixMs) -> [Check; 3] {
    // C10. A challenge without an end is the seller's risk: the rail bounds what it signs.
    let expiry = match challenge.expires_at() {
        Ok(Some(expires)) if expires <= now => refused(
            "expires",
            "challenge_expired",
            "the challenge has expired: ask the seller again, and check this machine's clock",
        ),
        Ok(_) => pass("expires", "the challenge has not expired"),
        Err(_) => {
            refused("expires", "challenge_bad_expires", "the challenge does not say readably when it expires")
        }
    };
    // C9: a challenge for another body would pay for another request.
    let digest = if challenge.digest.as_deref().is_some_and(|digest| !request.digest_is(digest)) {
        refused(
            "digest",
            "digest_mismatch",
            "the challenge is for another request body than the one that was sent",
        )
    } else {
        pass("digest", "the challenge is for this request")
    };
    let name = challenge.header.name();
    let header = if request.occupies(challenge.header) {
        refused(
            "header",
            "credential_header_in_use",
            &format!(
                "the seller wants the payment in the {name} header, and the request has that header, or a payment of its own, \
                 already: leave it out, or ask the seller to take payments in Payment-Authorization"
            ),
        )
    } else {
        pass("header", &format!("the {name} header is free for the payment"))
    };
    [expiry, digest, header]
}

/// TC10: shares are less than the whole.
fn shares_fit(quote: &Quote) -> Check {
    let total = Amount::sum(quote.shares.iter().map(|share| share.amount));
    if quote.shares.is_empty() || total.is_ok_and(|total| total < quote.money.amount()) {
        pass("shares", "its shares are less than the whole payment")
    } else {
        refused(
            "shares",
            "shares_exceed_amount",
            "the offer's shares are as much as the whole payment or more",
        )
    }
}

fn pass(rule: &str, why: &str) -> Check {
    Check::passed(rule, &Source::Protocol, why.to_owned())
}

fn refused(rule: &str, code: &'static str, why: &str) -> Check {
    Check::refused(rule, &Source::Protocol, Refusal { code, why: why.to_owned() })
}

/// The payable offers, best first: preferred ones, then the seller's order, the cheaper of two in one asset.
pub(crate) fn ranked(offers: &[Offer], preference: &Preference) -> Vec<usize> {
    let mut ranked: Vec<(usize, &Quote)> = offers
        .iter()
        .enumerate()
        .filter_map(|(index, offer)| match &offer.verdict {
            Verdict::Payable(payable) => Some((index, &payable.quote)),
            _ => None,
        })
        .collect();
    ranked.sort_by_key(|(index, quote)| !prefers(preference, &offers[*index].challenge, quote));
    // The first offer decides the asset; one that asks for less of the same takes its place.
    if let Some((index, first)) = ranked.first().copied() {
        let preferred = prefers(preference, &offers[index].challenge, first);
        let cheaper = |quote: &Quote| -> Result<bool, MoneyError> {
            Ok(quote.money.checked_cmp(&first.money)?.is_lt())
        };
        let best = ranked
            .iter()
            .enumerate()
            .filter(|(_, (index, quote))| {
                prefers(preference, &offers[*index].challenge, quote) == preferred
                    && cheaper(quote).unwrap_or(false)
            })
            .min_by_key(|(_, (_, quote))| quote.money.amount());
        if let Some((at, _)) = best {
            let cheapest = ranked.remove(at);
            ranked.insert(0, cheapest);
        }
    }
    ranked.into_iter().map(|(index, _)| index).collect()
}

fn prefers(preference: &Preference, challenge: &Challenge, quote: &Quote) -> bool {
    preference.method.as_deref().is_none_or(|method| method == challenge.method.as_str())
        && preference.network.as_deref().is_none_or(|network| network == quote.network)
}

/// Why none of the offers is paid. `limits` are offers that only the counters forbade.
pub(crate) fn refuse_all(offers: &[Offer], limits: Vec<Refusal>) -> Refusal {
    let mut refusals = limits;
    // A rule of ours tells more than a method that we do not know.
    let (ours, theirs): (Vec<&Offer>, Vec<&Offer>) =
        offers.iter().partition(|offer| matches!(offer.verdict, Verdict::Refused { .. }));
    refusals.extend(ours.into_iter().chain(theirs).filter_map(Offer::refusal));
    refusals.dedup();
    let code = refusals.first().map_or("no_offer", |first| first.code);
    let why = match refusals.as_slice() {
        [] => "the seller offers nothing that can be paid".to_owned(),
        [only] => only.why.clone(),
        several => {
            let reasons: Vec<&str> = several.iter().map(|refusal| refusal.why.as_str()).collect();
            format!("none of the {} offers can be paid: {}", offers.len(), reasons.join("; "))
        }
    };
    Refusal { code, why }
}
