//! Reading a vendor's answer for what the call cost, and giving it back whole.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use farthing_money::Money;
use http::header::CONTENT_TYPE;
use http_body::{Body, Frame};
use reqwest::Response;
use serde_json::Value;

use super::{CostRule, MAX_ANSWER, MeteredVendor};

/// The answer, whole where it had to be read, and what it cost. One that is no JSON or too long costs the most.
///
/// # Errors
/// Why it broke off.
pub(super) async fn read(
    vendor: &MeteredVendor,
    mut response: Response,
) -> Result<(Response, Money), String> {
    let fits = |length| usize::try_from(length).is_ok_and(|length| length <= MAX_ANSWER);
    let may_fit = response.content_length().is_none_or(fits);
    if vendor.rule == CostRule::PerCall || !is_json(&response) || !may_fit {
        return Ok((response, vendor.most.clone()));
    }
    let mut read = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| crate::describe(&error.without_url()))? {
        read.extend_from_slice(&chunk);
        if read.len() > MAX_ANSWER {
            return Ok((put_back(read.freeze(), response), vendor.most.clone()));
        }
    }
    let value = serde_json::from_slice(&read).unwrap_or(Value::Null);
    let cost = vendor.rule.cost(&vendor.most, &value);
    Ok((put_back(read.freeze(), response), cost))
}

fn is_json(response: &Response) -> bool {
    response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let kind = value.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
    })
}

/// The response with what was read of it before what is left.
fn put_back(read: Bytes, response: Response) -> Response {
    let (parts, rest) = http::Response::<reqwest::Body>::from(response).into_parts();
    let body = reqwest::Body::wrap(Whole { read: Some(read), rest });
    http::Response::from_parts(parts, body).into()
}

/// What was read, then the rest.
struct Whole {
    read: Option<Bytes>,
    rest: reqwest::Body,
}

impl Body for Whole {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, reqwest::Error>>> {
        match self.read.take() {
            Some(read) => Poll::Ready(Some(Ok(Frame::data(read)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}
