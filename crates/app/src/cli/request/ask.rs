//! Asking a person about a host that the policy file does not know: this time, always, or not at all.

use std::io::Write;

use async_trait::async_trait;
use farthing_client::{HostAnswer, HostConsent, HostQuestion};

use crate::config::approvals::Approvals;
use crate::output::{Output, can_ask, one_line, paint, style};

/// Asks on the terminal, and keeps `always` in the approvals beside the policy file.
#[derive(Debug)]
pub struct Ask {
    approvals: Approvals,
    output: Output,
}

impl Ask {
    /// Keeps what is always approved in `approvals`.
    pub const fn new(approvals: Approvals, output: Output) -> Self {
        Self { approvals, output }
    }
}

#[async_trait]
impl HostConsent for Ask {
    async fn ask(&self, question: &HostQuestion) -> HostAnswer {
        if !can_ask() {
            return HostAnswer::NobodyToAsk;
        }
        let text = words(question);
        let asking = tokio::task::spawn_blocking(move || read(&text));
        let answer = asking.await.unwrap_or(HostAnswer::No);
        if answer == HostAnswer::Always {
            match self.approvals.add(&question.host) {
                Ok(()) => self.output.note(format_args!(
                    "{} is approved from now on; {} says so",
                    one_line(&question.host),
                    self.approvals.path().display()
                )),
                // The answer is an answer all the same, this time.
                Err(error) => self.output.warn(format_args!("the answer could not be kept: {error}")),
            }
        }
        answer
    }
}

fn words(question: &HostQuestion) -> String {
    let quote = &question.quote;
    let mut words = format!(
        "{} is not known to the policy. It asks for {}, to {}, on {}.\n",
        paint(style::TITLE, one_line(&question.origin)),
        paint(style::MONEY, one_line(&quote.money.to_string())),
        one_line(&quote.recipient),
        super::dry_run::chain(&quote.network),
    );
    for share in &quote.shares {
        let amount = share.amount.to_decimal(quote.money.asset().scale());
        words.push_str(&format!("  {amount} of it goes to {}\n", one_line(&share.recipient)));
    }
    words.push_str("Pay? y: this time, a: always at this host, n: no [y/a/N] ");
    words
}

fn read(text: &str) -> HostAnswer {
    let ask = || -> std::io::Result<String> {
        let mut out = anstream::stderr().lock();
        write!(out, "{text}")?;
        out.flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        Ok(answer)
    };
    match ask().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => HostAnswer::Once,
        "a" | "always" => HostAnswer::Always,
        _ => HostAnswer::No,
    }
}
