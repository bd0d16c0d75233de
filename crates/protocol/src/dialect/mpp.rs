//! The `mpp` dialect: offers in `WWW-Authenticate: Payment` headers, prepared once and issued many times.

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::binding::{Begun, ID_LEN, id_str};
use crate::challenge::SCHEME;
use crate::encoding::base64url_decode;
use crate::params::write_param;
use crate::ports::StoreEpoch;
use crate::text::Text;
use crate::{Binder, Challenge, CredentialHeader, EncodedJson, FormatError, Intent, MethodId, UnixMs, jcs};

/// What stays the same in every challenge of one offer.
#[derive(Debug, Clone)]
pub struct OfferTerms<'a> {
    /// The realm: the public host.
    pub realm: &'a str,
    /// Names the route, in the opaque slot.
    pub scope: &'a str,
    /// The method.
    pub method: &'a MethodId,
    /// The intent.
    pub intent: &'a Intent,
    /// The encoded request.
    pub request: &'a EncodedJson,
    /// For people.
    pub description: Option<&'a str>,
    /// Where the credential goes.
    pub header: CredentialHeader,
}

/// What differs from challenge to challenge.
#[derive(Debug, Clone, Copy)]
pub struct Issue<'a> {
    /// When it expires.
    pub expires: UnixMs,
    /// Unique per challenge: without it two payers could be given one id.
    pub nonce: u128,
    /// The `digest` parameter, for a challenge bound to a body.
    pub digest: Option<&'a str>,
}

/// One offer of one route, prepared so that issuing a challenge is an HMAC and a few copies.
#[derive(Debug, Clone)]
pub struct PreparedOffer {
    request: EncodedJson,
    /// `realm|method|intent|request|`.
    bound: String,
    /// `|` or `|Payment-Authorization|`: what stands between digest and opaque.
    bound_header: String,
    /// The same after an empty digest: what stands between expires and opaque then.
    bound_no_digest: String,
    /// From the id's closing quote to the description, if there is one.
    terms: String,
    /// The `header` parameter, if it is not the default.
    header: String,
    /// `,"scope":"…"}`, encoded: what follows the nonce in the opaque slot.
    scope: String,
}

/// A fresh challenge's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuedId([u8; ID_LEN]);

impl IssuedId {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        id_str(&self.0)
    }
}

impl PreparedOffer {
    /// Prepares an offer.
    ///
    /// # Errors
    /// [`FormatError`] for a realm or scope with `|`, quotes or control characters, or an empty one.
    pub fn new(terms: &OfferTerms<'_>) -> Result<Self, FormatError> {
        check_name("realm", terms.realm)?;
        check_name("scope", terms.scope)?;
        if terms.scope.len() > Self::MAX_SCOPE_BYTES {
            return Err(FormatError::TooLong { name: "scope", max: Self::MAX_SCOPE_BYTES });
        }
        let request = terms.request.as_str();
        if request.len() > Challenge::MAX_REQUEST_BYTES {
            return Err(FormatError::TooLong { name: "request", max: Challenge::MAX_REQUEST_BYTES });
        }
        let (method, intent) = (terms.method.as_str(), terms.intent.as_str());
        let mut fixed = String::from("\"");
        let parameters = [
            ("realm", Some(terms.realm)),
            ("method", Some(method)),
            ("intent", Some(intent)),
            ("request", Some(request)),
            ("description", terms.description),
        ];
        for (name, value) in parameters.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            fixed.push_str(", ");
            if !write_param(name, value, &mut fixed) {
                return Err(FormatError::BadCharacter { name });
            }
        }
        let bound = terms.header.bound();
        let mut scope = String::from(",\"scope\":");
        jcs::write_string(terms.scope, &mut scope);
        scope.push('}');
        let bound_header = bound.map_or_else(|| "|".to_owned(), |header| format!("|{header}|"));
        Ok(Self {
            request: terms.request.clone(),
            bound: format!("{}|{method}|{intent}|{request}|", terms.realm),
            bound_no_digest: format!("|{bound_header}"),
            bound_header,
            terms: fixed,
            header: bound.map_or_else(String::new, |header| format!(", header=\"{header}\"")),
            scope: URL_SAFE_NO_PAD.encode_to_string(scope),
        })
    }

    /// The longest scope, in bytes.
    pub const MAX_SCOPE_BYTES: usize = 1024;

    /// The encoded request.
    #[must_use]
    pub const fn request(&self) -> &EncodedJson {
        &self.request
    }

    /// Works what stays the same into the binder's key: for offers that are issued many times by one binder.
    #[must_use]
    pub fn bound_by(self, binder: &Binder) -> BoundOffer {
        let begun = binder.begin(self.bound.as_bytes());
        BoundOffer { offer: self, begun }
    }

    /// Writes a fresh challenge's `WWW-Authenticate` value to the end of `out` and returns its id.
    pub fn issue(&self, binder: &Binder, issue: &Issue<'_>, out: &mut String) -> IssuedId {
        self.issue_after(&binder.begin(self.bound.as_bytes()), issue, out)
    }

    fn issue_after(&self, begun: &Begun, issue: &Issue<'_>, out: &mut String) -> IssuedId {
        let nonce = encoded_nonce(issue.nonce);
        let nonce = std::str::from_utf8(&nonce).expect("base64url is ASCII");
        let mut expires = [0; UnixMs::TEXT_LEN];
        let expires = issue.expires.write(&mut expires);
        let (nonce_bytes, scope) = (nonce.as_bytes(), self.scope.as_bytes());
        let id = match issue.digest {
            None => begun.id(&[expires.as_bytes(), self.bound_no_digest.as_bytes(), nonce_bytes, scope]),
            Some(digest) => {
                let header = self.bound_header.as_bytes();
                begun.id(&[expires.as_bytes(), b"|", digest.as_bytes(), header, nonce_bytes, scope])
            }
        };
        let (before, after) = issue.digest.map_or(("", ""), |_| (", digest=\"", "\""));
        let parts = [
            SCHEME,
            " id=\"",
            id_str(&id),
            &self.terms,
            before,
            issue.digest.unwrap_or_default(),
            after,
            ", expires=\"",
            expires,
            "\"",
            &self.header,
            ", opaque=\"",
            nonce,
            &self.scope,
            "\"",
        ];
        // Exactly: a string that is full becomes a header value as it is.
        out.reserve_exact(parts.iter().map(|part| part.len()).sum());
        parts.into_iter().for_each(|part| out.push_str(part));
        IssuedId(id)
    }
}

