//! `farthing payments export`: every field of payments, for bookkeeping. CSV as RFC 4180 has it: CRLF, quotes where they are
//! needed. Amounts are decimal digits, never rounded.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use clap::ValueEnum;
use farthing_client::FileJournal;
use farthing_client::journal::PaymentRecord;
use serde_json::{Value, json};

use super::filter::FilterArgs;
use crate::error::CliError;
use crate::output::{Output, paint, style};

/// As what payments are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ExportFormat {
    /// One object with all payments
    #[default]
    Json,
    /// One line a payment, for a spreadsheet
    Csv,
}

/// The columns of CSV, in their order. Stable: new ones come last.
const COLUMNS: [&str; 26] = [
    "id",
    "state",
    "began",
    "changed",
    "request_method",
    "host",
    "url",
    "amount",
    "asset",
    "amount_base",
    "scale",
    "token",
    "network",
    "recipient",
    "payer",
    "payment_method",
    "mode",
    "fee",
    "status",
    "reference",
    "settled_at",
    "challenge_id",
    "idempotency_key",
    "why",
    "cost",
    "decided_by",
];

pub fn run(
    journal: &FileJournal,
    format: ExportFormat,
    out: Option<&Path>,
    filter: &FilterArgs,
    output: Output,
) -> Result<(), CliError> {
    let records = filter.select(journal)?;
    let bytes = match format {
        ExportFormat::Csv => csv(&records).into_bytes(),
        ExportFormat::Json => as_json(&records)?,
    };
    let Some(path) = out else { return output.bytes(&bytes) };
    save(path, &bytes).map_err(|error| CliError::file("write", path, &error))?;
    if output.is_json() {
        return output.json(&json!({ "file": path, "payments": records.len() }));
    }
    output.note(format_args!(
        "{} {} payments to {}",
        paint(style::GOOD, "wrote"),
        records.len(),
        path.display()
    ));
    Ok(())
}

fn save(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create(true).truncate(true).open(path)?.write_all(bytes)
}

fn as_json(records: &[PaymentRecord]) -> Result<Vec<u8>, CliError> {
    let payments: Vec<Value> = records.iter().map(super::json::payment).collect();
    let json = serde_json::to_vec_pretty(&json!({ "payments": payments }));
    let mut json =
        json.map_err(|error| CliError::unexpected("output", format!("cannot write the result: {error}")))?;
    json.push(b'\n');
    Ok(json)
}

fn csv(records: &[PaymentRecord]) -> String {
    let mut text = COLUMNS.join(",");
    text.push_str("\r\n");
    for record in records {
        let cells: Vec<String> = row(record).iter().map(|cell| escape(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

/// In the order of [`COLUMNS`].
fn row(record: &PaymentRecord) -> [String; 26] {
    let (agreed, target) = (&record.agreed, &record.target);
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        record.id.to_string(),
        record.state.name().to_owned(),
        record.began.to_string(),
        record.changed.to_string(),
        target.method.clone(),
        target.host().to_owned(),
        target.url.clone(),
        agreed.amount_base.to_decimal(agreed.scale),
        agreed.asset.clone(),
        agreed.amount_base.to_string(),
        agreed.scale.to_string(),
        optional(&agreed.token),
        agreed.network.clone(),
        agreed.recipient.clone(),
        agreed.payer.clone(),
        agreed.method.clone(),
        agreed.mode.clone(),
        agreed.fee.clone(),
        record.status.map(|status| status.to_string()).unwrap_or_default(),
        optional(&record.reference),
        optional(&record.settled_at),
        target.challenge_id.clone(),
        optional(&target.idempotency_key),
        optional(&record.why),
        record.cost_base.map(|cost| cost.to_decimal(agreed.scale)).unwrap_or_default(),
        record.decided_by.map(|by| by.name().to_owned()).unwrap_or_default(),
    ]
}

/// One cell. What a spreadsheet would take for a formula is marked as text with an apostrophe: URLs, references and reasons
/// are words of strangers.
fn escape(cell: &str) -> String {
    let is_formula =
        cell.trim_start().starts_with(['=', '+', '-', '@']) || cell.starts_with(['\t', '\r', '\n']);
    let guarded = if is_formula { format!("'{cell}") } else { cell.to_owned() };
    if is_formula || guarded.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, escape};

    #[test]
    fn cells_are_quoted_and_no_cell_is_a_formula() {
        let cases = [
            ("plain", "plain"),
            ("", ""),
            ("0.05", "0.05"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("  =1", "\"'  =1\""),
            ("\t=1", "\"'\t=1\""),
            ("0x=1", "0x=1"),
        ];
        for (cell, expected) in cases {
            assert_eq!(escape(cell), expected, "{cell:?}");
        }
    }

    #[test]
    fn columns_have_distinct_names() {
        for (index, column) in COLUMNS.iter().enumerate() {
            assert!(!COLUMNS[..index].contains(column), "{column}");
        }
    }
}
