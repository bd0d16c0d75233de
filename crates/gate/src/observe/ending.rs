//! [`Ending`]: what is known of a request while it is served, told to the observer when it ends.

use std::time::Duration;

use http::{Method, Response};
use tokio::time::Instant;
use tracing::Span;

use super::{GateEvent, Lasting, Observer, Present, RequestEnd, UpstreamAnswer, enter};
use crate::answer::AnswerCode;
use crate::delivery::PaidBy;
use crate::gate::Gate;

/// What deciding about a request tells of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// The route that matched.
    pub(crate) route: Option<usize>,
    /// The code of the gate's own answer.
    pub(crate) code: Option<&'static str>,
}

/// A request that is being served. It ends when this is dropped.
pub(crate) struct Ending {
    gate: Gate,
    method: Method,
    begun: Instant,
    span: Span,
    told: Told,
    status: u16,
    upstream: Option<Duration>,
    paid_by: Option<PaidBy>,
    _present: Present,
}

impl Ending {
    pub(crate) fn begin(gate: &Gate, method: &Method, span: Span) -> Self {
        Self {
            gate: gate.clone(),
            method: method.clone(),
            begun: Instant::now(),
            span,
            told: Told::default(),
            // What a log calls a request whose client left before there was an answer.
            status: 499,
            upstream: None,
            paid_by: None,
            _present: Present::begin(&gate.inner().observer, Lasting::Request),
        }
    }

    pub(crate) const fn told(&mut self) -> &mut Told {
        &mut self.told
    }

    /// The name of the route that matched.
    pub(crate) fn route(&self) -> Option<&str> {
        self.told.route.map(|index| &*self.gate.inner().routes[index].name)
    }

    pub(crate) fn paid(&mut self, by: Option<&PaidBy>) {
        self.paid_by = by.cloned();
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.gate.inner().observer
    }

    /// The service answered, or failed to.
    pub(crate) fn upstream<B, E>(&mut self, answered: &Result<Response<B>, E>, head: Duration, span: &Span) {
        let answer = match answered {
            Ok(response) => match response.extensions().get::<AnswerCode>() {
                Some(AnswerCode(code)) => UpstreamAnswer::Failed { code },
                None => UpstreamAnswer::Status(response.status().as_u16()),
            },
            Err(_) => UpstreamAnswer::Failed { code: "service_failed" },
        };
        match answer {
            UpstreamAnswer::Status(status) => drop(span.record("status", status)),
            UpstreamAnswer::Failed { code } => drop(span.record("code", code)),
        }
        self.upstream = Some(head);
        let (status, code) = match (answered, answer) {
            (Ok(response), UpstreamAnswer::Failed { code }) => (response.status().as_u16(), Some(code)),
            (Ok(response), UpstreamAnswer::Status(_)) => (response.status().as_u16(), None),
            // What the server around us makes of an error is not known here.
            (Err(_), _) => (500, Some("service_failed")),
        };
        self.answered(status, code);
        self.observer().observe(GateEvent::Upstream { route: self.route(), answer, head });
    }

    /// There is an answer, and this is its code where it is one of ours.
    pub(crate) fn answered(&mut self, status: u16, code: Option<&'static str>) {
        self.status = status;
        self.told.code = code.or(self.told.code);
    }

    /// The answer's body ended in an error.
    pub(crate) const fn broke(&mut self) {
        self.told.code = Some("body_broke");
    }
}

/// A request was refused before a gate looked at it.
pub(crate) fn turned_away<B>(gate: &Gate, method: &Method, answer: &Response<B>) {
    let code = answer.extensions().get::<AnswerCode>().map(|AnswerCode(code)| *code);
    if let Some(code) = code {
        gate.inner().observer.observe(GateEvent::Refused { route: None, code });
    }
    Ending::begin(gate, method, Span::none()).answered(answer.status().as_u16(), code);
}

impl Drop for Ending {
    fn drop(&mut self) {
        let route = self.route();
        // Spans are for traces, and mostly there are none: even a disabled one takes its time to say so.
        if !self.span.is_disabled() {
            self.span.record("route", route.unwrap_or_default());
            self.span.record("status", self.status);
            self.span.record("code", self.told.code.unwrap_or_default());
        }
        let by = self.paid_by.as_ref();
        let end = RequestEnd {
            method: &self.method,
            route,
            status: self.status,
            code: self.told.code,
            took: self.begun.elapsed(),
            upstream: self.upstream,
            paid: by.and_then(|by| by.amount.as_ref()),
            reference: by.and_then(|by| by.reference.as_deref()),
            payer: by.and_then(|by| by.payer.as_deref()),
        };
        let _entered = enter(&self.span);
        self.gate.inner().observer.observe(GateEvent::Ended(&end));
    }
}
