//! What the tests need from npm, PyPI and Debian: found, or installed inside the repository and pinned by lock files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the tools are; `None` for what this machine cannot have.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    /// Folder with `node_modules`, for the JavaScript peers.
    pub(crate) js: Option<PathBuf>,
    /// The Tempo-capable anvil binary.
    pub(crate) anvil: Option<PathBuf>,
    /// The Python of the virtual environment with pympp.
    pub(crate) python: Option<PathBuf>,
    /// The Python of the virtual environment with schemathesis.
    pub(crate) schemathesis: Option<PathBuf>,
    /// Whether there is a PostgreSQL server to start.
    pub(crate) postgres: bool,
    /// What is missing, and which tests that skips.
    pub(crate) missing: Vec<String>,
}

impl Tools {
    /// Finds or installs everything.
    pub(crate) fn install() -> Self {
        let mut tools = Self::default();
        tools.debian(&[("node", "nodejs"), ("npm", "npm"), ("python3", "python3-venv"), ("c++", "g++")]);
        tools.postgres();
        tools.npm();
        tools.pypi();
        tools.schemathesis();
        tools
    }

    /// Finds or installs what the benchmark compares with.
    pub(crate) fn for_bench() -> Self {
        let mut tools = Self::default();
        tools.debian(&[("nginx", "nginx"), ("taskset", "util-linux"), ("node", "nodejs"), ("npm", "npm")]);
        tools.npm();
        tools
    }

    /// Environment variables that tell the tests where things are.
    pub(crate) fn env(&self) -> Vec<(&'static str, &Path)> {
        let pairs = [
            ("FARTHING_INTEROP_JS", &self.js),
            ("FARTHING_ANVIL", &self.anvil),
            ("FARTHING_INTEROP_PYTHON", &self.python),
            ("FARTHING_SCHEMATHESIS_PYTHON", &self.schemathesis),
        ];
        pairs.into_iter().filter_map(|(name, path)| path.as_deref().map(|path| (name, path))).collect()
    }

    /// Programs, and the packages that have them.
    fn debian(&mut self, wanted: &[(&str, &str)]) {
        let mut packages: Vec<&str> =
            wanted.iter().filter(|(bin, _)| !on_path(bin)).map(|(_, package)| *package).collect();
        if !has_postgres() {
            packages.push("postgresql");
        }
        if packages.is_empty() {
            return;
        }
        println!("installing from Debian: {}", packages.join(" "));
        let installed = ran(Command::new("apt-get").arg("update"))
            && ran(Command::new("apt-get")
                .args(["install", "-y", "--no-install-recommends"])
                .args(&packages));
        if !installed {
            self.missing.push(format!("Debian packages {} (not root, or no apt-get)", packages.join(", ")));
        }
        if !has_postgres() {
            self.missing
                .push("PostgreSQL: tests of the store on a real server, each of which says so".into());
        }
    }

    /// The server's programs are where Debian keeps them, beside those of other versions, and not on the path.
    fn postgres(&mut self) {
        let there = || {
            let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
            on_path("initdb") || debian.into_iter().any(|version| version.path().join("bin/initdb").exists())
        };
        if !there() {
            self.debian(&[("initdb", "postgresql")]);
        }
        self.postgres = there();
        if !self.postgres {
            self.missing.push("PostgreSQL: everything on a shared store".into());
        }
    }

    fn npm(&mut self) {
        let folder = root().join("tests/interop/js");
        let anvil = folder.join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
        let stamp = folder.join("node_modules/.package-lock.json");
        let fresh = is_newer(&stamp, &folder.join("package-lock.json"));
        let mut ci = Command::new("npm");
        ci.current_dir(&folder).args([
            "ci",
            "--legacy-peer-deps",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ]);
        if on_path("npm") && (fresh || ran(&mut ci)) {
            self.js = Some(folder);
            if anvil.exists() {
                self.anvil = Some(anvil);
            } else {
                self.missing.push("anvil (no binary for this platform): tests on a real Tempo chain".into());
            }
        } else {
            self.missing.push("npm packages: mppx interop, the mppx differential test, and anvil".into());
        }
    }

    fn pypi(&mut self) {
        let requirements = root().join("tests/interop/py/requirements.txt");
        let venv = root().join("target/venv");
        let python = venv.join("bin/python");
        let stamp = venv.join("installed");
        let fresh = is_newer(&stamp, &requirements);
        let created = fresh || ran(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--require-hashes", "-r"]).arg(&requirements);
        if created && (fresh || (ran(&mut pip) && std::fs::write(&stamp, "").is_ok())) {
            self.python = Some(python);
        } else {
            self.missing.push("Python packages: pympp interop".into());
        }
    }

    /// What judges the billing API, in an environment of its own.
    fn schemathesis(&mut self) {
        let requirements = root().join("tests/interop/schemathesis/requirements.txt");
        let venv = root().join("target/venv-schemathesis");
        let (python, stamp) = (venv.join("bin/python"), venv.join("installed"));
        let fresh = is_newer(&stamp, &requirements);
        let created = fresh || ran(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "-r"]).arg(&requirements);
        if created && (fresh || (ran(&mut pip) && std::fs::write(&stamp, "").is_ok())) {
            self.schemathesis = Some(python);
        } else {
            self.missing.push("schemathesis: requests made up from the document of the billing API".into());
        }
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Whether the programs of PostgreSQL are where the tests look for them; the tests start servers of their own.
#[allow(clippy::disallowed_methods, reason = "where a developer has put it")]
fn has_postgres() -> bool {
    let named = std::env::var_os("FARTHING_POSTGRES_BIN").filter(|bin| !bin.is_empty());
    if let Some(bin) = named {
        return Path::new(&bin).join("initdb").exists();
    }
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    on_path("initdb") || debian.into_iter().any(|version| version.path().join("bin/initdb").exists())
}

fn on_path(program: &str) -> bool {
    // nginx knows the short form alone.
    ["--version", "-v"].iter().any(|ask| {
        let mut command = Command::new(program);
        command.arg(ask).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

fn ran(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn is_newer(stamp: &Path, than: &Path) -> bool {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    matches!((modified(stamp), modified(than)), (Some(stamp), Some(than)) if stamp >= than)
}
