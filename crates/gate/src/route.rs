//! Routes: which requests are free, which are priced, and what they cost. The most specific path pattern decides, and only
//! then the method: a request never falls through to a wider pattern because its method is another.
//!
//! It knows no HTTP but paths and methods. An upstream that takes its method from the query or from a form's field
//! (`_method=DELETE`) tells apart what this cannot: with such an upstream, price every method of a path alike.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use farthing_protocol::flow::gate::SettleOrder;
use farthing_protocol::ports::{Amends, Price, Verifier};
use http::Method;

use crate::path::{NormalPath, PathError, fold};

mod pattern;

use pattern::Segment;
pub use pattern::{Pattern, PatternError};

/// One way to pay for a route.
#[derive(Clone)]
pub struct RouteOffer {
    /// The rail that makes, verifies and settles it.
    pub verifier: Arc<dyn Verifier>,
    /// What it costs.
    pub price: Price,
}

impl fmt::Debug for RouteOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteOffer").field("rail", &self.verifier.rail()).field("price", &self.price).finish()
    }
}

/// Whether a challenge is bound to the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BindBody {
    /// The payment is for any body.
    #[default]
    No,
    /// The challenge carries the body's digest, and only that body is served (C9). Bodies are read before they are priced.
    Yes,
}

/// What a route asks for.
#[derive(Debug, Clone)]
pub enum Access {
    /// Nothing.
    Free,
    /// One of these payments.
    Priced {
        /// Every way to pay, best first. Not empty.
        offers: Vec<RouteOffer>,
        /// Whether the payment is bound to the body.
        bind_body: BindBody,
        /// What is promised about a paid call.
        service: ServiceTerms,
    },
}

/// What a route promises about a paid call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceTerms {
    /// Whether a payment is settled before the service is called, or after it has answered.
    pub settle: SettleOrder,
    /// What the payer of a settled call gets that the service failed. [`Amends::Refund`] needs a
    /// [`Refunder`](farthing_protocol::ports::Refunder) for every rail of the route.
    pub on_failure: Amends,
}

impl Default for ServiceTerms {
    fn default() -> Self {
        Self { settle: SettleOrder::Before, on_failure: Amends::Credit }
    }
}

/// Requests with these methods and this path, and what they cost.
#[derive(Debug, Clone)]
pub struct Route {
    /// The path pattern, such as `/v1/files/{id}` or `/static/{*rest}`.
    pub path: String,
    /// The methods; empty for every method. `HEAD` goes with `GET` and is not listed.
    pub methods: Vec<Method>,
    /// What it costs.
    pub access: Access,
}

impl Route {
    /// A free route.
    pub fn free(methods: impl IntoIterator<Item = Method>, path: impl Into<String>) -> Self {
        Self { path: path.into(), methods: methods.into_iter().collect(), access: Access::Free }
    }

    /// A priced route.
    pub fn priced(
        methods: impl IntoIterator<Item = Method>,
        path: impl Into<String>,
        offers: impl IntoIterator<Item = RouteOffer>,
    ) -> Self {
        let (bind_body, service) = (BindBody::default(), ServiceTerms::default());
        let access = Access::Priced { offers: offers.into_iter().collect(), bind_body, service };
        Self { path: path.into(), methods: methods.into_iter().collect(), access }
    }

    /// The same route with these promises. A free route has none.
    #[must_use]
    pub fn serving(mut self, terms: ServiceTerms) -> Self {
        if let Access::Priced { service, .. } = &mut self.access {
            *service = terms;
        }
        self
    }

    /// The route's name, which challenges are issued for: `GET,POST /v1/{id}`, `* /static/{*rest}`.
    #[must_use]
    pub fn name(&self) -> String {
        if self.methods.is_empty() {
            return format!("* {}", self.path);
        }
        let mut methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        methods.sort_unstable();
        format!("{} {}", methods.join(","), self.path)
    }
}

