//! Developer tasks. `cargo xtask test` installs what the tests need and runs everything that there is.
//!
//! Nothing is cached outside the repository: npm packages go to `tests/interop/js/node_modules`, Python packages and
//! reports to `target/`. What cannot run on this machine is skipped loudly, by name, and listed again at the end.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod bench;
mod steps;
mod tools;
mod torture;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test            install what the tests need, then run everything
cargo xtask test --only S   run only the steps whose name contains S
cargo xtask tools           only install what the tests need
cargo xtask bench [ARGS]    measure the gateway against its peers; --quick, --only PART, --help for more
cargo xtask torture [--seed N]  kill and race the gateways for half an hour, and count the money
cargo xtask torture billing [--seed N]  kill and race the billing service, and prove its books
cargo xtask interop-page    write docs/interop.md from the last test run
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => steps::run(None),
        ["test", "--only", name] => steps::run(Some(name)),
        ["tools"] => {
            tools::Tools::install();
            ExitCode::SUCCESS
        }
        ["bench", args @ ..] => bench::run(args),
        ["torture"] => torture::run("1"),
        ["torture", "--seed", seed] => torture::run(seed),
        ["torture", "billing"] => torture::run_billing("1"),
        ["torture", "billing", "--seed", seed] => torture::run_billing(seed),
        ["interop-page"] => steps::interop_page(),
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
