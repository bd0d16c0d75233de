//! What the API says about itself: that it works, and its document.

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Access;
use crate::operation::{Answered, Call, Done, Named, Operation, Reply, ReplyBody};
use crate::problem::Problem;
use crate::schema::{Schema, Schemas};

pub(super) fn operations() -> Vec<Operation> {
    let named = |id, summary| Named { id, tag: "meta", access: Access::ANYBODY, summary };
    vec![
        Operation::get("/v1/health", named("getHealth", "Whether the API and its store work"), health),
        Operation::get("/v1/openapi.json", named("getDocument", "This document"), document),
    ]
}

/// That the API works.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    /// `ok`.
    status: &'static str,
    /// How many entries the journal has.
    entries: u64,
}

async fn health(call: Call) -> Result<Done<Health>, Problem> {
    let head = call.billing.store().head().await.map_err(farthing_billing::service::ServiceError::from)?;
    Ok(Done(Health { status: "ok", entries: head.seq }))
}

/// The document.
struct Document(bytes::Bytes);

impl Reply for Document {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(_: &mut Schemas) -> Schema {
        schemars::json_schema!({ "type": "object" })
    }

    fn answered(self) -> Result<ReplyBody, Problem> {
        let mut answer = Response::new(Body::from(self.0));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Self::MEDIA_TYPE));
        Ok(ReplyBody(Answered::Whole(answer)))
    }
}

async fn document(call: Call) -> Result<Document, Problem> {
    Ok(Document(call.api.document()))
}
