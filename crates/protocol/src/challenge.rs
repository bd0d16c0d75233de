//! [`Challenge`]: one offer in a `WWW-Authenticate: Payment` header (core, section 5.1).

use std::borrow::Cow;

use crate::credential::write_credential;
use crate::params::{Lexer, Piece, latin1, write_param};
use crate::{EncodedJson, FormatError, Intent, MethodId, ParseError, PaymentProof, UnixMs};

/// The scheme of every header here.
pub(crate) const SCHEME: &str = "Payment";

/// The header that the credential travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CredentialHeader {
    /// `Authorization`.
    #[default]
    Authorization,
    /// `Payment-Authorization`, so that a bearer token and a payment can travel together.
    PaymentAuthorization,
}

impl CredentialHeader {
    /// The header's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorization => "Authorization",
            Self::PaymentAuthorization => "Payment-Authorization",
        }
    }

    /// Reads a `header` parameter. `Payment-Authorization` is part of what the id binds, so that only this one spelling can be
    /// echoed; `Authorization` is bound by nothing.
    ///
    /// # Errors
    /// [`ParseError::BadHeaderName`] for any other header.
    pub fn parse(name: &str) -> Result<Self, ParseError> {
        match name {
            "Payment-Authorization" => Ok(Self::PaymentAuthorization),
            name if name.eq_ignore_ascii_case(Self::Authorization.name()) => Ok(Self::Authorization),
            _ => Err(ParseError::BadHeaderName),
        }
    }

    /// The name where it is written out and bound: only when it is not the default.
    pub(crate) const fn bound(self) -> Option<&'static str> {
        match self {
            Self::Authorization => None,
            Self::PaymentAuthorization => Some(self.name()),
        }
    }
}

/// One offer: what to pay, how, for what and until when. Fields are as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Names the challenge; not empty (C4).
    pub id: String,
    /// The protection space: the public host.
    pub realm: String,
    /// The payment method.
    pub method: MethodId,
    /// The kind of payment.
    pub intent: Intent,
    /// The method's own data.
    pub request: EncodedJson,
    /// For people; never verified (C11).
    pub description: Option<String>,
    /// RFC 3339, as received.
    pub expires: Option<String>,
    /// Digest of the body that the challenge is for.
    pub digest: Option<String>,
    /// The server's data, echoed byte for byte (C8).
    pub opaque: Option<EncodedJson>,
    /// Where the credential goes.
    pub header: CredentialHeader,
}

impl Challenge {
    /// The longest parameter list that is read, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;
    /// The longest `request`, in characters.
    pub const MAX_REQUEST_BYTES: usize = 16 * 1024;

    /// Reads one challenge: `Payment id="…", realm="…", …`.
    ///
    /// # Errors
    /// [`ParseError`]; never repeats the value.
    pub fn parse(value: &str) -> Result<Self, ParseError> {
        let mut lexer = Lexer::new(value);
        match lexer.next() {
            Ok(Some(Piece::Scheme(scheme))) if scheme.eq_ignore_ascii_case(SCHEME) => {}
            _ => return Err(ParseError::NotPayment),
        }
        let mut parameters = Parameters::new(lexer.pos());
        while let Some(Piece::Param { name, value, at }) = lexer.next()? {
            parameters.take(name, value, at)?;
            parameters.check_length(lexer.pos())?;
        }
        parameters.into_challenge()
    }

    /// Reads every Payment challenge in these header values, in order; challenges of other schemes are passed over.
    /// Values may hold several challenges, and raw Latin-1 bytes in quoted strings.
    pub fn parse_all<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<Result<Self, ParseError>> {
        let mut found = Vec::new();
        for value in values {
            read_list(&latin1(value), &mut found);
        }
        found
    }

    /// The header value.
    ///
    /// # Errors
    /// [`FormatError`] for an empty required field or a control character.
    pub fn to_header_value(&self) -> Result<String, FormatError> {
        if self.request.as_str().len() > Self::MAX_REQUEST_BYTES {
            return Err(FormatError::TooLong { name: "request", max: Self::MAX_REQUEST_BYTES });
        }
        let mut out = String::with_capacity(256 + self.request.as_str().len());
        out.push_str(SCHEME);
        let mut separator = " ";
        for (name, value) in self.required() {
            if value.is_empty() {
                return Err(FormatError::Empty { name });
            }
            write_checked(name, value, &mut separator, &mut out)?;
        }
        for (name, value) in self.optional() {
            if let Some(value) = value {
                write_checked(name, value, &mut separator, &mut out)?;
            }
        }
        Ok(out)
    }

