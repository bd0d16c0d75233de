//! Why a message could not be read or written: one variant, and one stable code, a rule.

/// Why bytes are not the message they should be. Never repeats the bytes: a credential must not reach a log (C19).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The value does not start with the scheme `Payment` and a space.
    #[error("the header does not use the Payment scheme")]
    NotPayment,
    /// Longer than we read.
    #[error("{what} is longer than {max} bytes")]
    TooLong {
        /// The part that is too long.
        what: &'static str,
        /// The most bytes there may be.
        max: usize,
    },
    /// A parameter list that does not follow RFC 9110, section 11.2.
    #[error("malformed parameter list at byte {at}: {expected}")]
    BadSyntax {
        /// Offset in the header value.
        at: usize,
        /// What should have stood there.
        expected: &'static str,
    },
    /// A parameter that occurs twice.
    #[error("the parameter `{name}` occurs twice")]
    Duplicate {
        /// The parameter's name.
        name: &'static str,
    },
    /// A required parameter or field that is missing or empty (C4).
    #[error("`{name}` is missing or empty")]
    Missing {
        /// The parameter's or field's name.
        name: &'static str,
    },
    /// Not a method identifier (C13).
    #[error("`method` is not a payment method identifier")]
    BadMethod,
    /// Not an intent.
    #[error("`intent` is not an intent name")]
    BadIntent,
    /// Not base64url.
    #[error("{what} is not base64url")]
    BadBase64 {
        /// The part that is not base64url.
        what: &'static str,
    },
    /// Not the JSON that it should be.
    #[error("{what} is not the JSON it should be: {why}")]
    BadJson {
        /// The part that is not.
        what: &'static str,
        /// What is wrong, without the content.
        why: String,
    },
    /// Not an RFC 3339 date-time.
    #[error("not an RFC 3339 date-time")]
    BadTimestamp,
    /// A `digest` parameter of another algorithm.
    #[error("`digest` is not a SHA-256 digest")]
    BadDigest,
    /// More than one Payment credential in one header (C15).
    #[error("there is more than one Payment credential")]
    SeveralCredentials,
    /// A `header` parameter that we do not know.
    #[error("the `header` parameter may only be Authorization or Payment-Authorization")]
    BadHeaderName,
    /// A receipt whose status is not `success`.
    #[error("the receipt's status is not `success`")]
    BadStatus,
}

impl ParseError {
    /// The stable code of the broken rule, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotPayment => "not_payment_scheme",
            Self::TooLong { .. } => "too_long",
            Self::BadSyntax { .. } => "bad_syntax",
            Self::Duplicate { .. } => "duplicate_parameter",
            Self::Missing { .. } => "missing_parameter",
            Self::BadMethod => "bad_method",
            Self::BadIntent => "bad_intent",
            Self::BadBase64 { .. } => "bad_base64",
            Self::BadJson { .. } => "bad_json",
            Self::BadTimestamp => "bad_timestamp",
            Self::BadDigest => "bad_digest",
            Self::SeveralCredentials => "several_credentials",
            Self::BadHeaderName => "bad_header_name",
            Self::BadStatus => "bad_status",
        }
    }
}

/// Why a message cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A required field is empty.
    #[error("`{name}` must not be empty")]
    Empty {
        /// The field's name.
        name: &'static str,
    },
    /// A field with a control character (or, where it is bound, a `|`).
    #[error("`{name}` contains a character that it may not contain")]
    BadCharacter {
        /// The field's name.
        name: &'static str,
    },
    /// Longer than we write.
    #[error("`{name}` is longer than {max} bytes")]
    TooLong {
        /// The field's name.
        name: &'static str,
        /// The most bytes there may be.
        max: usize,
    },
    /// A value that is not JSON, or a number that JCS cannot write.
    #[error("`{name}` cannot be written as canonical JSON")]
    NotJson {
        /// The field's name.
        name: &'static str,
    },
}

impl FormatError {
    /// The stable code of the broken rule, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "empty_field",
            Self::BadCharacter { .. } => "bad_character",
            Self::TooLong { .. } => "too_long",
            Self::NotJson { .. } => "not_json",
        }
    }
}
