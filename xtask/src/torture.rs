//! `cargo xtask torture`: money under crash and race, on the real binary. What it does is told in `tests/torture/`.

use std::process::{Command, ExitCode, Stdio};

use crate::tools::{Tools, root};

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A minute or two, within the test run.
    Short,
    /// What is to hold before a release: about half an hour.
    Whole,
}

/// `cargo xtask torture [--seed N]`.
pub(crate) fn run(seed: &str) -> ExitCode {
    if seed.parse::<u64>().is_err() {
        eprintln!("a seed is a whole number, not {seed:?}");
        return ExitCode::from(2);
    }
    let tools = Tools::install();
    if all(&tools, Extent::Whole, seed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Builds, and runs everything on both stores.
pub(crate) fn all(tools: &Tools, extent: Extent, seed: &str) -> bool {
    let mut build = Command::new("cargo");
    build.current_dir(root()).args([
        "build",
        "--quiet",
        "--package",
        "farthing-app",
        "--package",
        "farthing-torture",
        "--package",
        "farthing-torture-billing",
    ]);
    if !build.stdin(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return false;
    }
    let (rounds, kills, database_kills, calls) = match extent {
        Extent::Short => ("2", "15", "3", "180"),
        Extent::Whole => ("100", "200", "20", "1000"),
    };
    let mut all_ok = true;
    for store in [Store::Sqlite, Store::Postgres] {
        if store == Store::Postgres && !tools.postgres {
            println!("SKIPPED: two gateways on one PostgreSQL (there is none)");
            continue;
        }
        let mut kill = vec!["kills", "--seed", seed, "--times", kills];
        if store == Store::Postgres {
            kill.extend(["--database-times", database_kills]);
        }
        let runs =
            [vec!["copies", "--rounds", rounds, "--copies", "256"], kill, vec!["failures", "--calls", calls]];
        for run in runs {
            println!("{store:?}: {}", run.join(" "));
            all_ok &= torture(store, &run);
        }
    }
    all_ok & billing(tools, extent, seed)
}

/// `cargo xtask torture billing [--seed N]`: the billing service alone.
pub(crate) fn run_billing(seed: &str) -> ExitCode {
    if seed.parse::<u64>().is_err() {
        eprintln!("a seed is a whole number, not {seed:?}");
        return ExitCode::from(2);
    }
    let tools = Tools::install();
    let mut build = Command::new("cargo");
    build.current_dir(root()).args(["build", "--quiet", "--package", "farthing-app"]);
    build.args(["--package", "farthing-torture-billing"]);
    let built = build.stdin(Stdio::null()).status().is_ok_and(|status| status.success());
    if built && billing(&tools, Extent::Whole, seed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Kills and races the billing service on both stores: in processes of the torture, and `farthing billing serve` itself. It is
/// built already.
fn billing(tools: &Tools, extent: Extent, seed: &str) -> bool {
    let (kills, database_kills, rounds, settle_s) = match extent {
        Extent::Short => ("25", "2", "1", "0"),
        Extent::Whole => ("300", "20", "5", "240"),
    };
    let programs = root().join("target/debug");
    let farthing = programs.join("farthing").display().to_string();
    let mut all_ok = true;
    for store in [Store::Sqlite, Store::Postgres] {
        if store == Store::Postgres && !tools.postgres {
            println!("SKIPPED: billing by two processes on one PostgreSQL (there is none)");
            continue;
        }
        let mut kill = vec!["kills", "--seed", seed, "--times", kills];
        let mut service = vec!["service", "--binary", &farthing, "--seed", seed, "--times", kills];
        service.extend(["--settle-s", settle_s]);
        if store == Store::Postgres {
            kill.extend(["--database-times", database_kills]);
            service.extend(["--database-times", database_kills]);
        }
        for run in [kill, vec!["race", "--rounds", rounds], service] {
            println!("{store:?}: billing {}", run.join(" "));
            let mut command = Command::new(programs.join("farthing-torture-billing"));
            command.args(run);
            if store == Store::Postgres {
                command.arg("--postgres");
            }
            all_ok &= command.stdin(Stdio::null()).status().is_ok_and(|status| status.success());
        }
    }
    all_ok
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Sqlite,
    Postgres,
}

fn torture(store: Store, args: &[&str]) -> bool {
    let programs = root().join("target/debug");
    let mut command = Command::new(programs.join("farthing-torture"));
    command.arg("--binary").arg(programs.join("farthing")).args(args);
    if store == Store::Postgres {
        command.arg("--postgres");
    }
    command.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
}
