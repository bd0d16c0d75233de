//! A PostgreSQL server for tests: found on this machine, started in a directory of its own, gone when the tests are.
//!
//! It syncs to the disk, as a real one does. Each process of tests has one ([`Cluster::shared`]), which a shell of its own watches:
//! it ends the server as soon as the process is gone, however it went. It is not for production, and lets everybody in who reaches
//! its address on this machine.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take to start, recovery after a crash included.
const START: Duration = Duration::from_secs(180);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ClusterError(String);

/// A server that runs.
#[derive(Debug)]
pub struct Cluster {
    bin: PathBuf,
    home: tempfile::TempDir,
    user: Option<User>,
    port: u16,
    watcher: Mutex<Option<Child>>,
    databases: AtomicU32,
}

/// How a base backup is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// Started as it is, as if the machine had crashed.
    AsItIs,
    /// As PostgreSQL recommends: with `recovery.signal`, which begins another timeline.
    ByRecovery,
}

/// Whose processes the server's are: it refuses to run as root.
#[derive(Debug, Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

/// Ends the server when nobody holds the other end of its input any more, and forgets its files then. Told more than once, because
/// a server that has only begun does not listen to signals yet.
const WATCH: &str = r#"
"$1" -D "$2" >>"$3" 2>&1 &
server=$!
echo $server >"$4/server.pid"
read -r word
[ "$word" = keep ] && exit
times=0
while [ $times -lt 20 ]; do kill -QUIT $server 2>/dev/null; sleep 0.1; times=$((times + 1)); done
wait $server
rm -rf "$4"
"#;