/// Why routes cannot be served together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The path pattern is wrong.
    #[error("route `{route}`: {source}")]
    Pattern {
        /// The route's name.
        route: String,
        /// What is wrong.
        source: PatternError,
    },
    /// Two routes would answer the same requests.
    #[error(
        "routes `{first}` and `{second}` match the same requests; remove one, or give them different methods"
    )]
    Conflict {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// `HEAD` is listed.
    #[error("route `{route}`: HEAD goes with GET and costs the same; leave it out")]
    HeadListed {
        /// The route's name.
        route: String,
    },
    /// A priced route without an offer.
    #[error("route `{route}` is priced and has no offer")]
    NoOffer {
        /// The route's name.
        route: String,
    },
    /// More routes than are kept.
    #[error("there are {given} routes, and {max} are the most")]
    TooMany {
        /// How many there are.
        given: usize,
        /// The most that there may be.
        max: usize,
    },
}

impl RouteError {
    /// The stable code of the broken rule, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Pattern { source, .. } => source.code(),
            Self::Conflict { .. } => "route_conflict",
            Self::HeadListed { .. } => "route_head_listed",
            Self::NoOffer { .. } => "route_no_offer",
            Self::TooMany { .. } => "route_too_many",
        }
    }
}

/// What a request meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The route with this index.
    Route(usize),
    /// The path is known and the method is not; these are.
    NoMethod {
        /// The known methods.
        allowed: Vec<Method>,
    },
    /// No route has this path.
    NoPath,
    /// No route has this path, but a laxer server would read a priced route in it: refuse it.
    LooksPriced,
}

/// All routes, and how to find one.
#[derive(Debug)]
pub struct RouteTable {
    exact: Node,
    folded: Node,
    routes: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    methods: Vec<Method>,
    priced: bool,
    fold: Vec<Segment>,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<String, Node>,
    any: Option<Box<Node>>,
    here: Vec<usize>,
    rest: Vec<usize>,
}

impl RouteTable {
    /// The most routes.
    pub const MAX: usize = 10_000;
    /// Names of formats that are looked behind: `.tar.gz` has two.
    const MAX_FORMATS: usize = 4;

    /// A table of `routes`; matches answer with indexes into this slice.
    ///
    /// # Errors
    /// [`RouteError`]: the first broken rule, in order of the routes.
    pub fn new(routes: &[Route]) -> Result<Self, RouteError> {
        if routes.len() > Self::MAX {
            return Err(RouteError::TooMany { given: routes.len(), max: Self::MAX });
        }
        let mut table = Self { exact: Node::default(), folded: Node::default(), routes: Vec::new() };
        for (index, route) in routes.iter().enumerate() {
            let name = || route.name();
            let pattern = Pattern::parse(&route.path)
                .map_err(|source| RouteError::Pattern { route: name(), source })?;
            if route.methods.contains(&Method::HEAD) {
                return Err(RouteError::HeadListed { route: name() });
            }
            if matches!(&route.access, Access::Priced { offers, .. } if offers.is_empty()) {
                return Err(RouteError::NoOffer { route: name() });
            }
            let same_shape = table.exact.leaf(pattern.segments());
            let overlaps = |other: &&usize| overlap(&routes[**other].methods, &route.methods);
            if let Some(other) = same_shape.iter().find(overlaps) {
                return Err(RouteError::Conflict { first: routes[*other].name(), second: name() });
            }
            same_shape.push(index);
            let priced = matches!(route.access, Access::Priced { .. });
            let fold = pattern.folded();
            if priced {
                table.folded.leaf(&fold).push(index);
            }
            table.routes.push(Entry { methods: route.methods.clone(), priced, fold });
        }
        Ok(table)
    }

