//! `farthing proxy`: a forward proxy on this machine that pays for any program, until it is told to stop or the program that it
//! runs has ended.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use tokio::net::TcpListener;

use super::charge::ChargeArgs;
use super::network::NetworkArgs;
use super::password::PasswordArgs;
use super::request::args::{DEFAULT_MAX_SPEND, Mode, PayingArgs};
use super::stop::Stop;
use crate::clock::SystemClock;
use crate::config::env;
use crate::config::secret::read_secret;
use crate::error::{CliError, Exit};
use crate::output::{Output, paint, style};
use crate::proxy::ca::{self, Authority, CaError, CaFiles};
use crate::proxy::environment::{Environment, Say};
use crate::proxy::guard::{Guard, LinkLocal};
use crate::proxy::leaf::Leaves;
use crate::proxy::origins::Origins;
use crate::proxy::report::Report;
use crate::proxy::token::ProxyToken;
use crate::proxy::upstream::{Trust, Upstream, transport};
use crate::proxy::{Others, Proxy, body_memory, listener};
use crate::wire::buyer::{self, Unlock};
use crate::wire::policy;

mod accompany;

/// Where it listens unless it is said otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8403);

#[derive(Debug, clap::Args)]
#[command(after_long_help = include_str!("../help/proxy.txt"))]
#[command(
    after_help = "Pays at named hosts only, 0.10 in all unless more is allowed. More, and examples: --help"
)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    place: WhereArgs,
    #[command(flatten)]
    run: Box<RunArgs>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print only the lines to paste, or to eval, in a shell
    Env,
    /// Print the certificate's file, its fingerprint and its hosts
    Ca,
}

#[derive(Debug, clap::Args)]
struct WhereArgs {
    /// Where to listen; 127.0.0.1:8403, or a free port of this machine for a PROGRAM
    #[arg(long, value_name = "ADDRESS", global = true)]
    listen: Option<SocketAddr>,
    /// A file with a token of 16 characters or more, which programs have to say
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Listen on an address that other machines reach; needs --token-file
    #[arg(long, requires = "token_file")]
    allow_remote: bool,
    /// Refuse every host that is not paid, instead of letting it through untouched
    #[arg(long)]
    strict: bool,
    /// Connect to link-local addresses too, where clouds keep the secrets of their machines
    #[arg(long)]
    allow_link_local: bool,
    /// Trust the certificates in this file too, for servers with certificates of their own making
    #[arg(long, value_name = "FILE")]
    server_ca: Option<PathBuf>,
    /// The longest request body that can be paid for; a longer one goes through once, unpaid
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20, value_parser = clap::value_parser!(u32).range(1..))]
    max_body_bytes: u32,
    /// The most connections at once
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    max_connections: u16,
    #[command(flatten)]
    paying: ProxyPayingArgs,
    /// Run this program, with its arguments, behind the proxy, and end as it ends
    #[arg(last = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Paying")]
struct ProxyPayingArgs {
    /// The most that this proxy may spend in all, such as 0.50, or "0.50 PathUSD" for one token only
    #[arg(long, value_name = "AMOUNT")]
    max_spend: Option<String>,
    /// The policy file; policy.toml in Farthing's directory otherwise, where there is one
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The wallet on this machine whose key pays; needed when there are several and none is called default
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Pay from the prepaid balance that this file describes, where a seller takes it
    #[arg(long, value_name = "FILE")]
    balance: Option<PathBuf>,
    #[command(flatten)]
    charge: ChargeArgs,
    #[command(flatten)]
    network: NetworkArgs,
    /// How to pay where the seller leaves the choice
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Look into the traffic of these hosts and pay there, such as '*.example.com'; those of the policy file otherwise
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Pay these accounts only
    #[arg(long, value_name = "ADDRESS", value_parser = crate::config::value::address)]
    allow_recipient: Vec<alloy_primitives::Address>,
    /// Pay for this realm although the URL names another host
    #[arg(long, value_name = "REALM")]
    allow_realm: Vec<String>,
    /// Pay without TLS to other machines too: whoever reads the traffic can use the payment first
    #[arg(long)]
    allow_plaintext: bool,
    #[command(flatten)]
    password: PasswordArgs,
}

impl From<ProxyPayingArgs> for PayingArgs {
    fn from(args: ProxyPayingArgs) -> Self {
        Self {
            max_spend: args.max_spend,
            policy: args.policy,
            max_wait: None,
            no_idempotency_key: false,
            dry_run: false,
            payment: None,
            key: args.key,
            balance: args.balance,
            charge: args.charge,
            network: args.network,
            mode: args.mode,
            allow_host: args.allow_host,
            allow_recipient: args.allow_recipient,
            allow_realm: args.allow_realm,
            allow_plaintext: args.allow_plaintext,
            password: args.password,
        }
    }
}

