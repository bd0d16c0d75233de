//! The steps of `cargo xtask test`, in order; every one runs even when an earlier one failed, so that one run tells all.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::tools::{Tools, root};
use crate::torture;

const FUZZ_SECONDS_EACH: u32 = 8;
const FUZZ_FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions";

struct Step {
    name: &'static str,
    run: fn(&Tools) -> bool,
}

const STEPS: &[Step] = &[
    Step { name: "format", run: |tools| cargo(tools, &["fmt", "--all", "--check"]) },
    Step {
        name: "lint",
        run: |tools| {
            cargo(tools, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
        },
    },
    Step { name: "build", run: |tools| cargo(tools, &["build", "--workspace", "--bins", "--quiet"]) },
    Step { name: "tests", run: |tools| cargo(tools, &["test", "--workspace", "--no-fail-fast"]) },
    Step { name: "torture", run: |tools| torture::all(tools, torture::Extent::Short, "1") },
    Step { name: "documentation", run: documentation },
    Step { name: "fuzz", run: fuzz },
    Step { name: "demo", run: |tools| cargo(tools, &["run", "--release", "--quiet", "--", "demo"]) },
];

/// Runs every step, or those whose name contains `only`.
pub(crate) fn run(only: Option<&str>) -> ExitCode {
    let tools = Tools::install();
    let mut failed = Vec::new();
    let mut passed = 0_usize;
    for step in STEPS.iter().filter(|step| only.is_none_or(|only| step.name.contains(only))) {
        println!("\n==> {}", step.name);
        let started = Instant::now();
        let ok = (step.run)(&tools);
        println!(
            "<== {}: {} in {} s",
            step.name,
            if ok { "ok" } else { "FAILED" },
            started.elapsed().as_secs()
        );
        if ok { passed += 1 } else { failed.push(step.name) }
    }
    println!();
    for missing in &tools.missing {
        println!("SKIPPED for want of {missing}");
    }
    for name in &failed {
        println!("FAILED {name}");
    }
    println!("steps: {passed} passed, {} failed, {} skipped", failed.len(), tools.missing.len());
    if failed.is_empty() && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Copies the page that the interop test wrote into `docs/`.
pub(crate) fn interop_page() -> ExitCode {
    let (from, to) = (root().join("target/interop.md"), root().join("docs/interop.md"));
    match std::fs::copy(&from, &to) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}; run `cargo xtask test` first", from.display());
            ExitCode::FAILURE
        }
    }
}

fn cargo(tools: &Tools, args: &[&str]) -> bool {
    let mut command = Command::new("cargo");
    command.current_dir(root()).args(args).stdin(Stdio::null());
    for (name, path) in tools.env() {
        command.env(name, path);
    }
    command.status().is_ok_and(|status| status.success())
}

fn documentation(_: &Tools) -> bool {
    let mut command = Command::new("cargo");
    command.current_dir(root()).args([
        "doc",
        "--workspace",
        "--no-deps",
        "--quiet",
        "--exclude",
        "farthing-peer",
    ]);
    command.env("RUSTDOCFLAGS", "-D warnings").stdin(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Builds the fuzz targets with coverage feedback on the stable compiler and runs each for a bounded time.
fn fuzz(_: &Tools) -> bool {
    let folder = root().join("fuzz");
    let Ok(entries) = std::fs::read_dir(folder.join("targets")) else { return false };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    let target = "x86_64-unknown-linux-gnu";
    let mut build = Command::new("cargo");
    build.current_dir(&folder).args(["build", "--release", "--quiet", "--bins", "--target", target]);
    if !build.env("RUSTFLAGS", FUZZ_FLAGS).stdin(Stdio::null()).status().is_ok_and(|status| status.success())
    {
        return false;
    }
    let mut all_ok = !names.is_empty();
    for name in names {
        let binary = folder.join("target").join(target).join("release").join(&name);
        let corpus = folder.join("corpus").join(&name);
        let found = root().join("target/fuzz-corpus").join(&name);
        all_ok &= std::fs::create_dir_all(&found).is_ok();
        let mut command = Command::new(binary);
        command.current_dir(root().join("target")).arg(&found).arg(&corpus);
        command.arg(format!("-max_total_time={FUZZ_SECONDS_EACH}"));
        command.args([
            "-max_len=70000",
            "-timeout=5",
            "-rss_limit_mb=1024",
            "-verbosity=0",
            "-print_final_stats=1",
        ]);
        let output = command.stdin(Stdio::null()).output();
        let ok = output.as_ref().is_ok_and(|output| output.status.success());
        if ok {
            println!("fuzz {name}: ok");
        } else {
            println!("fuzz {name}: FAILED");
            eprintln!(
                "{}",
                output.map_or_else(|error| error.to_string(), |o| String::from_utf8_lossy(&o.stderr).into())
            );
        }
        all_ok &= ok;
    }
    all_ok
}
