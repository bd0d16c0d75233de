//! Which payments are meant: `--host`, `--since`, `--state`, `--open`.

use farthing_client::journal::{PaymentRecord, PaymentState};
use farthing_client::policy::HostPattern;
use farthing_client::{FileJournal, PaymentJournal};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::Clock;
use url::Url;

use crate::clock::SystemClock;
use crate::config::value;
use crate::error::CliError;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct FilterArgs {
    /// Only payments that are not over: their outcome is not known, or the call is still to be served
    #[arg(long)]
    open: bool,
    /// Only at this host, such as api.example.com or '*.example.com'
    #[arg(long, value_name = "HOST", value_parser = host)]
    host: Option<HostPattern>,
    /// Only those that began since then: 24h, 7d, 2026-01-31, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Since>,
    /// Only in this state; may be given several times: intended, sending, made, sent, unknown, refused, paid, served, not_paid,
    /// forfeited, charged
    #[arg(long, value_name = "STATE", value_parser = state, hide_possible_values = true)]
    state: Vec<PaymentState>,
}

/// An instant, or a time ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    At(UnixMs),
    Ago(u64),
}

impl FilterArgs {
    /// Both; the second goes before the first where there can be only one.
    pub fn and(self, more: Self) -> Self {
        let mut state = self.state;
        state.extend(more.state);
        Self {
            open: self.open || more.open,
            host: more.host.or(self.host),
            since: more.since.or(self.since),
            state,
        }
    }

    /// Whether anything is left out.
    pub fn is_given(&self) -> bool {
        self.open || self.host.is_some() || self.since.is_some() || !self.state.is_empty()
    }

    /// The payments that are meant, in the order in which they began.
    ///
    /// # Errors
    /// A journal that cannot be read.
    pub fn select(&self, journal: &FileJournal) -> Result<Vec<PaymentRecord>, CliError> {
        let mut records = journal.payments().map_err(|error| CliError::from(&error))?;
        let now = SystemClock.now();
        records.retain(|record| self.means(record, now));
        Ok(records)
    }

    fn means(&self, record: &PaymentRecord, now: UnixMs) -> bool {
        let at_host =
            |pattern: &HostPattern| Url::parse(&record.target.url).is_ok_and(|url| pattern.names(&url));
        let since = |since: &Since| match since {
            Since::At(at) => record.began >= *at,
            Since::Ago(ms) => record.began.as_ms() >= now.as_ms().saturating_sub(*ms),
        };
        (!self.open || !record.state.is_final())
            && self.host.as_ref().is_none_or(at_host)
            && self.since.as_ref().is_none_or(since)
            && (self.state.is_empty() || self.state.contains(&record.state))
    }
}

fn host(text: &str) -> Result<HostPattern, String> {
    HostPattern::parse(text).map_err(|error| error.to_string())
}

fn state(text: &str) -> Result<PaymentState, String> {
    PaymentState::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| {
        let names: Vec<&str> = PaymentState::ALL.iter().map(|state| state.name()).collect();
        format!("it is not a state; there are: {}", names.join(", "))
    })
}

fn since(text: &str) -> Result<Since, String> {
    let wrong = || "write how long ago, such as 24h or 7d, or a date: 2026-01-31".to_owned();
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        return days.checked_mul(24 * 3_600_000).map(Since::Ago).ok_or_else(wrong);
    }
    if let Ok(ago) = value::duration(text) {
        return u64::try_from(ago.as_millis()).map(Since::Ago).map_err(|_| wrong());
    }
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    UnixMs::parse(&full).map(Since::At).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Since, since, state};
    use farthing_client::journal::PaymentState;

    #[test]
    fn instants_and_states_are_read() {
        let cases = [
            ("24h", Some(86_400_000)),
            ("7d", Some(604_800_000)),
            ("5m", Some(300_000)),
            ("d", None),
            ("", None),
            ("2026-13-01", None),
            ("99999999999999999999d", None),
        ];
        for (text, expected) in cases {
            let got = since(text).ok().map(|since| match since {
                Since::Ago(ms) => ms,
                Since::At(at) => at.as_ms(),
            });
            assert_eq!(got, expected, "{text}");
        }
        assert_eq!(since("2026-01-31").unwrap(), since("2026-01-31T00:00:00Z").unwrap());
        for known in PaymentState::ALL {
            assert_eq!(state(known.name()).unwrap(), known);
        }
        assert!(state("gone").unwrap_err().contains("not_paid"));
    }
}
