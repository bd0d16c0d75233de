//! What `farthing request` writes of an answer: bytes as they came, or one JSON object; and what was paid.

use std::io::IsTerminal;
use std::path::Path;

use farthing_client::{Payment, PaymentOutcome};
use http::HeaderMap;
use http::header::HeaderValue;
use reqwest::Response;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;

use super::args::Args;
use super::file;
use super::terminal::PlainText;
use crate::error::{CliError, Exit};
use crate::output::{Output, one_line, paint, short, style};

/// The largest body that becomes part of a JSON object, in bytes.
const MAX_JSON_BODY: usize = 256 << 20;

/// Writes the answer and says how the command ends.
pub async fn write(
    mut response: Response,
    payment: Option<&Payment>,
    args: &Args,
    output: Output,
) -> Result<Exit, CliError> {
    let failed = response.status().as_u16() >= 400;
    if output.is_json() {
        let body = collect(&mut response, payment).await?;
        output.json(&as_json(&response, &body, payment))?;
    } else {
        if let Some(payment) = payment {
            output.note(note(payment));
            if payment.outcome == PaymentOutcome::Unconfirmed {
                output.note(format_args!(
                    "{}: the call was not served; see what became of the payment: farthing payments {}",
                    paint(style::GOOD, "help"),
                    payment.id
                ));
            }
        }
        if failed && args.fail {
            return Err(http_failure(&response, payment));
        }
        stream(&mut response, payment, args, output).await?;
    }
    Ok(match payment {
        Some(payment) if payment.outcome == PaymentOutcome::Unconfirmed => Exit::NotServed,
        _ if failed && args.fail => Exit::Http,
        _ => Exit::Ok,
    })
}

fn http_failure(response: &Response, payment: Option<&Payment>) -> CliError {
    let status = response.status();
    let exit = match payment {
        Some(payment) if payment.outcome == PaymentOutcome::Unconfirmed => Exit::NotServed,
        _ => Exit::Http,
    };
    let error = CliError::new(exit, "http_error", format!("the server answered {status}"));
    match payment {
        Some(payment) => error
            .help(format!("it was paid for; see farthing payments {}", payment.id))
            .details(json!({ "payment": payment.id.as_str(), "may_have_paid": true })),
        None => error.help("see what it says: leave out -f, or add -v"),
    }
}

/// The body as it arrives: byte for byte, and as plain text on a terminal.
async fn stream(
    response: &mut Response,
    payment: Option<&Payment>,
    args: &Args,
    output: Output,
) -> Result<(), CliError> {
    let head = if args.include { head(response) } else { Vec::new() };
    if let Some(path) = &args.out {
        return save(response, payment, path, &head).await;
    }
    if !std::io::stdout().is_terminal() {
        output.bytes(&head)?;
        while let Some(chunk) = response.chunk().await.map_err(|error| cut_off(&error, payment))? {
            output.bytes(&chunk)?;
        }
        return Ok(());
    }
    let mut text = PlainText::default();
    output.bytes(text.next(&head).as_bytes())?;
    while let Some(chunk) = response.chunk().await.map_err(|error| cut_off(&error, payment))? {
        if chunk.contains(&0) {
            let path = file::instead_of_a_terminal().map_err(|error| unkept(error, payment))?;
            save(response, payment, &path, &chunk).await?;
            output.note(format_args!("the answer is binary; it was written to {}", path.display()));
            return Ok(());
        }
        output.bytes(text.next(&chunk).as_bytes())?;
    }
    output.bytes(text.end().as_bytes())
}

async fn save(
    response: &mut Response,
    payment: Option<&Payment>,
    path: &Path,
    head: &[u8],
) -> Result<(), CliError> {
    let failed = |error: std::io::Error| unkept(CliError::file("write", path, &error), payment);
    let mut file = tokio::fs::File::create(path).await.map_err(failed)?;
    file.write_all(head).await.map_err(failed)?;
    while let Some(chunk) = response.chunk().await.map_err(|error| cut_off(&error, payment))? {
        file.write_all(&chunk).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)
}