/// A [`PreparedOffer`] of one binder.
#[derive(Debug, Clone)]
pub struct BoundOffer {
    offer: PreparedOffer,
    begun: Begun,
}

impl BoundOffer {
    /// The encoded request.
    #[must_use]
    pub const fn request(&self) -> &EncodedJson {
        self.offer.request()
    }

    /// Writes a fresh challenge's `WWW-Authenticate` value to the end of `out` and returns its id.
    pub fn issue(&self, issue: &Issue<'_>, out: &mut String) -> IssuedId {
        self.offer.issue_after(&self.begun, issue, out)
    }
}

/// The beginning of the opaque slot, JCS of the nonce and the scope: `{"nonce":"…"`, encoded. Its 33 bytes make 44 characters
/// without a rest, so that what follows is encoded once for all.
fn encoded_nonce(nonce: u128) -> [u8; 44] {
    let mut json = *b"{\"nonce\":\"----------------------\"";
    let _ = URL_SAFE_NO_PAD.encode(&nonce.to_be_bytes(), json[10..32].as_out());
    let mut encoded = [0; 44];
    let _ = URL_SAFE_NO_PAD.encode(&json, encoded.as_mut_slice().as_out());
    encoded
}

/// A nonce: which history of the store the challenge belongs to, a random number of the process's start, and a count.
#[must_use]
pub const fn nonce(epoch: StoreEpoch, boot: u32, count: u64) -> u128 {
    (epoch.0 as u128) << 96 | (boot as u128) << 64 | count as u128
}

/// The history of the store that an echoed opaque value belongs to. The binding has shown before that the value is ours; none
/// for one that has no nonce of this form.
#[must_use]
pub fn epoch_of(opaque: &str) -> Option<StoreEpoch> {
    #[derive(Deserialize)]
    struct Ours<'a> {
        #[serde(borrow)]
        nonce: Text<'a>,
    }
    let json = base64url_decode(opaque, "`opaque`").ok()?;
    let ours = serde_json::from_slice::<Ours<'_>>(&json).ok()?;
    let nonce: [u8; 16] = base64url_decode(&ours.nonce.0, "`nonce`").ok()?.try_into().ok()?;
    let [a, b, c, d, ..] = nonce;
    Some(StoreEpoch(u32::from_be_bytes([a, b, c, d])))
}

/// Refuses what would blur the slots of the binding or need escapes that nobody reads alike.
fn check_name(name: &'static str, value: &str) -> Result<(), FormatError> {
    if value.is_empty() {
        return Err(FormatError::Empty { name });
    }
    if value.chars().any(|character| matches!(character, '|' | '"' | '\\') || character.is_control()) {
        return Err(FormatError::BadCharacter { name });
    }
    Ok(())
}

/// Whether an echoed opaque value names this scope. The binding has shown before that the value is ours.
#[must_use]
pub fn scope_is(opaque: &str, scope: &str) -> bool {
    #[derive(Deserialize)]
    struct Ours<'a> {
        #[serde(borrow)]
        scope: Text<'a>,
    }
    base64url_decode(opaque, "`opaque`")
        .is_ok_and(|json| serde_json::from_slice::<Ours<'_>>(&json).is_ok_and(|ours| ours.scope.0 == scope))
}

#[cfg(test)]
mod tests;
