//! Path patterns: `/v1/files/{id}`, `/static/{*rest}`. Names in braces are for people; only the shape matters.

use crate::path::{NormalPath, PathError, fold};

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Exactly this text, decoded.
    Literal(String),
    /// Any one segment.
    Any,
    /// Any number of segments, none too. Last.
    Rest,
}

/// A path pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Segment>,
}

/// Why text is not a path pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// A literal part is not a path in normal form.
    #[error("{0}")]
    Path(#[from] PathError),
    /// The path is readable and not in normal form.
    #[error("write it as `{normal}`")]
    NotNormal {
        /// The normal form.
        normal: String,
    },
    /// An empty segment, `.` or `..`.
    #[error("`{segment}` cannot be a segment of a route's path")]
    NoSegment {
        /// The segment.
        segment: String,
    },
    /// Braces that are not `{name}` or `{*name}` and a whole segment.
    #[error("`{segment}` is neither a plain segment, nor `{{name}}`, nor `{{*name}}`")]
    BadName {
        /// The segment.
        segment: String,
    },
    /// `{*rest}` is followed by something.
    #[error("`{{*…}}` may only stand at the end")]
    RestNotLast,
}

impl PatternError {
    /// The stable code of the broken rule, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Path(error) => error.code(),
            Self::NotNormal { .. } => "pattern_not_normal",
            Self::NoSegment { .. } => "pattern_no_segment",
            Self::BadName { .. } => "pattern_bad_name",
            Self::RestNotLast => "pattern_rest_not_last",
        }
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(PathError::NotAbsolute.into());
        }
        let mut segments = Vec::new();
        let parts: Vec<&str> = text.split('/').skip(1).collect();
        for (place, part) in parts.iter().enumerate() {
            if segments.last() == Some(&Segment::Rest) {
                return Err(PatternError::RestNotLast);
            }
            // `/` itself, and a final slash: matching ignores it.
            if part.is_empty() && place + 1 == parts.len() {
                continue;
            }
            segments.push(segment(part)?);
        }
        Ok(Self { segments })
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The pattern as the laxest server reads it.
    pub(super) fn folded(&self) -> Vec<Segment> {
        let folded = |segment: &Segment| match segment {
            Segment::Literal(text) => Segment::Literal(fold(text)),
            other => other.clone(),
        };
        self.segments.iter().map(folded).collect()
    }
}

fn segment(part: &str) -> Result<Segment, PatternError> {
    let bad = || PatternError::BadName { segment: part.to_owned() };
    let name_is_good =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if let Some(inner) = part.strip_prefix('{') {
        let name = inner.strip_suffix('}').ok_or_else(bad)?;
        return match name.strip_prefix('*') {
            Some(name) if name_is_good(name) => Ok(Segment::Rest),
            None if name_is_good(name) => Ok(Segment::Any),
            _ => Err(bad()),
        };
    }
    if part.contains(['{', '}']) {
        return Err(bad());
    }
    if matches!(part, "" | "." | "..") {
        return Err(PatternError::NoSegment { segment: part.to_owned() });
    }
    let raw = format!("/{part}");
    let normal = NormalPath::of(&raw)?;
    if normal.as_str() != raw {
        return Err(PatternError::NotNormal { normal: normal.as_str().to_owned() });
    }
    let text = normal.segments().next().unwrap_or_default().into_owned();
    Ok(Segment::Literal(text))
}

/// Whether `a` decides before `b` on a path that both match.
pub(super) fn more_specific(a: &[Segment], b: &[Segment]) -> bool {
    let rank = |segment: Option<&Segment>| match segment {
        Some(Segment::Literal(_)) | None => 2,
        Some(Segment::Any) => 1,
        Some(Segment::Rest) => 0,
    };
    for place in 0..=a.len().max(b.len()) {
        let (a, b) = (rank(a.get(place)), rank(b.get(place)));
        if a != b {
            return a > b;
        }
        if a == 0 {
            return false;
        }
    }
    false
}
