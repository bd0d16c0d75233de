//! [`Credential`]: a challenge, echoed, with the proof that answers it (core, section 5.2). It authorises money: its
//! `Debug` shows no payload.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::challenge::SCHEME;
use crate::encoding::{bad_json, base64url_decode, base64url_encode, flat};
use crate::text::Text;
use crate::{CredentialHeader, FormatError, Intent, MethodId, ParseError, jcs};

/// What a buyer's rail makes of a challenge: the payload, and who pays.
pub struct PaymentProof {
    /// The method's payload, JSON.
    pub payload: Box<RawValue>,
    /// The payer, such as `did:pkh:eip155:4217:0x…`.
    pub source: Option<String>,
}

impl fmt::Debug for PaymentProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentProof").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The decoded bytes of a credential header, from which a [`Credential`] borrows.
pub struct CredentialBuf(Vec<u8>);

impl fmt::Debug for CredentialBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialBuf({} bytes)", self.0.len())
    }
}

impl CredentialBuf {
    /// The longest header value that is read, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Decodes a header value: `Payment <base64url>`.
    ///
    /// # Errors
    /// [`ParseError::NotPayment`], [`ParseError::TooLong`], [`ParseError::BadBase64`].
    pub fn decode(value: &str) -> Result<Self, ParseError> {
        if value.len() > Self::MAX_BYTES {
            return Err(ParseError::TooLong { what: "the credential", max: Self::MAX_BYTES });
        }
        let token = find_token(value)?;
        base64url_decode(token, "the credential").map(Self)
    }

    /// Reads the credential.
    ///
    /// # Errors
    /// [`ParseError::BadJson`], [`ParseError::Missing`], …
    pub fn view(&self) -> Result<Credential<'_>, ParseError> {
        // Checked as UTF-8 once, as a whole: cheaper than string by string.
        let json = std::str::from_utf8(&self.0).map_err(|error| ParseError::BadJson {
            what: "the credential",
            why: format!("not UTF-8 at byte {}", error.valid_up_to()),
        })?;
        let wire: Wire<'_> =
            serde_json::from_str(json).map_err(|error| bad_json("the credential", &error))?;
        let echo = wire.challenge.ok_or(ParseError::Missing { name: "challenge" })?;
        let payload = wire.payload.ok_or(ParseError::Missing { name: "payload" })?;
        if !payload.get().starts_with('{') {
            return Err(ParseError::BadJson { what: "`payload`", why: "not an object".to_owned() });
        }
        Ok(Credential { challenge: echo.read()?, payload, source: wire.source.map(|text| text.0) })
    }
}

/// A credential, borrowing from its [`CredentialBuf`].
#[derive(Clone)]
pub struct Credential<'a> {
    /// The challenge as echoed.
    pub challenge: Echo<'a>,
    /// The method's payload, JSON as received.
    pub payload: &'a RawValue,
    /// Who claims to pay. A claim only, until a rail has verified it.
    pub source: Option<Cow<'a, str>>,
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("challenge", &self.challenge).finish_non_exhaustive()
    }
}

/// A challenge as a credential echoes it: strings as received, so that the binding is checked over the raw bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Echo<'a> {
    /// The challenge's id.
    pub id: Cow<'a, str>,
    /// The realm.
    pub realm: Cow<'a, str>,
    /// The method; a valid identifier.
    pub method: Cow<'a, str>,
    /// The intent; a valid name.
    pub intent: Cow<'a, str>,
    /// The encoded request.
    pub request: Cow<'a, str>,
    /// For people.
    pub description: Option<Cow<'a, str>>,
    /// RFC 3339.
    pub expires: Option<Cow<'a, str>>,
    /// Digest of the body.
    pub digest: Option<Cow<'a, str>>,
    /// The server's data.
    pub opaque: Option<Cow<'a, str>>,
    /// The header that the credential was to travel in.
    pub header: CredentialHeader,
}

impl fmt::Debug for Echo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Echo")
            .field("method", &self.method)
            .field("intent", &self.intent)
            .finish_non_exhaustive()
    }
}

/// The base64url of the one Payment credential in a header value that may hold credentials of other schemes, too.
fn find_token(value: &str) -> Result<&str, ParseError> {
    // Almost every value is one credential: the list is taken apart only where there is a comma.
    let found = if value.as_bytes().contains(&b',') {
        let mut tokens = list_elements(value).filter_map(payment_token);
        let first = tokens.next();
        if tokens.next().is_some() {
            return Err(ParseError::SeveralCredentials);
        }
        first
    } else {
        payment_token(value.trim_matches(SPACES))
    };
    match found {
        None => Err(ParseError::NotPayment),
        Some("") => Err(ParseError::Missing { name: "credential" }),
        Some(token) => Ok(token),
    }
}

