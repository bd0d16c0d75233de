#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::sync::Arc;

use farthing_protocol::UnixMs;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{Address, KdfCost, KeyName, Keystore, SecretHex};

const PASSWORD: &str = "testpassword";
/// The key of both of the specification's vectors, and its address.
const KEY: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
const ADDRESS: &str = "0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b";

const SPEC_PBKDF2: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,
"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

const SPEC_SCRYPT: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},
"ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt","kdfparams":{"dklen":32,
"n":262144,"p":8,"r":1,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},
"mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

/// A cheap keystore in a directory that does not exist yet.
fn keystore() -> (TempDir, Keystore) {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(|| UnixMs::from_ms(1_769_688_000_000));
    let keystore = Keystore::new(directory.path().join("a/keys"), clock).with_cost(KdfCost::Light);
    (directory, keystore)
}

fn put(keystore: &Keystore, file: &str, json: &str) {
    fs::create_dir_all(keystore.directory()).unwrap();
    fs::write(keystore.directory().join(file), json).unwrap();
}

#[test]
fn the_specifications_vectors_are_read() {
    let (_directory, keystore) = keystore();
    for (file, json) in [("pbkdf2", SPEC_PBKDF2), ("scrypt", SPEC_SCRYPT)] {
        put(&keystore, file, json);
        // Old files spell it with a capital.
        put(&keystore, "capital", &json.replace("\"crypto\"", "\"Crypto\""));
        for file in [file, "capital"] {
            let key = keystore.unlock(&name(file), PASSWORD).unwrap();
            assert_eq!(hex::encode(*key), KEY, "{file}");
        }
        assert_eq!(keystore.address(&name(file)).unwrap_err().code(), "key_without_address");
        assert_eq!(keystore.unlock(&name(file), "testpasswore").unwrap_err().code(), "key_wrong_password");
    }
}

#[test]
fn what_is_written_is_read_by_another_implementation() {
    let (_directory, keystore) = keystore();
    keystore.import(&name("ours"), &SecretHex::parse(KEY).unwrap(), PASSWORD).unwrap();
    let theirs = eth_keystore::decrypt_key(keystore.directory().join("ours"), PASSWORD).unwrap();
    assert_eq!(hex::encode(theirs), KEY);
    let mut random = rand_08::rngs::OsRng;
    let (key, _) = eth_keystore::new(keystore.directory(), &mut random, PASSWORD, Some("theirs")).unwrap();
    assert_eq!(keystore.unlock(&name("theirs"), PASSWORD).unwrap().as_slice(), key);
}

#[test]
fn the_standard_cost_is_the_formats() {
    let (_directory, keystore) = keystore();
    let keystore = keystore.with_cost(KdfCost::default());
    keystore.create(&name("k"), PASSWORD).unwrap();
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(keystore.directory().join("k")).unwrap()).unwrap();
    let params = &json["crypto"]["kdfparams"];
    assert_eq!((&params["n"], &params["r"], &params["p"]), (&262_144.into(), &8.into(), &1.into()));
    assert_eq!((&json["version"], &json["crypto"]["cipher"]), (&3.into(), &"aes-128-ctr".into()));
    keystore.unlock(&name("k"), PASSWORD).unwrap();
}

#[test]
fn a_keys_life() {
    let (_directory, keystore) = keystore();
    assert!(keystore.list().unwrap().is_empty());
    assert_eq!(keystore.unlock(&name("k"), PASSWORD).unwrap_err().code(), "key_missing");
    let made = keystore.create(&name("k"), PASSWORD).unwrap();
    let imported = keystore.import(&name("a"), &KEY.parse().unwrap(), PASSWORD).unwrap();
    assert_eq!(imported.address.unwrap().to_string(), ADDRESS);
    assert_eq!(keystore.address(&name("a")).unwrap().to_string(), ADDRESS);
    let listed: Vec<_> = keystore.list().unwrap().into_iter().map(|listed| listed.info.unwrap()).collect();
    assert_eq!(listed, [imported, made.clone()]);
    assert_eq!(made.created, Some(UnixMs::from_ms(1_769_688_000_000)));
    let exported = keystore.export(&name("a"), PASSWORD).unwrap();
    assert_eq!(exported.reveal().as_str(), format!("0x{KEY}"));
    put(&keystore, "copy", &keystore.export_encrypted(&name("k")).unwrap());
    assert_eq!(
        keystore.unlock(&name("copy"), PASSWORD).unwrap(),
        keystore.unlock(&name("k"), PASSWORD).unwrap()
    );

    // Nothing is overwritten.
    let before = fs::read(keystore.directory().join("k")).unwrap();
    for result in [keystore.create(&name("k"), "x"), keystore.import(&name("k"), &KEY.parse().unwrap(), "x")]
    {
        assert_eq!(result.unwrap_err().code(), "key_exists");
    }
    assert_eq!(fs::read(keystore.directory().join("k")).unwrap(), before);
    keystore.remove(&name("k")).unwrap();
    for code in [
        keystore.remove(&name("k")).unwrap_err().code(),
        keystore.info(&name("k")).unwrap_err().code(),
        keystore.export_encrypted(&name("k")).unwrap_err().code(),
    ] {
        assert_eq!(code, "key_missing");
    }
    assert_eq!(keystore.create(&name("k"), "").unwrap_err().code(), "key_empty_password");
    let left = fs::read_dir(keystore.directory()).unwrap().count();
    assert_eq!(left, 2, "no temporary file is left");
}