impl From<CaError> for CliError {
    fn from(error: CaError) -> Self {
        let cli = Self::usage(error.code(), error.to_string());
        match error {
            CaError::Exposed { path } => cli.help(format!(
                "whoever has it can pass for any host towards programs that use the proxy: remove {} and start again; \
                 a new one is made",
                path.display()
            )),
            CaError::Damaged { path, .. } => {
                cli.help(format!("remove {} and start again; a new one is made", path.display()))
            }
            _ => cli,
        }
    }
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    match args.action {
        Some(Action::Env) => print_environment(&args.place, output),
        Some(Action::Ca) => print_authority(output),
        None => serve(*args.run, args.place, output).await,
    }
}

/// The lines to paste. The files that they name are made where there are none.
fn print_environment(place: &WhereArgs, output: Output) -> Result<Exit, CliError> {
    let listen = place.listen.unwrap_or(LISTEN);
    if listen.port() == 0 {
        return Err(CliError::usage("listen", "port 0 is any free port, and nobody knows which one yet")
            .help("name the port that the proxy listens on"));
    }
    let files = files()?;
    let authority = Authority::open(&files, &BTreeSet::new(), now())?;
    if !files.bundle().exists() {
        ca::write_bundle(&files, &authority, &machine_certificates(output))?;
    }
    let say = place.token_file.clone().map_or(Say::Nothing, Say::File);
    let environment = Environment { listen, files, say };
    if output.is_json() {
        output.json(&json!({ "url": environment.url(), "env": environment.json() }))?;
    } else {
        environment.lines().into_iter().try_for_each(|line| output.line(line))?;
    }
    Ok(Exit::Ok)
}

fn print_authority(output: Output) -> Result<Exit, CliError> {
    let files = files()?;
    let authority = Authority::open(&files, &BTreeSet::new(), now())?;
    let certificate = files.certificate();
    if output.is_json() {
        output.json(&json!({
            "certificate": certificate, "sha256": authority.fingerprint(),
            "hosts": authority.hosts(), "ends_ms": authority.ends().as_ms(),
        }))?;
        return Ok(Exit::Ok);
    }
    output.line(certificate.display())?;
    output.line(format_args!("SHA-256 {}", authority.fingerprint()))?;
    let hosts: Vec<&str> = authority.hosts().iter().map(String::as_str).collect();
    let hosts = if hosts.is_empty() { "no host yet".to_owned() } else { hosts.join(", ") };
    output.line(format_args!("good for {hosts}"))?;
    Ok(Exit::Ok)
}

fn files() -> Result<CaFiles, CliError> {
    Ok(CaFiles::below(&env::home()?))
}

fn now() -> farthing_protocol::UnixMs {
    farthing_protocol::ports::Clock::now(&SystemClock)
}

