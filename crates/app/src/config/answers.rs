//! `[answers]`: what becomes of the answers of paid calls, and of calls that were not served.

use farthing_gate::{AnswerOptions, GateBuilder, ResolverOptions};

use super::limits::within;
use super::read::Section;

/// How paid calls are delivered.
#[derive(Debug, Clone, Copy)]
pub struct AnswersConfig {
    /// How answers are kept.
    pub options: AnswerOptions,
    /// How long a call may go without a sign of life before another process may serve it, in milliseconds.
    pub lease_ms: u64,
    /// How long a payment that is to be given back waits for its payer, in milliseconds.
    pub refund_after_ms: u64,
}

impl Default for AnswersConfig {
    fn default() -> Self {
        Self {
            options: AnswerOptions::default(),
            lease_ms: GateBuilder::LEASE_MS,
            refund_after_ms: ResolverOptions::default().refund_after_ms,
        }
    }
}

impl AnswersConfig {
    /// Reads `[answers]`.
    pub fn read(section: &Section<'_>) -> Self {
        let mut answers = Self::default();
        let options = &mut answers.options;
        for (key, ms, (least, most)) in [
            ("finish_timeout", &mut options.finish_ms, ("100ms", "1h")),
            ("hold", &mut options.hold_ms, ("0s", "10m")),
            ("lease", &mut answers.lease_ms, ("1s", "1h")),
            ("refund_after", &mut answers.refund_after_ms, ("0s", "720h")),
        ] {
            let read = section.parse(key, |text| within(text, least, most));
            *ms = read.map_or(*ms, |read| u64::try_from(read.as_millis()).unwrap_or(u64::MAX));
        }
        for (key, bytes, most) in
            [("max_bytes", &mut options.max_bytes, 64 << 20), ("budget_bytes", &mut options.budget_bytes, 1 << 40)]
        {
            let given = number(section, key, most).and_then(|given| usize::try_from(given).ok());
            *bytes = given.unwrap_or(*bytes);
        }
        let given = number(section, "redeliveries", 1_000).and_then(|given| u32::try_from(given).ok());
        options.redeliveries = given.unwrap_or(options.redeliveries);
        if options.budget_bytes < options.max_bytes {
            let message = "has to be at least `max_bytes`: one answer of the longest kind has to fit";
            match section.number("budget_bytes") {
                Some(field) => field.fault(message),
                None => section.missing("budget_bytes", message),
            }
        }
        section.refuse_unknown();
        answers
    }
}

fn number(section: &Section<'_>, key: &'static str, most: u64) -> Option<u64> {
    let field = section.number(key)?;
    if field.value > most {
        field.fault(format!("is {}; {most} is the most", field.value));
        return None;
    }
    Some(field.value)
}