#[cfg(unix)]
#[test]
fn files_and_directories_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, keystore) = keystore();
    keystore.create(&name("k"), PASSWORD).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(keystore.directory()), 0o700);
    assert_eq!(mode(&keystore.directory().join("k")), 0o600);
}

#[test]
fn of_many_that_create_one_name_one_wins() {
    let (_directory, keystore) = keystore();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| keystore.create(&name("k"), PASSWORD))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let won: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(won[0].address, Some(keystore.address(&name("k")).unwrap()));
    assert!(
        results.iter().filter_map(|result| result.as_ref().err()).all(|error| error.code() == "key_exists")
    );
    assert!(fs::read_dir(keystore.directory()).unwrap().count() == 1);
}

#[test]
fn names_are_never_paths() {
    for good in [
        "a",
        "A-1_b.json",
        "7",
        "UTC--2016-02-29T14-52-41.334222730Z--008aeeda4d805471df9b2a5b0f38a0c3bcba786b",
    ] {
        assert!(KeyName::new(good).is_ok(), "{good}");
    }
    let long = "a".repeat(129);
    for bad in [
        "", ".", "..", "../a", "a/b", "/a", "a\\b", ".hidden", "-a", "_a", "a ", "a\0", "a\n", "ä", "a.",
        "C:", "a:b", "~a", &long,
    ] {
        assert_eq!(KeyName::new(bad).unwrap_err().code(), "key_bad_name", "{bad:?}");
    }
}

#[test]
fn keys_are_read_or_refused_and_never_shown() {
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let largest = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140";
    for good in
        [KEY, &format!("0x{KEY}"), &format!("0X{}", KEY.to_uppercase()), &format!(" {KEY}\n"), largest]
    {
        let key = SecretHex::parse(good).unwrap();
        assert_eq!(format!("{key:?}"), "SecretHex(redacted)");
    }
    let zero = "0".repeat(64);
    for bad in ["", "0x", &KEY[1..], &format!("{KEY}0"), &KEY.replace('7', "g"), &zero, order] {
        let error = SecretHex::parse(bad).unwrap_err();
        assert_eq!(error.code(), "key_malformed", "{bad}");
        assert!(bad.len() < 10 || !error.to_string().contains(bad));
    }
}