    /// What a request with this method and path meets.
    #[must_use]
    pub fn find(&self, method: &Method, path: &NormalPath<'_>) -> Match {
        let decoded: Vec<Cow<'_, str>>;
        let found = if path.is_encoded() {
            decoded = path.segments().collect();
            self.exact.find(decoded.iter().map(AsRef::as_ref))
        } else {
            self.exact.find(path.pieces())
        };
        // A HEAD is a GET without its body, and tells what is in it: it costs the same.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let allows = |index: &&usize| {
            let methods = &self.routes[**index].methods;
            methods.is_empty() || methods.contains(method)
        };
        let route = found.and_then(|indexes| indexes.iter().find(allows).copied());
        if let Some(index) = route
            && self.routes[index].priced
        {
            return Match::Route(index);
        }
        if self.looks_priced(path, found) {
            return Match::LooksPriced;
        }
        match (route, found) {
            (Some(index), _) => Match::Route(index),
            (None, Some(indexes)) => Match::NoMethod { allowed: self.allowed(indexes) },
            (None, None) => Match::NoPath,
        }
    }

    /// Whether a laxer server would read a priced route in these segments, which match `found` as written: in another
    /// spelling, or with the name of a format behind them (`/v1/report.json` for `/v1/report`).
    fn looks_priced(&self, path: &NormalPath<'_>, found: Option<&[usize]>) -> bool {
        if path.is_folded() {
            return self.reads_as_priced(path.pieces(), found);
        }
        let mut folded: Vec<String> = path.segments().map(|segment| fold(&segment)).collect();
        if self.reads_as_priced(folded.iter().map(String::as_str), found) {
            return true;
        }
        for _ in 0..Self::MAX_FORMATS {
            let Some(last) = folded.last_mut() else { return false };
            // A name that begins with its dot has no format.
            let Some(end) = last.rfind('.').filter(|end| *end > 0) else { return false };
            last.truncate(end);
            if self.reads_as_priced(folded.iter().map(String::as_str), found) {
                return true;
            }
        }
        false
    }

    fn reads_as_priced<'s>(
        &self,
        folded: impl Iterator<Item = &'s str> + Clone,
        found: Option<&[usize]>,
    ) -> bool {
        let Some(priced) = self.folded.find(folded).and_then(<[usize]>::first) else { return false };
        let priced = &self.routes[*priced].fold;
        found.and_then(<[usize]>::first).is_none_or(|index| {
            let found = &self.routes[*index].fold;
            // The same when the operator has written both spellings down: the one that was asked for is meant. A wider
            // pattern than the one that was found takes nothing away from it: `/docs` is free beside a priced `/{any}`.
            found != priced && pattern::more_specific(priced, found)
        })
    }

    fn allowed(&self, indexes: &[usize]) -> Vec<Method> {
        let mut allowed: Vec<Method> =
            indexes.iter().flat_map(|index| self.routes[*index].methods.iter().cloned()).collect();
        if allowed.contains(&Method::GET) {
            allowed.push(Method::HEAD);
        }
        allowed.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        allowed
    }
}

/// What a request's path and method meet, with the path in normal form.
///
/// # Errors
/// [`PathError`] for a path without a normal form.
pub(crate) fn resolve<'a>(
    table: &RouteTable,
    method: &Method,
    path: &'a str,
) -> Result<(NormalPath<'a>, Match), PathError> {
    let path = NormalPath::of(path)?;
    let found = table.find(method, &path);
    Ok((path, found))
}

fn overlap(a: &[Method], b: &[Method]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|method| b.contains(method))
}

impl Node {
    /// The list of routes with this shape of pattern; made when it is new.
    fn leaf(&mut self, segments: &[Segment]) -> &mut Vec<usize> {
        let mut node = self;
        for segment in segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Any => node.any.get_or_insert_default(),
                Segment::Rest => return &mut node.rest,
            };
        }
        &mut node.here
    }

    /// The most specific pattern for these segments: literals before names before rests, from the left. Visits each node
    /// at most once.
    fn find<'s>(&self, segments: impl Iterator<Item = &'s str> + Clone) -> Option<&[usize]> {
        let mut rest = segments;
        let found = match rest.next() {
            None => (!self.here.is_empty()).then_some(self.here.as_slice()),
            Some(first) => self
                .literals
                .get(first)
                .and_then(|node| node.find(rest.clone()))
                .or_else(|| self.any.as_ref().and_then(|node| node.find(rest))),
        };
        found.or_else(|| (!self.rest.is_empty()).then_some(self.rest.as_slice()))
    }
}

#[cfg(test)]
mod tests;