/// The status line and the headers.
fn head(response: &Response) -> Vec<u8> {
    let mut head = format!("{:?} {}\r\n", response.version(), response.status()).into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

async fn collect(response: &mut Response, payment: Option<&Payment>) -> Result<Vec<u8>, CliError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| cut_off(&error, payment))? {
        if body.len() + chunk.len() > MAX_JSON_BODY {
            let error = CliError::usage(
                "body_too_large",
                "the answer has more than 256 MiB, too much for --output json",
            )
            .help("leave --output json out; the body is then written as it arrives");
            return Err(unkept(error, payment));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An answer that could not be kept: when it was paid for, the error says so and names the payment.
fn unkept(error: CliError, payment: Option<&Payment>) -> CliError {
    match payment {
        Some(payment) => CliError { exit: Exit::NotServed, ..error }
            .help(format!("it was paid for; see farthing payments {}", payment.id)),
        None => error,
    }
}

fn cut_off(error: &reqwest::Error, payment: Option<&Payment>) -> CliError {
    let exit = if payment.is_some() { Exit::NotServed } else { Exit::Network };
    let cli = CliError::new(exit, "answer_cut_off", format!("the answer was cut off: {error}"));
    match payment {
        Some(payment) => cli.help(format!("it was paid for; see farthing payments {}", payment.id)),
        None => cli.help("nothing was paid; try again"),
    }
}

fn as_json(response: &Response, body: &[u8], payment: Option<&Payment>) -> Value {
    let (key, text) = match std::str::from_utf8(body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_base64", base64_simd::STANDARD.encode_to_string(body)),
    };
    json!({
        "status": response.status().as_u16(),
        "url": response.url().as_str(),
        "headers": headers(response.headers()),
        key: text,
        "paid": payment.map(paid),
    })
}

/// Headers as an object; a header that came several times has a list.
fn headers(headers: &HeaderMap) -> Value {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut object = Map::new();
    for name in headers.keys() {
        let values: Vec<String> = headers.get_all(name).iter().map(text).collect();
        let value = if values.len() == 1 { Value::from(values.concat()) } else { Value::from(values) };
        object.insert(name.to_string(), value);
    }
    Value::Object(object)
}

/// What was paid, for programs.
pub fn paid(payment: &Payment) -> Value {
    let quote = &payment.quote;
    let asset = quote.money.asset();
    json!({
        "id": payment.id.as_str(),
        "outcome": match payment.outcome { PaymentOutcome::Served => "served", PaymentOutcome::Unconfirmed => "unconfirmed" },
        "amount": quote.money.amount().to_decimal(asset.scale()),
        "amount_base": quote.money.amount(),
        "asset": asset,
        "recipient": quote.recipient,
        "shares": super::dry_run::shares(quote),
        "payer": quote.payer,
        "network": quote.network,
        "mode": quote.mode,
        "fee": super::dry_run::fee(quote.fee),
        "challenge_id": payment.challenge_id,
        "receipt": payment.receipt.as_ref().map(|receipt| json!({
            "status": "success",
            "method": receipt.method,
            "timestamp": receipt.timestamp,
            "reference": receipt.reference,
            "external_id": receipt.external_id,
        })),
    })
}

/// What was paid, in a line.
pub fn note(payment: &Payment) -> String {
    let quote = &payment.quote;
    let receipt = payment.receipt.as_ref().map(|receipt| format!(", receipt {}", short(&receipt.reference)));
    if quote.money.amount().is_zero() {
        return format!("{} who you are to {} (free)", paint(style::GOOD, "proved"), short(&quote.recipient));
    }
    let (style, word) = match payment.outcome {
        PaymentOutcome::Served => (style::GOOD, "paid"),
        PaymentOutcome::Unconfirmed => (style::WARN, "sent, and not confirmed:"),
    };
    format!(
        "{} {} to {} on {} ({}){}",
        paint(style, word),
        paint(style::MONEY, one_line(&quote.money.to_string())),
        short(&quote.recipient),
        super::dry_run::chain(&quote.network),
        quote.mode,
        receipt.unwrap_or_default()
    )
}
