//! The peers: programs that we did not write. One that is not there is skipped by name.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use super::Bench;
use crate::Failure;
use crate::process::{SERVER_CPU, Server};

/// What the `mpp` crate and mppx are told to sell: what the gateway's `/paid` sells.
fn shop() -> String {
    serde_json::json!({
        "rpcUrl": "http://127.0.0.1:9", "chainId": 42431, "secretKey": "Z".repeat(32), "realm": "api.example.com",
        "recipient": "0x742d35cc6634c0532925a3b844bc9e7595f8fe00",
        "currency": "0x20c0000000000000000000000000000000000000",
        "amount": "10000", "expiresSeconds": 300, "maxSeconds": 7200,
    })
    .to_string()
}

/// The `mpp` crate behind its own axum extractor.
pub(super) fn mpp(bench: &Bench<'_>) -> Result<Option<Server>, Failure> {
    let Some(peer) = &bench.args.peer else { return Ok(None) };
    let mut command = Command::new(peer);
    command.arg("server").arg(shop());
    Server::start(&command, SERVER_CPU).map(Some)
}

/// mppx on node.
pub(super) fn mppx(bench: &Bench<'_>) -> Result<Option<Server>, Failure> {
    let Some(folder) = &bench.args.js else { return Ok(None) };
    let mut command = Command::new("node");
    command.current_dir(folder).arg("server.mjs").arg(shop());
    Server::start(&command, SERVER_CPU).map(Some)
}

/// nginx with one worker, in front of the same upstream.
pub(super) fn nginx(bench: &Bench<'_>) -> Result<Option<Server>, Failure> {
    let there = Command::new("nginx").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let address = free_address()?;
    let folder = bench.folder.path().join("nginx");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("nginx.conf");
    let upstream = bench.upstream.address;
    std::fs::write(&file, configuration(address, upstream, &folder.display().to_string()))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&folder).arg("-c").arg(&file).args(["-e", "stderr"]);
    Server::start_at(&command, SERVER_CPU, address).map(Some)
}

fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// As fast as nginx is known to proxy: no log, connections kept open on both sides, nothing written to disk. It says to the
/// upstream what the gateway says.
fn configuration(address: SocketAddr, upstream: SocketAddr, folder: &str) -> String {
    format!(
        r#"daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    upstream behind {{
        server {upstream};
        keepalive 128;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {address} backlog=4096;
        location / {{
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host {upstream};
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header Forwarded "for=$remote_addr;host=\"$host\";proto=https";
            proxy_request_buffering off;
        }}
    }}
}}
"#
    )
}
