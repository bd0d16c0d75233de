//! The HTTP stack of the billing API without what it does: routes for holds and captures that read the request to its end and
//! answer with the body in this file.

use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, StatusCode};

use crate::Failure;

const MAX_BODY: usize = 1 << 20;

pub(super) async fn serve(body: &Path) -> Result<(), Failure> {
    let body = Bytes::from(std::fs::read(body)?);
    let route = |status: StatusCode| {
        let body = body.clone();
        post(move |request: Request| {
            let body = body.clone();
            async move { answer(request, status, body).await }
        })
    };
    let router = Router::new()
        .route("/v1/holds", route(StatusCode::CREATED))
        .route("/v1/holds/{hold}/capture", route(StatusCode::OK));
    let listener = super::listen().await?;
    super::ready(listener.local_addr()?);
    tokio::select! {
        ended = axum::serve(listener, router) => Ok(ended?),
        () = super::parent_leaves() => Ok(()),
    }
}

async fn answer(request: Request, status: StatusCode, body: Bytes) -> Response {
    if axum::body::to_bytes(request.into_body(), MAX_BODY).await.is_err() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let named = HeaderName::from_static("x-request-id");
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
        (named, "req_00000000000000000000000000000000"),
    ];
    (status, headers, body).into_response()
}