#[test]
fn addresses_have_their_checksum() {
    // EIP-55's own examples.
    for shown in [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ] {
        assert_eq!(Address::from_hex(&shown.to_lowercase()).unwrap().to_string(), shown);
    }
    let mut one = [0; 32];
    one[31] = 1;
    assert_eq!(Address::of_key(&one).unwrap().to_string(), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
}

#[test]
fn damaged_files_are_told_apart_and_never_panic() {
    let (_directory, keystore) = keystore();
    keystore.import(&name("k"), &KEY.parse().unwrap(), PASSWORD).unwrap();
    let whole = keystore.export_encrypted(&name("k")).unwrap();
    let other = Address::from_hex(&"11".repeat(20)).unwrap().to_plain_hex();
    let edit = |path: &[&str], value: serde_json::Value| {
        let mut json: serde_json::Value = serde_json::from_str(&whole).unwrap();
        let mut at = &mut json;
        for key in path {
            at = &mut at[*key];
        }
        *at = value;
        json.to_string()
    };
    let params = |key: &str, value: serde_json::Value| edit(&["crypto", "kdfparams", key], value);
    let cases = [
        (String::new(), "key_damaged"),
        ("{}".into(), "key_damaged"),
        (whole[..whole.len() / 2].into(), "key_damaged"),
        (" ".repeat(70_000), "key_damaged"),
        (edit(&["version"], 1.into()), "key_unsupported"),
        (edit(&["version"], "3".into()), "key_damaged"),
        (edit(&["address"], "nonsense".into()), "key_damaged"),
        // Another address, for money to be sent to.
        (edit(&["address"], other.into()), "key_damaged"),
        (edit(&["crypto", "cipher"], "aes-256-gcm".into()), "key_unsupported"),
        (edit(&["crypto", "cipherparams", "iv"], "00".into()), "key_damaged"),
        (edit(&["crypto", "ciphertext"], "zz".into()), "key_damaged"),
        (edit(&["crypto", "ciphertext"], "00".repeat(31).into()), "key_damaged"),
        (edit(&["crypto", "ciphertext"], "00".repeat(32).into()), "key_wrong_password"),
        (edit(&["crypto", "mac"], "".into()), "key_damaged"),
        (edit(&["crypto", "mac"], "00".repeat(32).into()), "key_wrong_password"),
        (edit(&["crypto", "kdf"], "argon2".into()), "key_unsupported"),
        (edit(&["crypto", "kdf"], "pbkdf2".into()), "key_damaged"),
        (params("salt", "x".into()), "key_damaged"),
        (params("dklen", 16.into()), "key_unsupported"),
        (params("dklen", 64.into()), "key_unsupported"),
        (params("n", 0.into()), "key_unsupported"),
        (params("n", 1.into()), "key_unsupported"),
        (params("n", 8191.into()), "key_unsupported"),
        (params("n", u64::MAX.into()), "key_unsupported"),
        (params("n", (1_u64 << 40).into()), "key_unsupported"),
        (params("r", 0.into()), "key_unsupported"),
        (params("r", u32::MAX.into()), "key_unsupported"),
        (params("p", 0.into()), "key_unsupported"),
        (params("p", u32::MAX.into()), "key_unsupported"),
    ];
    for (nth, (json, expected)) in cases.into_iter().enumerate() {
        put(&keystore, "damaged", &json);
        let error = keystore.unlock(&name("damaged"), PASSWORD).unwrap_err();
        assert_eq!(error.code(), expected, "case {nth}: {error}");
    }
    // One bad file hides no other.
    let listed = keystore.list().unwrap();
    let told: Vec<_> = listed.iter().map(|listed| (listed.name.as_str(), listed.info.is_ok())).collect();
    assert_eq!(told, [("damaged", true), ("k", true)]);
    put(&keystore, "damaged", "{");
    assert!(keystore.list().unwrap()[0].info.is_err());
    assert!(keystore.list().unwrap()[1].info.is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_key_and_password_come_back(key in any::<[u8; 32]>(), password in "\\PC{1,40}") {
        prop_assume!(Address::of_key(&key).is_ok());
        let (_directory, keystore) = keystore();
        let secret = SecretHex::parse(&hex::encode(key)).unwrap();
        let info = keystore.import(&name("k"), &secret, &password).unwrap();
        prop_assert_eq!(*keystore.unlock(&name("k"), &password).unwrap(), key);
        prop_assert_eq!(info.address.unwrap(), Address::of_key(&key).unwrap());
        let file = fs::read_to_string(keystore.directory().join("k")).unwrap();
        prop_assert!(!file.contains(&hex::encode(key)));
        let wrong = format!("{password}x");
        prop_assert_eq!(keystore.unlock(&name("k"), &wrong).unwrap_err().code(), "key_wrong_password");
    }

    #[test]
    fn no_edit_of_a_file_panics(at in 0_usize..500, byte in any::<u8>()) {
        let (_directory, keystore) = keystore();
        // The parameters are cheap, so that most edits are too.
        let mut bytes = SPEC_SCRYPT.replace("262144", "2").replace("\"p\":8", "\"p\":1").into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        fs::create_dir_all(keystore.directory()).unwrap();
        fs::write(keystore.directory().join("k"), &bytes).unwrap();
        prop_assert!(keystore.unlock(&name("k"), PASSWORD).is_err());
    }

    #[test]
    fn names_that_are_taken_stay_in_the_directory(text in "\\PC{0,20}") {
        if let Ok(name) = KeyName::new(&text) {
            let path = std::path::Path::new("keys").join(name.as_str());
            prop_assert_eq!(path.components().count(), 2);
            prop_assert_eq!(path.parent().unwrap(), std::path::Path::new("keys"));
        }
    }
}
