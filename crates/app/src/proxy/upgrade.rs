//! Requests that want to change the connection's protocol, such as WebSockets: they go through and are not paid. An answer that
//! changes nothing is handed on; a 402 says in a header that the proxy does not pay here.

use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use url::Url;

use super::Proxy;
use super::answer::{Body, Problem, empty, unreached};
use super::forward;
use super::headers::{self, FARTHING_REFUSED};
use super::listener::Connection;
use super::relay::relay;

/// A code for a person to look up.
struct Refused {
    code: &'static str,
}

/// A payment is for an answer, and a connection has none.
const NOT_PAID: Refused = Refused { code: "upgrade_not_paid" };

/// Sends the request on, and joins the two connections where the server changes to `protocol`.
pub async fn upgrade(
    proxy: &Proxy,
    connection: &Connection,
    url: Url,
    protocol: HeaderValue,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let program = hyper::upgrade::on(&mut request);
    let mut sent = reqwest::Request::new(request.method().clone(), url);
    *sent.headers_mut() = std::mem::take(request.headers_mut());
    headers::to_server(sent.headers_mut());
    sent.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    sent.headers_mut().insert(UPGRADE, protocol);
    let response = proxy.upstream.send_upgradable(sent).await.map_err(|error| unreached(&error.why))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let mut response = forward::hand_on(response);
        if response.status() == StatusCode::PAYMENT_REQUIRED {
            response.headers_mut().insert(FARTHING_REFUSED, HeaderValue::from_static(NOT_PAID.code));
        }
        return Ok(response);
    }
    let mut answer = Response::new(empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = response.headers().clone();
    let changed_to = response.headers().get(UPGRADE).cloned();
    headers::to_program(answer.headers_mut());
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(changed_to) = changed_to {
        answer.headers_mut().insert(UPGRADE, changed_to);
    }
    let connection = connection.clone();
    tokio::spawn(async move {
        if let (Ok(program), Ok(server)) = (program.await, response.upgrade().await) {
            connection.until_stopped(relay(TokioIo::new(program), server)).await;
        }
    });
    Ok(answer)
}
