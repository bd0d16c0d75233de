//! schemathesis (PyPI) makes up requests from the document, right and wrong ones, and judges the answers. It was written by others.

use std::path::Path;

use farthing_api::Settings;

use crate::harness::Server;

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_methods, reason = "where the tests' tools are")]
async fn schemathesis_finds_nothing() {
    let Some(python) = std::env::var_os("FARTHING_SCHEMATHESIS_PYTHON") else {
        println!("SKIPPED: schemathesis is not there (cargo xtask test installs it)");
        return;
    };
    let settings = Settings { rate: 1_000_000, burst: 1_000_000, ..Settings::default() };
    let server = Server::start_with(settings).await;
    let key = server.admin().await;
    crate::resources::everything(&server, &key).await;
    let config =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/schemathesis/schemathesis.toml");
    // It writes down what it found, where it stands.
    let desk = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(python);
    command.current_dir(desk.path());
    command.args(["-m", "schemathesis.cli", "--config-file"]).arg(config);
    command.arg("run").arg(format!("{}/v1/openapi.json", server.url));
    command.args(["--header", &format!("Authorization: Bearer {key}")]);
    // A stream has no end; it has tests of its own.
    command.args(["--exclude-path-regex", "/stream$", "--seed", "1", "--max-examples", "10"]);
    command.args(["--request-timeout", "10", "--no-color", "--phases", "examples,coverage,fuzzing"]);
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    println!(
        "{}",
        text.lines().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    );
}
