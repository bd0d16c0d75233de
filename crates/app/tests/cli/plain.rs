//! What is written for whom: no colours where nobody sees them, one JSON document for programs, pages and completions from the
//! one definition of the command line.

use std::process::Command;

use serde_json::Value;

use crate::network::Network;
use crate::server::Answer;
use crate::support::{Home, Run};

const ESCAPE: char = '\u{1b}';

/// Names and values.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// Runs `farthing --help` on a terminal, with these variables; what the terminal got.
fn on_a_terminal(args: &str, env: Variables<'_>) -> String {
    let home = Home::new();
    let command = format!("{} {args}", env!("CARGO_BIN_EXE_farthing"));
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).env_clear().env("FARTHING_HOME", home.path());
    script.env("TERM", "xterm-256color").envs(env.iter().copied());
    String::from_utf8_lossy(&script.output().unwrap().stdout).into_owned()
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let list = "payments nonsense";
    // Arguments, environment, whether there are colours on a terminal.
    let cases: &[(&str, Variables<'_>, bool)] = &[
        (list, &[], true),
        (list, &[("NO_COLOR", "1")], false),
        (list, &[("TERM", "dumb")], false),
        ("payments nonsense --color never", &[], false),
        ("--color=never payments nonsense", &[], false),
        ("payments nonsense --color always", &[("NO_COLOR", "1")], true),
        ("payments nonsense --color auto", &[("TERM", "dumb")], false),
        ("nonsense --color never", &[], false),
        ("nonsense", &[], true),
    ];
    for (args, env, coloured) in cases {
        let shown = on_a_terminal(args, env);
        assert!(shown.contains("error"), "{args}: {shown:?}");
        assert_eq!(shown.contains(ESCAPE), *coloured, "{args} {env:?}: {shown:?}");
    }
    let home = Home::new();
    for (args, coloured) in [
        (&["payments", "nonsense"][..], false),
        (&["payments", "nonsense", "--color", "always"], true),
        (&["--help"], false),
        (&["nonsense"], false),
        (&["nonsense", "--color=always"], true),
    ] {
        let run = home.run(args);
        let written = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(written.contains(ESCAPE), coloured, "no terminal: {args:?}: {written:?}");
    }
}

/// The one document of a run: the result on standard output, or the error on standard error, and nothing else anywhere.
#[track_caller]
fn one_document(run: &Run, args: &[&str]) -> Value {
    // A warning besides is an object as well.
    let is_warning = |line: &&str| line.starts_with("{\"warning\":");
    let stderr: String =
        run.stderr.lines().filter(|line| !is_warning(line)).map(|line| format!("{line}\n")).collect();
    let documents = [&run.stdout, &stderr];
    let written: Vec<&&String> = documents.iter().filter(|document| !document.is_empty()).collect();
    let [document] = written.as_slice() else { panic!("{args:?}: not one: {run:?}") };
    assert!(document.ends_with('\n') && document.lines().count() == 1, "{args:?}: {run:?}");
    let value: Value =
        serde_json::from_str(document).unwrap_or_else(|error| panic!("{args:?}: {error}: {run:?}"));
    assert_eq!(value.get("error").is_some(), run.stdout.is_empty(), "{args:?}: {run:?}");
    value
}

