//! [`Operation`]: one thing that the API does, as one row of a table: method, path, who may, and a function. The router and the
//! OpenAPI document are both made from these rows, and the types of the function are the types of the document, so that
//! neither can say what the other does not.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::response::Response;
use bytes::Bytes;
use farthing_billing::service::{Billing, Cx, Page};
use http::{HeaderMap, Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Api;
use crate::access::{Access, Caller};
use crate::problem::Problem;
use crate::read::{self, Nothing, Part};
use crate::schema::{Schema, Schemas};

/// One call, read: who asks, and what for.
pub struct Call<P = Nothing, Q = Nothing, B = Nothing> {
    /// The API that was asked.
    pub api: Api,
    /// The service, for this call.
    pub billing: Billing,
    /// Tenant, clock, a fresh id, the idempotency key.
    pub cx: Cx,
    /// Who asks.
    pub caller: Caller,
    /// The parameters of the path.
    pub path: P,
    /// The parameters of the query.
    pub query: Q,
    /// The body.
    pub body: B,
    /// The headers, for the few operations that mind one.
    pub headers: HeaderMap,
    pub(crate) replayed: Arc<AtomicBool>,
}

impl<P, Q, B> Call<P, Q, B> {
    /// Whether the service answered what it had answered before under the same idempotency key.
    #[must_use]
    pub fn was_replayed(&self) -> bool {
        self.replayed.load(Ordering::Relaxed)
    }
}

/// A request before it is read.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) path: Vec<(String, String)>,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Who asks, and in what surroundings.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) api: Api,
    pub(crate) billing: Billing,
    pub(crate) cx: Cx,
    pub(crate) caller: Caller,
    pub(crate) replayed: Arc<AtomicBool>,
}

/// What an operation answers, before it has headers.
pub(crate) enum Answered {
    /// A JSON text.
    Json(StatusCode, Vec<u8>),
    /// An answer of its own making: a stream.
    Whole(Response),
}

/// What an operation can answer when all goes well.
pub trait Reply: Send + 'static {
    /// The status.
    const STATUS: StatusCode;
    /// The media type.
    const MEDIA_TYPE: &'static str = "application/json";

    /// Its schema.
    fn schema(schemas: &mut Schemas) -> Schema;

    /// The answer.
    ///
    /// # Errors
    /// A problem of ours.
    #[doc(hidden)]
    fn answered(self) -> Result<ReplyBody, Problem>;
}

/// What a [`Reply`] becomes. Made by this crate's replies only.
pub struct ReplyBody(pub(crate) Answered);

/// 200, with what was asked for or done.
#[derive(Debug)]
pub struct Done<T>(pub T);

/// 201, with what was made.
#[derive(Debug)]
pub struct Created<T>(pub T);

/// 200, with a page of a list.
#[derive(Debug)]
pub struct Listed<T>(pub Page<T>);

/// A page of a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
struct PageSchema<T> {
    /// The items.
    #[allow(dead_code, reason = "for its schema")]
    data: Vec<T>,
    /// The cursor of the next page, to be passed as `after`; null on the last page.
    #[allow(dead_code, reason = "for its schema")]
    next: Option<String>,
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<ReplyBody, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Problem::internal()
    })?;
    Ok(ReplyBody(Answered::Json(status, body)))
}

impl<T: Serialize + JsonSchema + Send + 'static> Reply for Done<T> {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(schemas: &mut Schemas) -> Schema {
        schemas.output::<T>()
    }

    fn answered(self) -> Result<ReplyBody, Problem> {
        json(Self::STATUS, &self.0)
    }
}

impl<T: Serialize + JsonSchema + Send + 'static> Reply for Created<T> {
    const STATUS: StatusCode = StatusCode::CREATED;

    fn schema(schemas: &mut Schemas) -> Schema {
        schemas.output::<T>()
    }

    fn answered(self) -> Result<ReplyBody, Problem> {
        json(Self::STATUS, &self.0)
    }
}

impl<T: Serialize + JsonSchema + Send + 'static> Reply for Listed<T> {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(schemas: &mut Schemas) -> Schema {
        schemas.output::<PageSchema<T>>()
    }

    fn answered(self) -> Result<ReplyBody, Problem> {
        json(Self::STATUS, &self.0)
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Answered, Problem>> + Send>>;
type Runner = Arc<dyn Fn(Asked, Raw) -> Running + Send + Sync>;
type Describe = fn(&mut Schemas) -> Schema;

/// The schemas of an operation's parts.
#[derive(Clone, Copy)]
pub(crate) struct Shapes {
    pub(crate) path: Describe,
    pub(crate) query: Describe,
    /// `None`: it takes no body.
    pub(crate) body: Option<Describe>,
    pub(crate) answer: Describe,
    pub(crate) status: StatusCode,
    pub(crate) media_type: &'static str,
}

/// One thing that the API does.
#[derive(Clone)]
pub struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) access: Access,
    pub(crate) summary: &'static str,
    pub(crate) tag: &'static str,
    /// The columns of its CSV form, where it has one: names of fields, with dots between levels.
    pub(crate) csv: Option<&'static [&'static str]>,
    pub(crate) shapes: Shapes,
    pub(crate) run: Runner,
}

