//! `cargo xtask bench`: builds the benchmark and its peers as they are released, and runs it. What it measures is told in
//! `bench/` and in `docs/benchmarks.md`.

use std::process::{Command, ExitCode};

use crate::tools::{Tools, root};

/// Installs, builds and measures; `args` go to `farthing-bench run`.
pub(crate) fn run(args: &[&str]) -> ExitCode {
    let tools = Tools::for_bench();
    for missing in &tools.missing {
        eprintln!("SKIPPED for want of {missing}");
    }
    let packages = ["farthing-app", "farthing-bench", "farthing-peer"];
    let packages = packages.iter().flat_map(|package| ["--package", package]);
    let built =
        Command::new("cargo").current_dir(root()).args(["build", "--release"]).args(packages).status();
    if !built.is_ok_and(|status| status.success()) {
        return ExitCode::FAILURE;
    }
    let programs = root().join("target/release");
    let mut bench = Command::new(programs.join("farthing-bench"));
    bench.arg("run").arg("--peer").arg(programs.join("farthing-peer"));
    bench.arg("--program").arg(programs.join("farthing"));
    if let Some(js) = &tools.js {
        bench.arg("--js").arg(js);
    }
    match bench.args(args).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the benchmark did not start: {error}");
            ExitCode::FAILURE
        }
    }
}