impl Cluster {
    /// The programs: from `FARTHING_POSTGRES_BIN`, where Debian puts them (the newest), or on the path.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "a test kit: it learns from the environment where the programs are"
    )]
    pub fn find() -> Option<PathBuf> {
        let has_it = |bin: &PathBuf| bin.join("initdb").exists() && bin.join("postgres").exists();
        if let Some(bin) = std::env::var_os("FARTHING_POSTGRES_BIN").filter(|bin| !bin.is_empty()) {
            return Some(PathBuf::from(bin)).filter(has_it);
        }
        let version = |bin: &PathBuf| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
        let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = debian.map(|entry| entry.path().join("bin")).filter(has_it).max_by_key(version);
        newest.or_else(|| {
            std::env::var_os("PATH").and_then(|path| std::env::split_paths(&path).find(|dir| has_it(dir)))
        })
    }

    /// The server of this process of tests, started when it is first asked for; none where this machine has no PostgreSQL, which
    /// is said on standard error by the test's name.
    ///
    /// # Panics
    /// When there are programs and they do not start.
    #[allow(clippy::print_stderr, reason = "a test that does not run says so")]
    pub fn shared(test: &str) -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            Self::find().map(|bin| Self::start(&bin).expect("PostgreSQL is installed, so it starts"))
        });
        if shared.is_none() {
            eprintln!("SKIPPED {test}: no PostgreSQL here; install it, or set FARTHING_POSTGRES_BIN");
        }
        shared.as_ref()
    }

    /// A new server with the programs in `bin`.
    ///
    /// # Errors
    /// [`ClusterError`] with what the programs said.
    pub fn start(bin: &Path) -> Result<Self, ClusterError> {
        let cluster = Self::unmade(bin)?;
        let data = cluster.data();
        let data = data.to_str().unwrap_or_default();
        // A collation that is none of bytes, where the server can have one: nothing may rest on it.
        let plain = ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"];
        let icu = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"];
        if cluster.run("initdb", &[&plain[..], &icu].concat()).is_err() {
            std::fs::remove_dir_all(data).ok();
            cluster.run("initdb", &[&plain[..], &["--locale=C.UTF-8"]].concat())?;
        }
        cluster.settle()?;
        Ok(cluster)
    }

    /// A directory and a port for a server.
    fn unmade(bin: &Path) -> Result<Self, ClusterError> {
        let io = |error: std::io::Error| ClusterError(error.to_string());
        let cluster = Self {
            bin: bin.to_owned(),
            port: free_port().map_err(io)?,
            home: home().map_err(io)?,
            user: other_than_root()?,
            watcher: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        if let Some(User { uid, gid }) = cluster.user {
            std::os::unix::fs::chown(cluster.home.path(), Some(uid), Some(gid)).map_err(io)?;
        }
        Ok(cluster)
    }

    /// Gives the server its place, and starts it.
    fn settle(&self) -> Result<(), ClusterError> {
        self.set(&format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nfsync = on\n\
             shared_buffers = 64MB\nmax_connections = 100\nlog_min_messages = warning\n",
            self.port,
            self.home.path().display()
        ))?;
        self.resume()
    }

    /// Adds settings to the server's, for its next start.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn set(&self, settings: &str) -> Result<(), ClusterError> {
        let path = self.data().join("postgresql.conf");
        let file = std::fs::OpenOptions::new().append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(settings.as_bytes()));
        written.map_err(|error| ClusterError(error.to_string()))
    }

    /// Another server, from a base backup of this one.
    ///
    /// # Errors
    /// [`ClusterError`] with what the programs said.
    pub fn from_base_backup(&self, restored: Restored) -> Result<Self, ClusterError> {
        let io = |error: std::io::Error| ClusterError(error.to_string());
        let cluster = Self::unmade(&self.bin)?;
        let (data, from) = (cluster.data(), self.url("postgres"));
        let data = data.to_str().unwrap_or_default();
        self.run("pg_basebackup", &["-d", &from, "-D", data, "-X", "stream", "-c", "fast", "--no-sync"])?;
        if restored == Restored::ByRecovery {
            std::fs::write(cluster.data().join("recovery.signal"), "").map_err(io)?;
        }
        cluster.set("restore_command = '/bin/false'\n")?;
        cluster.settle()?;
        // It answers before it has recovered.
        while cluster.sql("postgres", "SELECT pg_is_in_recovery()") == "t" {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(cluster)
    }

    /// Starts the server again after [`Self::kill`] or [`Self::stop_now`]; it recovers by itself.
    ///
    /// # Errors
    /// [`ClusterError`] with what its log says, after a minute.
    pub fn resume(&self) -> Result<(), ClusterError> {
        let begun = Instant::now();
        loop {
            // While processes of the one before are still there, it refuses to start.
            std::fs::remove_file(self.pid_file()).ok();
            let mut watcher = self.watch()?;
            while begun.elapsed() < START {
                if self.run("pg_isready", &["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]).is_ok() {
                    *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
                    return Ok(());
                }
                if self.server().is_some_and(|pid| !is_alive(pid)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let_go(&mut watcher);
            if begun.elapsed() >= START {
                self.server().into_iter().for_each(|pid| signal(pid, "-QUIT"));
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(12).collect();
                return Err(ClusterError(format!("the server does not start: {tail:?}")));
            }
        }
    }

    fn watch(&self) -> Result<Child, ClusterError> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(WATCH).arg("watch").arg(self.bin.join("postgres"));
        command.arg(self.data()).arg(self.log()).arg(self.home.path());
        self.as_user(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(|error| ClusterError(error.to_string()))
    }

    /// Kills the server with `SIGKILL`, as the kernel would when memory is short.
    pub fn kill(&self) {
        let Some(pid) = self.server() else { return };
        self.release_watcher();
        signal(pid, "-KILL");
        wait_until_gone(pid);
    }

    /// Stops the server at once, without a checkpoint: the next start recovers.
    pub fn stop_now(&self) {
        let Some(pid) = self.server() else { return };
        self.release_watcher();
        signal(pid, "-QUIT");
        wait_until_gone(pid);
    }

    /// Ends the shell that watches, and leaves the server to us.
    fn release_watcher(&self) {
        if let Some(mut watcher) = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let_go(&mut watcher);
        }
    }

    /// A new and empty database, and its URL.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// A copy of a database that nobody is connected to, and its URL.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn copy_of(&self, database: &str) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {database}"));
        self.url(&name)
    }

    /// The URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL in a database as its superuser, and returns what it printed, without headers and alignment.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let url = self.url(database);
        let output = self.run("psql", &["-AtXq", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", sql]);
        output.unwrap_or_else(|error| panic!("{sql}: {error}")).trim_end().to_owned()
    }

    /// Runs one of PostgreSQL's programs, and returns what it printed.
    ///
    /// # Errors
    /// [`ClusterError`] with what it said.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String, ClusterError> {
        let mut command = Command::new(self.bin.join(program));
        command.args(args).stdin(Stdio::null()).current_dir(self.home.path());
        self.as_user(&mut command);
        let Output { status, stdout, stderr } =
            command.output().map_err(|error| ClusterError(format!("{program}: {error}")))?;
        if !status.success() {
            return Err(ClusterError(format!("{program}: {}", String::from_utf8_lossy(&stderr))));
        }
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// Gives a file to the server's user, for itself alone.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn own(&self, path: &str) -> Result<(), ClusterError> {
        use std::os::unix::fs::PermissionsExt as _;
        let owner = self.user.map(|user| (Some(user.uid), Some(user.gid))).unwrap_or_default();
        std::os::unix::fs::chown(path, owner.0, owner.1)
            .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)))
            .map_err(|error| ClusterError(error.to_string()))
    }

    /// Where the server's data are.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A directory that the server's user may write in.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn as_user(&self, command: &mut Command) {
        use std::os::unix::process::CommandExt as _;
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        // Its own settings, not those of whoever runs the tests.
        for name in
            ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGOPTIONS", "PGSERVICE"]
        {
            command.env_remove(name);
        }
    }

    fn pid_file(&self) -> PathBuf {
        self.home.path().join("server.pid")
    }

    /// The process that was started last, once it is known.
    fn server(&self) -> Option<u32> {
        std::fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_now();
    }
}