impl Operation {
    /// `GET path`.
    pub fn get<P: Part, Q: Part, A: Reply, F, R>(path: &'static str, named: Named, run: F) -> Self
    where
        F: Fn(Call<P, Q, Nothing>) -> R + Send + Sync + Clone + 'static,
        R: Future<Output = Result<A, Problem>> + Send + 'static,
    {
        Self::new(Method::GET, path, named, run)
    }

    /// `POST path`.
    pub fn post<P: Part, Q: Part, B: Part, A: Reply, F, R>(path: &'static str, named: Named, run: F) -> Self
    where
        F: Fn(Call<P, Q, B>) -> R + Send + Sync + Clone + 'static,
        R: Future<Output = Result<A, Problem>> + Send + 'static,
    {
        Self::new(Method::POST, path, named, run)
    }

    /// `PUT path`.
    pub fn put<P: Part, Q: Part, B: Part, A: Reply, F, R>(path: &'static str, named: Named, run: F) -> Self
    where
        F: Fn(Call<P, Q, B>) -> R + Send + Sync + Clone + 'static,
        R: Future<Output = Result<A, Problem>> + Send + 'static,
    {
        Self::new(Method::PUT, path, named, run)
    }

    /// `PATCH path`.
    pub fn patch<P: Part, Q: Part, B: Part, A: Reply, F, R>(path: &'static str, named: Named, run: F) -> Self
    where
        F: Fn(Call<P, Q, B>) -> R + Send + Sync + Clone + 'static,
        R: Future<Output = Result<A, Problem>> + Send + 'static,
    {
        Self::new(Method::PATCH, path, named, run)
    }

    /// `DELETE path`.
    pub fn delete<P: Part, Q: Part, A: Reply, F, R>(path: &'static str, named: Named, run: F) -> Self
    where
        F: Fn(Call<P, Q, Nothing>) -> R + Send + Sync + Clone + 'static,
        R: Future<Output = Result<A, Problem>> + Send + 'static,
    {
        Self::new(Method::DELETE, path, named, run)
    }

    /// The same, which answers CSV too, with these columns.
    #[must_use]
    pub const fn csv(mut self, columns: &'static [&'static str]) -> Self {
        self.csv = Some(columns);
        self
    }

    /// Whether its query has a parameter of this name.
    pub(crate) fn has_query(&self, name: &str) -> bool {
        let mut schemas = Schemas::default();
        let schema = (self.shapes.query)(&mut schemas);
        schemas.resolve(&schema).get("properties").is_some_and(|fields| fields.get(name).is_some())
    }

    fn new<P: Part, Q: Part, B: Part, A: Reply, F, R>(
        method: Method,
        path: &'static str,
        named: Named,
        run: F,
    ) -> Self
    where
        F: Fn(Call<P, Q, B>) -> R + Send + Sync + Clone + 'static,
        R: Future<Output = Result<A, Problem>> + Send + 'static,
    {
        let Named { id, tag, access, summary } = named;
        let has_body = B::schema_id() != Nothing::schema_id();
        let shapes = Shapes {
            path: Schemas::input::<P>,
            query: Schemas::input::<Q>,
            body: has_body.then_some(Schemas::input::<B> as Describe),
            answer: A::schema,
            status: A::STATUS,
            media_type: A::MEDIA_TYPE,
        };
        let takes_body = read::has_body(&method);
        let run: Runner = Arc::new(move |asked, raw| {
            let run = run.clone();
            Box::pin(async move {
                let call = read_call::<P, Q, B>(asked, &raw, takes_body)?;
                run(call).await?.answered().map(|body| body.0)
            })
        });
        Self { method, path, id, access, summary, tag, csv: None, shapes, run }
    }
}

fn read_call<P: Part, Q: Part, B: Part>(
    asked: Asked,
    raw: &Raw,
    takes_body: bool,
) -> Result<Call<P, Q, B>, Problem> {
    let Asked { api, billing, cx, caller, replayed } = asked;
    let path = read::path(&raw.path)?;
    let query = read::query(&raw.query)?;
    let body = read::body(&raw.headers, if takes_body { &raw.body } else { b"" })?;
    Ok(Call { api, billing, cx, caller, path, query, body, headers: raw.headers.clone(), replayed })
}

/// What an operation is called, and who may call it.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// Its name in the document, and in what generated clients call it.
    pub id: &'static str,
    /// The resource that it belongs to.
    pub tag: &'static str,
    /// Who may.
    pub access: Access,
    /// What it does, in a sentence.
    pub summary: &'static str,
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.method, self.path, self.id)
    }
}
