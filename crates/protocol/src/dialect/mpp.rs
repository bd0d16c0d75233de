//! The `mpp` dialect: offers in `WWW-Authenticate: Payment` headers, prepared once and issued many times.

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::binding::id_str;
use crate::challenge::SCHEME;
use crate::encoding::base64url_decode;
use crate::params::write_param;
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
    /// From the id's closing quote to the description, if there is one.
    terms: String,
    /// The `header` parameter, if it is not the default.
    header: String,
    /// `","scope":"…"}`.
    scope: String,
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
        let mut scope = String::from("\",\"scope\":");
        jcs::write_string(terms.scope, &mut scope);
        scope.push('}');
        Ok(Self {
            request: terms.request.clone(),
            bound: format!("{}|{method}|{intent}|{request}|", terms.realm),
            bound_header: bound.map_or_else(|| "|".to_owned(), |header| format!("|{header}|")),
            terms: fixed,
            header: bound.map_or_else(String::new, |header| format!(", header=\"{header}\"")),
            scope,
        })
    }

    /// The longest scope, in bytes.
    pub const MAX_SCOPE_BYTES: usize = 1024;

    /// The encoded request.
    #[must_use]
    pub const fn request(&self) -> &EncodedJson {
        &self.request
    }

    /// Writes a fresh challenge's `WWW-Authenticate` value to the end of `out` and returns its id.
    pub fn issue(&self, binder: &Binder, issue: &Issue<'_>, out: &mut String) -> String {
        let opaque = self.opaque(issue.nonce);
        let mut expires = [0; UnixMs::TEXT_LEN];
        let expires = issue.expires.write(&mut expires);
        let digest = issue.digest.unwrap_or_default();
        let id = binder.id_after(
            self.bound.as_bytes(),
            &[expires.as_bytes(), b"|", digest.as_bytes(), self.bound_header.as_bytes(), opaque.as_bytes()],
        );
        let id = id_str(&id);
        out.reserve(
            64 + self.terms.len() + digest.len() + expires.len() + self.header.len() + opaque.len() + 96,
        );
        for part in [SCHEME, " id=\"", id, &self.terms] {
            out.push_str(part);
        }
        if issue.digest.is_some() {
            for part in [", digest=\"", digest, "\""] {
                out.push_str(part);
            }
        }
        for part in [", expires=\"", expires, "\"", &self.header, ", opaque=\"", &opaque, "\""] {
            out.push_str(part);
        }
        id.to_owned()
    }

    /// The opaque slot: JCS of the nonce and the scope, base64url.
    fn opaque(&self, nonce: u128) -> String {
        let mut json = Vec::with_capacity(32 + self.scope.len());
        json.extend_from_slice(b"{\"nonce\":\"");
        let mut text = [0; 22];
        let _ = URL_SAFE_NO_PAD.encode(&nonce.to_be_bytes(), text.as_mut_slice().as_out());
        json.extend_from_slice(&text);
        json.extend_from_slice(self.scope.as_bytes());
        URL_SAFE_NO_PAD.encode_to_string(json)
    }
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
