//! The house rules that a compiler does not check: which crate may import which, how lean the embeddable ones stay, and
//! that no lock file names a download address.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Every arrow that DESIGN allows, directly from crate to crate.
const ARROWS: &[(&str, &[&str])] = &[
    ("farthing-money", &[]),
    ("farthing-protocol", &["farthing-money"]),
    ("farthing-ledger", &["farthing-money"]),
    ("farthing-billing", &["farthing-ledger", "farthing-money"]),
    ("farthing-rails", &["farthing-money", "farthing-protocol"]),
    ("farthing-store", &["farthing-ledger", "farthing-money", "farthing-protocol"]),
    ("farthing-gate", &["farthing-money", "farthing-protocol"]),
    ("farthing-client", &["farthing-money", "farthing-protocol"]),
    ("farthing-sandbox", &[]),
    ("farthing-api", &["farthing-billing", "farthing-ledger", "farthing-money"]),
    ("farthing-funding", &["farthing-billing", "farthing-ledger", "farthing-money", "farthing-rails"]),
    (
        "farthing-app",
        &[
            "farthing-api",
            "farthing-billing",
            "farthing-client",
            "farthing-funding",
            "farthing-gate",
            "farthing-ledger",
            "farthing-money",
            "farthing-protocol",
            "farthing-rails",
            "farthing-sandbox",
            "farthing-store",
        ],
    ),
    (
        "farthing-bench",
        &[
            "farthing-billing",
            "farthing-gate",
            "farthing-ledger",
            "farthing-money",
            "farthing-protocol",
            "farthing-rails",
            "farthing-store",
        ],
    ),
    ("farthing-peer", &[]),
    (
        "farthing-torture-billing",
        &["farthing-billing", "farthing-ledger", "farthing-money", "farthing-store"],
    ),
    ("farthing-torture", &["farthing-money", "farthing-protocol", "farthing-rails", "farthing-store"]),
    ("xtask", &[]),
];

/// The crates that embedders build, and the most packages that each may pull in. ADR 0003 has the reasons.
const LEAN: &[(&str, usize)] = &[
    ("farthing-money", 10),
    ("farthing-ledger", 30),
    ("farthing-billing", 45),
    ("farthing-protocol", 60),
    ("farthing-gate", 120),
    ("farthing-client", 150),
];

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).other_options(["--locked".to_owned()]).exec().unwrap()
}

#[test]
fn crates_import_only_what_the_design_allows() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(name, arrows)| (*name, arrows.iter().copied().collect())).collect();
    let metadata = metadata();
    let members: BTreeSet<String> =
        metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    let known: BTreeSet<String> = allowed.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(members, known, "a crate that ARROWS does not list, or lists and is gone");
    for package in metadata.workspace_packages() {
        let allowed = &allowed[package.name.as_str()];
        let ours = |d: &&cargo_metadata::Dependency| {
            members.contains(&d.name) && d.kind != DependencyKind::Development
        };
        for dependency in package.dependencies.iter().filter(ours) {
            assert!(
                allowed.contains(dependency.name.as_str()),
                "{} imports {}, which ARCHITECTURE.md does not allow",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn embeddable_crates_stay_lean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (name, most) in LEAN {
        // As an embedder builds it: its own features, this platform, nothing for tests.
        let output = Command::new(env!("CARGO"))
            .current_dir(root)
            .args(["tree", "--locked", "--package", name, "--edges", "normal", "--prefix", "none"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let packages: BTreeSet<&str> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        println!("{name}: {} packages of at most {most}", packages.len());
        assert!(packages.len() <= *most, "{name} pulls in {} packages, more than {most}", packages.len());
    }
}

/// What `cargo deny check licenses bans` would say, for machines without it: `deny.toml` stays the one list.
#[test]
fn licences_and_bans_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let deny = std::fs::read_to_string(root.join("deny.toml")).unwrap();
    let quoted = |from: &str| -> BTreeSet<String> {
        let list = deny.split_once(from).unwrap().1.split_once("\n]").unwrap().0;
        list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let (allowed, banned) = (quoted("\nallow = ["), quoted("\ndeny = ["));
    assert!(allowed.contains("MIT") && banned.contains("openssl"), "deny.toml is read as it is written");
    for package in metadata().packages {
        let name = package.name.as_str();
        assert!(!banned.contains(name), "{name} is banned by deny.toml");
        let licence = package.license.clone().unwrap_or_default().replace('/', " OR ");
        let term = |term: &str| allowed.contains(term.trim_matches([' ', '(', ')']));
        let holds = licence.split(" OR ").any(|all| all.split(" AND ").all(term));
        assert!(holds, "{name} has the licence `{licence}`, which deny.toml does not allow");
    }
}

#[test]
fn lock_files_name_no_download_address() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let npm = std::fs::read_to_string(root.join("tests/interop/js/package-lock.json")).unwrap();
    assert!(!npm.contains("\"resolved\""), "package-lock.json names download addresses");
    let pypi = std::fs::read_to_string(root.join("tests/interop/py/requirements.txt")).unwrap();
    assert!(!pypi.contains("://"), "requirements.txt names a download address");
    assert!(pypi.contains("--hash=sha256:"), "requirements.txt pins no hashes");
}