/// Below the build's directory, where the server's user may go there; in the system's otherwise.
fn home() -> std::io::Result<tempfile::TempDir> {
    let below = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/postgres");
    // What is left of earlier ones: their users could empty them, and not remove them.
    for old in std::fs::read_dir(&below).into_iter().flatten().flatten() {
        let age =
            old.metadata().and_then(|meta| meta.modified()).map(|made| made.elapsed().unwrap_or_default());
        // A young one may be that of a server that is just being made.
        if age.is_ok_and(|age| age > Duration::from_secs(600)) {
            std::fs::remove_dir(old.path()).ok();
        }
    }
    let wanted = std::fs::create_dir_all(&below).and_then(|()| below.canonicalize());
    // A socket's name has 107 bytes at most.
    match wanted.ok().filter(|path| path.as_os_str().len() < 60 && everybody_may_enter(path)) {
        Some(path) => tempfile::Builder::new().prefix("c").tempdir_in(path),
        None => tempfile::Builder::new().prefix("farthing-pg").tempdir(),
    }
}

fn everybody_may_enter(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let may =
        |path: &Path| std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o005 == 0o005);
    path.ancestors().all(may)
}

/// The user that the server runs as, where we are root.
fn other_than_root() -> Result<Option<User>, ClusterError> {
    use std::os::unix::fs::MetadataExt as _;
    let own = std::fs::metadata("/proc/self").map_err(|error| ClusterError(error.to_string()))?.uid();
    if own != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").map_err(|error| ClusterError(error.to_string()))?;
    let user = |name: &str| {
        let fields: Vec<&str> =
            users.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').collect();
        Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    };
    let found = user("postgres").or_else(|| user("nobody"));
    found.map(Some).ok_or_else(|| ClusterError("there is no user that the server could run as".into()))
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Tells the shell that watches to end and to leave everything as it is.
fn let_go(watcher: &mut Child) {
    if let Some(mut stdin) = watcher.stdin.take() {
        stdin.write_all(b"keep\n").ok();
    }
    watcher.wait().ok();
}

fn signal(pid: u32, signal: &str) {
    Command::new("kill").args([signal, &pid.to_string()]).stderr(Stdio::null()).status().ok();
}

fn is_alive(pid: u32) -> bool {
    // One that has ended and that nobody has asked about yet is gone too.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

fn wait_until_gone(pid: u32) {
    let begun = Instant::now();
    while is_alive(pid) && begun.elapsed() < START {
        std::thread::sleep(Duration::from_millis(2));
    }
}
