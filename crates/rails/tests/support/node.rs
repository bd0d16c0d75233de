//! Nodes to test against: a real Tempo EVM (`anvil --network tempo`, path in `FARTHING_ANVIL`), and the sandbox.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use farthing_sandbox::{RunningSandbox, Sandbox, SandboxConfig};

/// A running node. It stops when dropped.
pub struct Node {
    pub url: String,
    pub chain_id: u64,
    _process: Process,
}

#[expect(dead_code, reason = "held for their Drop")]
enum Process {
    Anvil(Anvil),
    Sandbox(RunningSandbox),
}

struct Anvil(Child);

impl Drop for Anvil {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The sandbox of this workspace.
pub async fn sandbox() -> Option<Node> {
    let sandbox = Sandbox::start(SandboxConfig::default(), || super::now().as_ms()).await.unwrap();
    Some(Node { url: sandbox.url(), chain_id: sandbox.chain_id(), _process: Process::Sandbox(sandbox) })
}

/// A Tempo EVM of the Foundry project; `None`, and a loud word, where the environment names none.
#[allow(clippy::disallowed_methods, reason = "a test is the outermost ring")]
pub async fn anvil() -> Option<Node> {
    let Ok(path) = std::env::var("FARTHING_ANVIL") else {
        // Not `eprintln!`: the test runner swallows that of tests that pass.
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        let mut stderr = std::io::stderr();
        writeln!(stderr, "SKIPPED {name}: set FARTHING_ANVIL to an anvil that knows --network tempo").ok();
        return None;
    };
    let chain_id: u64 = 1337;
    let seconds = (super::now().as_ms() / 1000).to_string();
    let mut process = Command::new(path)
        .args(["--network", "tempo", "--hardfork", "T4", "--chain-id", &chain_id.to_string()])
        .args(["--timestamp", &seconds, "--block-time", "1", "--port", "0", "--host", "127.0.0.1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let address = lines
        .find_map(|line| line.unwrap().strip_prefix("Listening on ").map(str::to_owned))
        .expect("anvil says where it listens");
    // Its log must be drained, or it stops when the pipe is full.
    std::thread::spawn(move || lines.for_each(drop));
    Some(Node { url: format!("http://{address}"), chain_id, _process: Process::Anvil(Anvil(process)) })
}
