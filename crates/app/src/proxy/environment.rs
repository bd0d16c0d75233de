//! [`Environment`]: what a program needs to know to use the proxy: where it is, and the files with the certificates that it is to
//! trust. Written as lines for a shell, as JSON, or given to a program that is started.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::ca::CaFiles;
use super::token::{ProxyToken, USER};

/// Read by most programs; curl reads `http_proxy` in small letters only.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"];
/// Programs that read one file instead of the machine's certificates: OpenSSL and what is built on it, requests, curl.
const BUNDLES: [&str; 3] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
/// Node adds to its own certificates.
const MORE: &str = "NODE_EXTRA_CA_CERTS";
/// Newer versions of Node use the proxy variables when this is set.
const NODE_USES_IT: &str = "NODE_USE_ENV_PROXY";

/// How a program says the token, if the proxy wants one.
#[derive(Debug, Clone)]
pub enum Say {
    /// There is none.
    Nothing,
    /// It is in this file.
    File(PathBuf),
    /// It is this one.
    Token(ProxyToken),
}

/// What a program needs to know.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Where the proxy listens.
    pub listen: SocketAddr,
    /// The files with certificates.
    pub files: CaFiles,
    /// The token.
    pub say: Say,
}

impl Environment {
    /// The proxy's URL, without a token.
    pub fn url(&self) -> String {
        format!("http://{}", self.reached())
    }

    /// Every address of a machine is reached at its own.
    fn reached(&self) -> SocketAddr {
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.listen.port())
    }

    /// Lines for a POSIX shell. A token in a file is read by the shell, and not shown.
    pub fn lines(&self) -> Vec<String> {
        let proxy = match &self.say {
            Say::File(path) => {
                let file = quoted(&path.display().to_string());
                format!("\"http://{USER}:$(cat {file})@{}\"", self.reached())
            }
            _ => self.url(),
        };
        let mut lines: Vec<String> = PROXIES.iter().map(|name| format!("export {name}={proxy}")).collect();
        let files = self.certificates().into_iter();
        lines.extend(files.map(|(name, value)| format!("export {name}={}", quoted(&value))));
        lines
    }

    /// For programs, without a token.
    pub fn json(&self) -> Value {
        let proxies = PROXIES.iter().map(|name| ((*name).to_owned(), Value::from(self.url())));
        let files =
            self.certificates().into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
        Value::Object(proxies.chain(files).collect::<Map<_, _>>())
    }

    /// For a program that is started, with its token.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let url = match &self.say {
            Say::Token(token) => format!("http://{USER}:{}@{}", token.reveal(), self.reached()),
            _ => self.url(),
        };
        let mut pairs: Vec<_> = PROXIES.iter().map(|name| (*name, url.clone())).collect();
        pairs.extend(self.certificates());
        pairs
    }

    fn certificates(&self) -> Vec<(&'static str, String)> {
        let bundle = self.files.bundle().display().to_string();
        let mut all: Vec<_> = BUNDLES.iter().map(|name| (*name, bundle.clone())).collect();
        all.push((MORE, self.files.certificate().display().to_string()));
        all.push((NODE_USES_IT, "1".to_owned()));
        all
    }
}

/// As one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:@+".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        for (text, expected) in
            [("/a/b.pem", "/a/b.pem"), ("/a b", "'/a b'"), ("it's", r"'it'\''s'"), ("", "''")]
        {
            assert_eq!(quoted(text), expected);
        }
    }
}
