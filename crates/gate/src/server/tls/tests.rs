#![allow(clippy::unwrap_used, reason = "tests")]

use rcgen::{CertifiedKey, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, generate_simple_self_signed};

use super::*;

fn pair() -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["h".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

#[test]
fn files_that_are_wrong_are_told_apart() {
    let ((chain, key), (other_chain, other_key)) = (pair(), pair());
    let cut = chain.replace("-----END CERTIFICATE-----", "");
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (chain, key, code) in [
        ("", key.as_str(), "tls_no_certificate"),
        ("no PEM at all", &key, "tls_no_certificate"),
        (&key, &key, "tls_no_certificate"),
        (&cut, &key, "tls_bad_certificate"),
        (&chain, "", "tls_bad_key"),
        (&chain, &chain, "tls_bad_key"),
        (&chain, &other_key, "tls_key_mismatch"),
        (&other_chain, &key, "tls_key_mismatch"),
    ] {
        let error = Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(!error.to_string().contains("BEGIN"), "{error}");
    }
    assert!(Tls::from_pem(garbled.as_bytes(), key.as_bytes()).is_err());
    let both = format!("{chain}{other_chain}");
    Tls::from_pem(both.as_bytes(), key.as_bytes()).unwrap();
    Tls::from_pem(chain.as_bytes(), format!("a comment\n{key}").as_bytes()).unwrap();
}

/// PKCS #8 of the kinds of keys that authorities sign for. SEC 1 and PKCS #1 are tested with files that openssl made.
#[test]
fn keys_of_every_kind_are_taken() {
    for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let key = KeyPair::generate_for(kind).unwrap();
        let chain = rcgen::CertificateParams::new(vec!["h".to_owned()]).unwrap().self_signed(&key).unwrap();
        Tls::from_pem(chain.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    }
}
