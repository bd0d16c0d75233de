//! What the demo shows: calls as they happen, and the books at the end.

use anstyle::Style;
use farthing_money::Amount;

use super::books::{Books, Change, Role};
use super::script::{Outcome, STEPS};
use super::world::{MAX_PER_CALL, MAX_TOTAL, World};
use crate::config::value::USD_SCALE;
use crate::error::CliError;
use crate::output::{Align, Output, Table, paint, short, style};

/// Who takes part, and where they are.
pub fn introduction(world: &World, output: Output) -> Result<(), CliError> {
    output.line(paint(
        style::TITLE,
        "Farthing: a seller and a buyer, on this machine. The money is play money.",
    ))?;
    output.line("")?;
    let mut table = Table::default();
    let mut row = |name: &str, place: String, what: String| {
        table.row([
            (name.to_owned(), style::TITLE, Align::Left),
            (place, Style::new(), Align::Left),
            (what, style::DIM, Align::Left),
        ]);
    };
    row(
        "chain",
        world.sandbox.url(),
        format!("a sandbox, chain {}: a model of Tempo", world.sandbox.chain_id()),
    );
    row("API", format!("http://{}", world.upstream.address), "knows nothing of payments".into());
    row(
        "gateway",
        format!("http://{}", world.gateway),
        "before it: asks for payment, remembers every one in SQLite".into(),
    );
    row(
        "agent",
        short(&world.accounts.agent.to_string()),
        format!("may pay {MAX_PER_CALL} a call and {MAX_TOTAL} in all"),
    );
    lines(&table, output)?;
    output.line("")?;
    output.line(paint(style::DIM, header()))
}

const TITLE_WIDTH: usize = 29;

fn header() -> String {
    format!(
        "  {:>2}  {:<TITLE_WIDTH$}  {:<5}  {:>6}  {:<13}  {:>7}",
        "", "call", "how", "paid", "receipt", ""
    )
}

/// One call.
pub fn call(number: usize, outcome: &Outcome, output: Output) -> Result<(), CliError> {
    let price = outcome.price().unwrap_or_else(|| "-".to_owned());
    let receipt = outcome.reference().map_or_else(|| "-".to_owned(), short);
    let (mark, colour) = match &outcome.refusal {
        Some(_) => ("\u{2717}", style::WARN),
        None => ("\u{2713}", style::GOOD),
    };
    let took = format!("{} ms", outcome.took_ms);
    output.line(format_args!(
        "  {number:>2}  {:<TITLE_WIDTH$}  {}  {}  {}  {}  {} {}",
        outcome.step.title(),
        paint(style::DIM, format_args!("{:<5}", outcome.how())),
        paint(style::MONEY, format_args!("{price:>6}")),
        paint(style::DIM, format_args!("{receipt:<13}")),
        paint(style::DIM, format_args!("{took:>7}")),
        paint(colour, mark),
        outcome.step.remark,
    ))?;
    match &outcome.refusal {
        // What would allow it is a flag of another command.
        Some(why) => {
            let what = why.split(": ").next().unwrap_or(why);
            output.line(paint(style::DIM, format_args!("      {what}")))
        }
        None => Ok(()),
    }
}

/// The line that a spinner shows while a call is made.
pub fn waiting(number: usize) -> String {
    format!("call {number} of {}", STEPS.len())
}

/// Everybody's balance, before and after.
pub fn books(books: &Books, output: Output) -> Result<(), CliError> {
    output.line("")?;
    let mut table = Table::default();
    let title = |text: &str, align| (text.to_owned(), style::DIM, align);
    table.row([
        title("PathUSD", Align::Left),
        title("before", Align::Right),
        title("after", Align::Right),
        title("change", Align::Right),
    ]);
    for line in &books.lines {
        // The network's account holds what others have paid it; only the change is of interest.
        let held = |amount: Amount| match line.role {
            Role::Network => String::new(),
            _ => fixed(amount),
        };
        let colour = if matches!(line.change, Change::Lost(_)) { style::WARN } else { style::GOOD };
        table.row([
            (line.role.name().to_owned(), Style::new(), Align::Left),
            (held(line.before), Style::new(), Align::Right),
            (held(line.after), Style::new(), Align::Right),
            (signed(line.change), colour, Align::Right),
        ]);
    }
    lines(&table, output)
}

/// The last line.
pub fn conclusion(books: &Books, outcomes: &[Outcome], took_ms: u64, output: Output) -> Result<(), CliError> {
    let paid = outcomes
        .iter()
        .filter(|o| o.payment.as_ref().is_some_and(|p| !p.quote.money.amount().is_zero()))
        .count();
    let prices = books.agreed.prices;
    output.line("")?;
    output.line(format_args!(
        "  {} {paid} paid calls for {} and {} in fees: what left every account arrived in another. {}",
        paint(style::GOOD, "The books add up."),
        paint(style::MONEY, fixed(prices)),
        paint(style::MONEY, fixed(books.fees())),
        paint(style::DIM, format_args!("({}.{} s)", took_ms / 1000, took_ms % 1000 / 100)),
    ))
}

/// All six decimals, so that columns line up.
fn fixed(amount: Amount) -> String {
    let text = amount.to_decimal(USD_SCALE);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}.{fraction:0<6}")
}

fn signed(change: Change) -> String {
    match change {
        Change::Gained(Amount::ZERO) => fixed(Amount::ZERO),
        Change::Gained(amount) => format!("+{}", fixed(amount)),
        Change::Lost(amount) => format!("-{}", fixed(amount)),
    }
}

fn lines(table: &Table, output: Output) -> Result<(), CliError> {
    table.lines().into_iter().try_for_each(|line| output.line(line))
}

#[cfg(test)]
mod tests {
    use super::{Amount, fixed};

    #[test]
    fn amounts_show_all_decimals() {
        let cases = [(0, "0.000000"), (1, "0.000001"), (1_500_000, "1.500000"), (2_000_000, "2.000000")];
        for (base, expected) in cases {
            assert_eq!(fixed(Amount::from_base(base)), expected);
        }
    }
}
