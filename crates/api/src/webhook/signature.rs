//! Signatures as Standard Webhooks write them: `v1,` and the base64 of an HMAC-SHA256 over `id.timestamp.body`, one for each secret
//! that counts, with spaces between them.

use farthing_billing::service::webhook::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header with the message's name: the same whenever it is sent.
pub const ID: &str = "webhook-id";
/// The header with the time of sending, in seconds since the Unix epoch.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its name.
    pub id: &'a str,
    /// The time of sending, in seconds since the Unix epoch.
    pub timestamp: u64,
    /// Every byte of the body.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// The value of [`SIGNATURE`], with a signature for each of `secrets`.
    #[must_use]
    pub fn sign<'s>(&self, secrets: impl IntoIterator<Item = &'s Secret>) -> String {
        let signatures: Vec<String> = secrets.into_iter().map(|secret| self.sign_one(secret)).collect();
        signatures.join(" ")
    }

    fn sign_one(&self, secret: &Secret) -> String {
        let key = secret.key();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
        mac.update(format!("{}.{}.", self.id, self.timestamp).as_bytes());
        mac.update(self.body);
        format!("v1,{}", base64_simd::STANDARD.encode_to_string(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use farthing_billing::service::webhook::Secret;

    use super::Message;

    #[test]
    fn the_example_of_the_specification_comes_out() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("it is one");
        let message = Message {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: 1_614_265_330,
            body: br#"{"test": 2432232314}"#,
        };
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(message.sign([&secret]), expected);
        assert_eq!(message.sign([&secret, &secret]), format!("{expected} {expected}"));
    }
}