    fn required(&self) -> [(&'static str, &str); 5] {
        [
            ("id", &self.id),
            ("realm", &self.realm),
            ("method", self.method.as_str()),
            ("intent", self.intent.as_str()),
            ("request", self.request.as_str()),
        ]
    }

    fn optional(&self) -> [(&'static str, Option<&str>); 5] {
        [
            ("description", self.description.as_deref()),
            ("digest", self.digest.as_deref()),
            ("expires", self.expires.as_deref()),
            ("header", self.header.bound()),
            ("opaque", self.opaque.as_ref().map(EncodedJson::as_str)),
        ]
    }

    /// When it expires, if it says so.
    ///
    /// # Errors
    /// [`ParseError::BadTimestamp`].
    pub fn expires_at(&self) -> Result<Option<UnixMs>, ParseError> {
        self.expires.as_deref().map(UnixMs::parse).transpose()
    }

    /// The credential header value that answers this challenge with `proof`.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn answer(&self, proof: &PaymentProof) -> Result<String, FormatError> {
        for (name, value) in self.required() {
            if value.is_empty() {
                return Err(FormatError::Empty { name });
            }
        }
        let fields = self.required().into_iter().chain(
            // The description is for people and bound by nothing; the drafts have it echoed all the same.
            self.optional().into_iter().filter_map(|(name, value)| value.map(|value| (name, value))),
        );
        write_credential(fields, proof)
    }
}

fn write_checked(
    name: &'static str,
    value: &str,
    separator: &mut &'static str,
    out: &mut String,
) -> Result<(), FormatError> {
    out.push_str(std::mem::replace(separator, ", "));
    if write_param(name, value, out) { Ok(()) } else { Err(FormatError::BadCharacter { name }) }
}

/// Reads every Payment challenge of one header value. A broken one is an error of its own and hides no other, unless
/// a quote never closes: then nothing after it can be told apart.
fn read_list(value: &str, found: &mut Vec<Result<Challenge, ParseError>>) {
    let mut lexer = Lexer::new(value);
    let mut current: Option<Parameters<'_>> = None;
    let mut finish = |parameters: Option<Parameters<'_>>| {
        if let Some(parameters) = parameters {
            found.push(parameters.into_challenge());
        }
    };
    loop {
        match lexer.next() {
            Ok(None) => break,
            Ok(Some(Piece::Scheme(scheme))) => {
                finish(current.take());
                current = scheme.eq_ignore_ascii_case(SCHEME).then(|| Parameters::new(lexer.pos()));
            }
            Ok(Some(Piece::Other)) => finish(current.take()),
            Ok(Some(Piece::Param { name, value, at })) => {
                if let Some(parameters) = &mut current {
                    let end = lexer.pos();
                    let taken = parameters.take(name, value, at).and_then(|()| parameters.check_length(end));
                    parameters.fail(taken);
                }
            }
            Err(error) => {
                if let Some(parameters) = &mut current {
                    parameters.fail(Err(error));
                }
            }
        }
    }
    finish(current);
}

const NAMES: [&str; 10] =
    ["id", "realm", "method", "intent", "request", "description", "digest", "expires", "header", "opaque"];

/// The parameters of one challenge as they are read.
struct Parameters<'a> {
    from: usize,
    known: [Option<Cow<'a, str>>; NAMES.len()],
    unknown: Vec<(&'a str, usize)>,
    failure: Option<ParseError>,
}

impl<'a> Parameters<'a> {
    const fn new(from: usize) -> Self {
        Self { from, known: [const { None }; NAMES.len()], unknown: Vec::new(), failure: None }
    }

    fn take(&mut self, name: &'a str, value: Cow<'a, str>, at: usize) -> Result<(), ParseError> {
        let Some(slot) = NAMES.iter().position(|known| name.eq_ignore_ascii_case(known)) else {
            // Unknown parameters are ignored (C12), but not their repetition.
            self.unknown.push((name, at));
            return Ok(());
        };
        let place = &mut self.known[slot];
        if place.is_some() {
            return Err(ParseError::Duplicate { name: NAMES[slot] });
        }
        *place = Some(value);
        Ok(())
    }

    fn check_length(&self, end: usize) -> Result<(), ParseError> {
        if end - self.from > Challenge::MAX_BYTES {
            return Err(ParseError::TooLong { what: "the challenge", max: Challenge::MAX_BYTES });
        }
        Ok(())
    }

    /// Keeps the first failure.
    fn fail(&mut self, result: Result<(), ParseError>) {
        if let Err(error) = result {
            self.failure.get_or_insert(error);
        }
    }

    fn check_unknown(&mut self) -> Result<(), ParseError> {
        let lower = |name: &'a str| name.bytes().map(|byte| byte.to_ascii_lowercase());
        self.unknown.sort_unstable_by(|(a, _), (b, _)| lower(a).cmp(lower(b)));
        let twin = self.unknown.windows(2).find(|pair| pair[0].0.eq_ignore_ascii_case(pair[1].0));
        twin.map_or(Ok(()), |pair| {
            Err(ParseError::BadSyntax { at: pair[0].1.max(pair[1].1), expected: "each parameter once" })
        })
    }

    fn into_challenge(mut self) -> Result<Challenge, ParseError> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        self.check_unknown()?;
        let [id, realm, method, intent, request, description, digest, expires, header, opaque] = self.known;
        let needed = |value: Option<Cow<'a, str>>, name| {
            value.filter(|value| !value.is_empty()).ok_or(ParseError::Missing { name })
        };
        let id = needed(id, "id")?.into_owned();
        let realm = needed(realm, "realm")?.into_owned();
        let method = MethodId::new(&needed(method, "method")?)?;
        let intent = Intent::new(&needed(intent, "intent")?)?;
        let request = needed(request, "request")?;
        if request.len() > Challenge::MAX_REQUEST_BYTES {
            return Err(ParseError::TooLong { what: "`request`", max: Challenge::MAX_REQUEST_BYTES });
        }
        let request = EncodedJson::from_wire(request.into_owned(), "`request`")?;
        if let Some(expires) = &expires {
            UnixMs::parse(expires)?;
        }
        if digest.as_deref().is_some_and(|digest| !digest.starts_with("sha-256=")) {
            return Err(ParseError::BadDigest);
        }
        let header = header.map_or(Ok(CredentialHeader::default()), |name| CredentialHeader::parse(&name))?;
        let opaque = opaque
            .map(|opaque| EncodedJson::strings_from_wire(opaque.into_owned(), "`opaque`"))
            .transpose()?;
        let owned = |value: Option<Cow<'a, str>>| value.map(Cow::into_owned);
        Ok(Challenge {
            id,
            realm,
            method,
            intent,
            request,
            description: owned(description),
            expires: owned(expires),
            digest: owned(digest),
            opaque,
            header,
        })
    }
}

#[cfg(test)]
mod tests;