const SPACES: [char; 2] = [' ', '\t'];

/// What follows the scheme in a trimmed list element, if the scheme is ours.
fn payment_token(element: &str) -> Option<&str> {
    let (scheme, token) = element.split_once(SPACES)?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_start_matches(SPACES))
}

/// The elements of a comma-separated list, where a comma in a quoted string separates nothing.
fn list_elements(value: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |character| {
            match character {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ',' => return !quoted,
                _ => {}
            }
            false
        })
        .map(|element| element.trim_matches(SPACES))
}

/// Writes a credential header value. `fields` are the echoed parameters, of which none is left out or changed.
pub(crate) fn write_credential<'a>(
    fields: impl Iterator<Item = (&'static str, &'a str)>,
    proof: &PaymentProof,
) -> Result<String, FormatError> {
    let payload = proof.payload.get();
    if !payload.starts_with('{') {
        return Err(FormatError::NotJson { name: "payload" });
    }
    let mut json = String::with_capacity(512 + payload.len());
    let mut opening = "{\"challenge\":{";
    for (name, value) in fields {
        json.push_str(std::mem::replace(&mut opening, ","));
        json.push('"');
        json.push_str(name);
        json.push_str("\":");
        jcs::write_string(value, &mut json);
    }
    json.push_str("},\"payload\":");
    json.push_str(payload);
    if let Some(source) = &proof.source {
        json.push_str(",\"source\":");
        jcs::write_string(source, &mut json);
    }
    json.push('}');
    let value = format!("{SCHEME} {}", base64url_encode(json.as_bytes()));
    if value.len() > CredentialBuf::MAX_BYTES {
        return Err(FormatError::TooLong { name: "credential", max: CredentialBuf::MAX_BYTES });
    }
    Ok(value)
}

/// A credential as JSON. Unknown fields are ignored (C12), repeated ones refused.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    challenge: Option<WireEcho<'a>>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireEcho<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    realm: Option<Text<'a>>,
    #[serde(borrow)]
    method: Option<Text<'a>>,
    #[serde(borrow)]
    intent: Option<Text<'a>>,
    #[serde(borrow)]
    request: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    expires: Option<Text<'a>>,
    #[serde(borrow)]
    digest: Option<Text<'a>>,
    #[serde(borrow)]
    opaque: Option<WireOpaque<'a>>,
    #[serde(borrow)]
    header: Option<Text<'a>>,
}

impl<'a> WireEcho<'a> {
    fn read(self) -> Result<Echo<'a>, ParseError> {
        let needed = |text: Option<Text<'a>>, name| {
            text.map(|text| text.0).filter(|text| !text.is_empty()).ok_or(ParseError::Missing { name })
        };
        let id = needed(self.id, "id")?;
        let realm = needed(self.realm, "realm")?;
        let method = needed(self.method, "method")?;
        if !MethodId::is_valid(&method) {
            return Err(ParseError::BadMethod);
        }
        let intent = needed(self.intent, "intent")?;
        if !Intent::is_valid(&intent) {
            return Err(ParseError::BadIntent);
        }
        let header =
            self.header.map_or(Ok(CredentialHeader::default()), |text| CredentialHeader::parse(&text.0))?;
        Ok(Echo {
            id,
            realm,
            method,
            intent,
            request: needed(self.request, "request")?,
            description: self.description.map(|text| text.0),
            expires: self.expires.map(|text| text.0),
            digest: self.digest.map(|text| text.0),
            opaque: self.opaque.map(|opaque| opaque.0),
            header,
        })
    }
}

/// The opaque slot: the string as received, or the object of older clients, which is encoded again.
struct WireOpaque<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for WireOpaque<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OpaqueVisitor)
    }
}

struct OpaqueVisitor;

impl<'de> Visitor<'de> for OpaqueVisitor {
    type Value = WireOpaque<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an object of strings")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(WireOpaque(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(WireOpaque(Cow::Owned(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let strings = flat::StringsVisitor.visit_map(map)?;
        let object: serde_json::Map<String, serde_json::Value> =
            strings.0.into_iter().map(|(key, value)| (key.into_owned(), value.into_owned().into())).collect();
        let mut json = String::new();
        jcs::write(&object.into(), &mut json).map_err(A::Error::custom)?;
        Ok(WireOpaque(Cow::Owned(base64url_encode(json.as_bytes()))))
    }
}

#[cfg(test)]
mod tests;
