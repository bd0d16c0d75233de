//! Asking for a payment at once, by what a head says: for a server that has read no more of a request.

use farthing_protocol::ports::StoreEpoch;
use http::{HeaderMap, Method};

use crate::answer::{Answer, Offered};
use crate::credential::Found;
use crate::gate::{Gate, Reason};
use crate::observe::{Ending, enter, request_span};
use crate::proxy::ClientAddr;
use crate::route::{BindBody, Match, resolve};

/// A GET that says nothing of payments.
pub(crate) struct Unpaid<'a> {
    /// The path, without a query.
    pub(crate) path: &'a str,
    /// Of its headers, those that traces and limits are about: `traceparent`, `forwarded` and `x-forwarded-for`.
    pub(crate) headers: HeaderMap,
    /// Who sent it.
    pub(crate) client: ClientAddr,
}

impl Gate {
    /// What such a request is answered when it asks for what has a price, and nothing has to be waited for: what
    /// [`crate::GateService`] would answer, and the observer is told the same. None, and nothing told, otherwise.
    pub(crate) fn ask_at_once(&self, request: &Unpaid<'_>) -> Option<Result<Offered, Box<Answer>>> {
        let (index, epoch) = self.asked_for(request.path)?;
        let span = request_span(&Method::GET, &request.headers);
        let entered = enter(&span);
        let mut ending = Ending::begin(self, &Method::GET, span.clone());
        let told = ending.told();
        told.route = Some(index);
        let answer = match self.limited(&Found::None, (Some(request.client), &request.headers), told) {
            Some(limited) => Err(Box::new(limited)),
            None => self.offered(index, &Reason::Unpaid, (None, None), epoch, told),
        };
        ending.answered(answer.as_ref().map_or_else(|answer| answer.status().as_u16(), |_| 402), None);
        drop(entered);
        Some(answer)
    }

    /// The priced route at this path, and the store's epoch, where a payment can be asked for by them alone.
    fn asked_for(&self, path: &str) -> Option<(usize, StoreEpoch)> {
        let (path, Match::Route(index)) = resolve(&self.inner().table, &Method::GET, path).ok()? else {
            return None;
        };
        let priced = self.inner().routes[index].priced.as_ref()?;
        let at_once = path.rewritten().is_none() && matches!(priced.bind_body, BindBody::No);
        at_once.then(|| self.inner().known_epoch())?.map(|epoch| (index, epoch))
    }
}