/// The certificates that this machine trusts.
fn machine_certificates(output: Output) -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        output.warn("this machine has no trusted certificates that could be read: programs behind the proxy reach no other site");
    }
    found.certs
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CliError> {
    let text = std::fs::read(path).map_err(|error| CliError::file("read", path, &error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(CliError::usage("server_ca", format!("{} holds no certificates in PEM", path.display()))),
    }
}

/// A proxy that is about to listen.
struct Ready {
    proxy: Arc<Proxy>,
    environment: Environment,
    listener: TcpListener,
    hosts: BTreeSet<String>,
    /// What it spends at most, for people.
    spends: String,
}

/// The hosts to pay at, and what limits the payments, for people.
fn terms(paying: &ProxyPayingArgs) -> Result<(BTreeSet<String>, String), CliError> {
    let loaded = policy::load(paying.policy.as_deref())?;
    let mut hosts: BTreeSet<String> = paying.allow_host.iter().cloned().collect();
    if let Some(loaded) = loaded.as_ref().filter(|_| hosts.is_empty()) {
        // `*` allows every host and names none.
        hosts.extend(loaded.file.facts.allow.iter().filter(|host| *host != "*").cloned());
        hosts.extend(loaded.approvals.hosts()?);
    }
    if hosts.is_empty() {
        return Err(CliError::usage("proxy_no_hosts", "it is not said at which hosts to pay")
            .help("name each with --allow-host api.example.com; only their traffic is looked into"));
    }
    let mut spends: Vec<String> =
        loaded.iter().map(|loaded| format!("what {} allows", loaded.file.path.display())).collect();
    let usual = loaded.is_none().then_some(DEFAULT_MAX_SPEND);
    spends.extend(paying.max_spend.as_deref().or(usual).map(|most| format!("{most} in all")));
    Ok((hosts, spends.join(" and ")))
}

async fn serve(args: RunArgs, place: WhereArgs, output: Output) -> Result<Exit, CliError> {
    super::log::start_at(output, "error");
    let (command, connections) = (args.command.clone(), usize::from(args.max_connections));
    let strict = args.strict;
    let ready = prepare(args, place, output).await?;
    if let Some((program, rest)) = command.split_first() {
        return accompany::accompany(ready, connections, program, rest).await;
    }
    let stop = Stop::listen()?;
    announce(&ready, strict, output)?;
    let stop = async move {
        stop.asked().await;
        output.note("stopping; calls in flight may finish");
    };
    let served = listener::run(ready.listener, ready.proxy, connections, stop).await;
    served.map_err(|error| CliError::unexpected("listen", format!("the listener broke: {error}")))?;
    Ok(Exit::Ok)
}

async fn prepare(args: RunArgs, place: WhereArgs, output: Output) -> Result<Ready, CliError> {
    let (hosts, spends) = terms(&args.paying)?;
    let token = token(&args, &place)?;
    let listener = listen(&args, &place).await?;
    let address = listener.local_addr().map_err(|error| CliError::unexpected("listen", error.to_string()))?;
    let trust = Trust {
        machine: machine_certificates(output),
        more: args.server_ca.as_deref().map(read_certificates).transpose()?.unwrap_or_default(),
    };
    let files = files()?;
    let leaves = Leaves::open(files.clone(), hosts.clone(), Arc::new(SystemClock))?;
    let bundled: Vec<_> = trust.machine.iter().chain(&trust.more).cloned().collect();
    ca::write_bundle(&files, &leaves.authority(), &bundled)?;
    let link_local = if args.allow_link_local { LinkLocal::Allow } else { LinkLocal::Refuse };
    let guard = Guard::new(address, link_local);
    let say = match (&place.token_file, &token) {
        (Some(path), _) if args.command.is_empty() => Say::File(path.clone()),
        (_, Some(token)) => Say::Token(token.clone()),
        (_, None) => Say::Nothing,
    };
    let max_body_bytes = usize::try_from(args.max_body_bytes).unwrap_or(usize::MAX);
    let others = if args.strict { Others::Refuse } else { Others::Pass };
    let builder = buyer::builder(&args.paying.into(), Unlock::Now).await?;
    let http_failed = |error: String| CliError::unexpected("http_client", error);
    let agent =
        builder.http(|_| transport(guard, &trust)).build().map_err(|error| http_failed(error.to_string()))?;
    let origins = Origins::new(&hosts, agent.policy().clone())?;
    let upstream = Upstream::new(agent, guard, &trust).map_err(|error| http_failed(error.to_string()))?;
    let proxy = Proxy {
        judge: Box::new(move |url| origins.judge(url)),
        others,
        guard,
        leaves,
        upstream,
        token,
        max_body_bytes,
        body_memory: body_memory(max_body_bytes),
        report: Report::new(output),
    };
    let environment = Environment { listen: address, files, say };
    Ok(Ready { proxy: Arc::new(proxy), environment, listener, hosts, spends })
}

/// The token of the file; a random one for a program that is run: others on this machine could spend through it.
fn token(args: &RunArgs, place: &WhereArgs) -> Result<Option<ProxyToken>, CliError> {
    let Some(path) = &place.token_file else {
        return Ok((!args.command.is_empty()).then(ProxyToken::random));
    };
    let text = read_secret(path).map_err(|error| CliError::file("read the token file", path, &error))?;
    let token = ProxyToken::parse(&text).ok_or_else(|| {
        CliError::usage(
            "proxy_bad_token",
            format!(
                "{} holds no token: {} to 256 letters, digits, `-`, `_`, `.` and `~`",
                path.display(),
                ProxyToken::MIN_CHARS
            ),
        )
        .help("make one with: openssl rand -hex 16")
    })?;
    Ok(Some(token))
}

async fn listen(args: &RunArgs, place: &WhereArgs) -> Result<TcpListener, CliError> {
    let any_port = SocketAddr::new(LISTEN.ip(), 0);
    let usual = if args.command.is_empty() { LISTEN } else { any_port };
    let listen = place.listen.unwrap_or(usual);
    if !listen.ip().is_loopback() && !args.allow_remote {
        return Err(CliError::usage(
            "proxy_remote",
            format!("other machines reach {listen}, and whoever reaches a proxy can spend through it"),
        )
        .help("listen on 127.0.0.1; or add --allow-remote and --token-file FILE"));
    }
    TcpListener::bind(listen).await.map_err(|error| {
        let why = crate::error::plain_io(&error);
        CliError::usage("listen", format!("cannot listen on {listen}: {why}"))
            .help("choose another with --listen, or stop what listens there")
    })
}

fn announce(ready: &Ready, strict: bool, output: Output) -> Result<(), CliError> {
    let Ready { environment, hosts, proxy, spends, .. } = ready;
    let authority = proxy.leaves.authority();
    if output.is_json() {
        return output.json(&json!({
            "ready": true, "url": environment.url(), "env": environment.json(), "hosts": hosts, "strict": strict,
            "ca": { "certificate": environment.files.certificate(), "sha256": authority.fingerprint() },
        }));
    }
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    output.line(format_args!(
        "{}  pays at {}, at most {}; {}",
        paint(style::TITLE, "Farthing proxy"),
        names.join(", "),
        paint(style::MONEY, spends),
        if strict { "everything else is refused" } else { "everything else goes through untouched" }
    ))?;
    output.line("In the shell that programs are run from:")?;
    environment.lines().into_iter().try_for_each(|line| output.line(format_args!("  {line}")))?;
    output.line(format_args!("{} {}", paint(style::GOOD, "Ready"), environment.url()))
}
