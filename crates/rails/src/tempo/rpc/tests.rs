#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use alloy_primitives::{Address, B256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{RpcError, TempoRpc, parse, shorten};

/// A server that gives every connection the same bytes.
async fn serve(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut chunk = [0_u8; 4096];
                let _head = stream.read(&mut chunk).await.unwrap_or_default();
                stream.write_all(answer.as_bytes()).await.ok();
            });
        }
    });
    url
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn an_answer_says_whether_something_may_have_happened() {
    let rejected = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"insufficient funds"}}"#;
    let missing = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#;
    let limited = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"slow down"}}"#;
    let strange = r#"{"jsonrpc":"2.0","id":1,"result":"seven"}"#;
    let cases = [
        (http("200 OK", rejected), "rpc_rejected"),
        (http("400 Bad Request", rejected), "rpc_rejected"),
        (http("200 OK", missing), "rpc_method_missing"),
        (http("200 OK", limited), "rpc_unavailable"),
        (http("429 Too Many Requests", "slow down"), "rpc_unavailable"),
        (http("401 Unauthorized", ""), "rpc_unavailable"),
        (http("502 Bad Gateway", "<html>"), "rpc_unknown"),
        (http("200 OK", "<html>"), "rpc_unknown"),
        (http("200 OK", strange), "rpc_unknown"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned(), "rpc_unknown"),
        (String::new(), "rpc_unknown"),
        // A redirect is not followed: the transaction goes where its owner said.
        (
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
                .to_owned(),
            "rpc_unknown",
        ),
    ];
    for (answer, expected) in cases {
        let rpc = TempoRpc::new(&serve(answer.clone()).await).unwrap();
        assert_eq!(rpc.receipt(B256::ZERO).await.unwrap_err().code(), expected, "{answer}");
    }
    let rpc = TempoRpc::new("http://127.0.0.1:1").unwrap();
    let error = rpc.chain_id().await.unwrap_err();
    assert_eq!(error.code(), "rpc_unavailable", "nobody listens");
    assert!(error.never_sent());
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let body = " ".repeat(TempoRpc::MAX_ANSWER_BYTES + 1);
    let rpc = TempoRpc::new(&serve(http("200 OK", &body)).await).unwrap();
    let error = rpc.balance(Address::ZERO, Address::ZERO).await.unwrap_err();
    assert!(matches!(&error, RpcError::Unknown { detail, .. } if detail.contains("4 MiB")), "{error}");
}

#[tokio::test]
async fn a_silent_node_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rpc = TempoRpc::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let error = rpc.with_timeout(Duration::from_millis(50)).chain_id().await.unwrap_err();
    assert_eq!(error.code(), "rpc_unknown");
}

#[tokio::test]
async fn the_chain_is_asked_once_and_compared() {
    let url = serve(http("200 OK", r#"{"jsonrpc":"2.0","id":1,"result":"0x539"}"#)).await;
    let rpc = TempoRpc::new(&url).unwrap();
    assert_eq!(rpc.expect_chain(1337).await, Ok(()));
    assert_eq!(rpc.expect_chain(4217).await, Err(RpcError::WrongChain { expected: 4217, given: 1337 }));
}

#[test]
fn an_address_shows_no_key_and_a_message_no_transaction() {
    let rpc = TempoRpc::new("https://user:secret@rpc.example.com/v1/secret?key=secret").unwrap();
    assert_eq!(format!("{rpc:?}"), "TempoRpc(rpc.example.com)");
    for bad in ["", "rpc.example.com", "ftp://rpc.example.com", "file:///etc"] {
        assert_eq!(TempoRpc::new(bad).unwrap_err().code(), "rpc_bad_url", "{bad}");
    }
    // C19: nodes that repeat what they were sent.
    let repeated = format!("cannot decode 0x{}\u{7} now", "76".repeat(200));
    assert_eq!(shorten(&repeated), "cannot decode […] now");
    assert_eq!(shorten(&"a ".repeat(1000)).chars().count(), 200);
    let hash = format!("unknown {}", B256::ZERO);
    assert_eq!(shorten(&hash), hash);
}

#[tokio::test]
async fn a_connection_that_fails_says_why_and_keeps_the_address_to_itself() {
    let rpc = TempoRpc::new("http://user:secret@127.0.0.1:1/v1?key=secret").unwrap();
    let text = rpc.chain_id().await.unwrap_err().to_string();
    assert!(text.contains("Connection refused"), "{text}");
    assert!(!text.contains("secret") && !text.contains("user"), "{text}");
}

#[tokio::test]
async fn only_a_connection_that_was_not_made_proves_that_nothing_was_sent() {
    let limited = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"slow down"}}"#;
    for answer in [http("200 OK", limited), http("408 Request Timeout", ""), http("403 Forbidden", "no")] {
        let rpc = TempoRpc::new(&serve(answer.clone()).await).unwrap();
        let error = rpc.chain_id().await.unwrap_err();
        assert!(!error.never_sent(), "{answer}: {error}");
    }
}

#[test]
fn null_is_a_result() {
    assert!(
        parse("eth_getTransactionReceipt", 200, br#"{"jsonrpc":"2.0","id":1,"result":null}"#)
            .unwrap()
            .is_null()
    );
}