#[test]
fn every_command_writes_one_json_document() {
    let network = Network::new(|_| Answer::new(200, "good"));
    network.home.funded("agent", &network.sandbox);
    let _gateway = network.serve();
    let rpc = ["--rpc-url", network.sandbox.rpc()];
    let (paid, dear, config) = (network.url("/paid"), network.url("/dear"), network.config.as_str());
    let stranger = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    let pages = network.home.path().join("pages").display().to_string();
    let key = network.home.file("key", crate::network::SPONSOR_KEY);
    let chain =
        |args: &[&str]| -> Vec<String> { args.iter().chain(&rpc).map(|arg| (*arg).to_owned()).collect() };
    let plain = |args: &[&str]| -> Vec<String> { args.iter().map(|arg| (*arg).to_owned()).collect() };
    // Arguments, exit code.
    let cases: Vec<(Vec<String>, i32)> = vec![
        (chain(&["request", &paid]), 0),
        (chain(&["request", &paid, "--dry-run"]), 0),
        (chain(&["request", &dear]), 4),
        (chain(&["request", &dear, "--dry-run"]), 4),
        (plain(&["request", "http://127.0.0.1:1/"]), 3),
        (plain(&["request"]), 2),
        (plain(&["payments"]), 0),
        (plain(&["payments", "nonsense"]), 2),
        (plain(&["wallet", "new", "second"]), 0),
        (plain(&["wallet", "new", "second"]), 2),
        (plain(&["wallet", "import", "third", "--key-file", &key]), 0),
        (plain(&["wallet", "list"]), 0),
        (plain(&["wallet", "address", "agent"]), 0),
        (plain(&["wallet", "address", "nobody"]), 2),
        (chain(&["wallet", "balance", "agent"]), 0),
        (chain(&["wallet", "fund", "second"]), 0),
        (chain(&["wallet", "send", "0.01", stranger, "--from", "agent", "--token", "PathUSD", "--yes"]), 0),
        (plain(&["wallet", "export", "second", "--yes"]), 0),
        (plain(&["wallet", "export", "second", "--encrypted"]), 0),
        (plain(&["wallet", "remove", "second", "--yes"]), 0),
        (plain(&["wallet", "remove", "second", "--yes"]), 2),
        (plain(&["config", "example"]), 0),
        (plain(&["serve", "--init"]), 0),
        (plain(&["serve", "--config", config, "--check"]), 0),
        (plain(&["serve", "--config", "no/such.toml"]), 2),
        (plain(&["proxy", "env"]), 0),
        (plain(&["proxy", "ca"]), 0),
        (plain(&["proxy"]), 2),
        (plain(&["completions", "bash"]), 0),
        (plain(&["completions", "nonsense"]), 2),
        (plain(&["man"]), 0),
        (plain(&["man", "wallet", "new"]), 0),
        (plain(&["man", "nonsense"]), 2),
        (plain(&["man", "--dir", &pages]), 0),
        (plain(&["exit-codes"]), 0),
        (plain(&["nonsense"]), 2),
    ];
    for (args, exit) in cases {
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        args.extend(["--output", "json"]);
        let run = network.home.run(&args);
        assert_eq!(run.code, exit, "{args:?}: {run:?}");
        let document = one_document(&run, &args);
        // A dry run that is refused has a result: why.
        let is_error = exit != 0 && !args.contains(&"--dry-run");
        assert_eq!(document.get("error").is_some(), is_error, "{args:?}: {document}");
    }
}

#[test]
fn completions_are_there_for_five_shells() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = home.run(&["completions", shell]).ok().stdout;
        for word in ["proxy", "wallet", "max-spend", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = home.run(&["completions", "bash"]).ok().stdout;
    let asked = format!(
        "{script}\nCOMP_WORDS=(farthing pro); COMP_CWORD=1; _farthing farthing pro farthing; echo \"${{COMPREPLY[@]}}\""
    );
    let answer = Command::new("bash").args(["-c", &asked]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "proxy", "{answer:?}");
}

#[test]
fn every_command_has_a_man_page() {
    let home = Home::new();
    let pages = home.path().join("man/man1");
    home.run(&["man", "--dir", pages.to_str().unwrap()]).ok();
    let mut names: Vec<String> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    for page in [
        "farthing.1",
        "farthing-proxy.1",
        "farthing-proxy-ca.1",
        "farthing-wallet-new.1",
        "farthing-request.1",
    ] {
        assert!(names.iter().any(|name| name == page), "{page}: {names:?}");
    }
    for name in names {
        let text = std::fs::read_to_string(pages.join(&name)).unwrap();
        for section in [".TH ", ".SH NAME", ".SH SYNOPSIS"] {
            assert!(text.contains(section), "{name} lacks {section}");
        }
    }
    assert!(home.run(&["man", "proxy"]).ok().stdout.contains("\\-\\-allow\\-host"));
}
