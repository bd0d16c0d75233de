//! `Accept-Payment`: which offers a client prefers (core, section 7.5).

/// Ranks offers by an `Accept-Payment` value: the indexes of those that match with `q > 0`, best first; server order among
/// equals; the most specific range decides. Absent, malformed or without a match: every index, in order.
#[must_use]
pub fn rank(accept: Option<&str>, offers: &[(&str, &str)]) -> Vec<usize> {
    let everything = || (0..offers.len()).collect();
    let Some(ranges) = accept.and_then(parse) else { return everything() };
    let mut ranked: Vec<(usize, u16)> = offers
        .iter()
        .enumerate()
        .filter_map(|(index, offer)| best(&ranges, *offer).filter(|q| *q > 0).map(|q| (index, q)))
        .collect();
    if ranked.is_empty() {
        return everything();
    }
    // The sort is stable, so that equals stay in the server's order.
    ranked.sort_by_key(|(_, q)| std::cmp::Reverse(*q));
    ranked.into_iter().map(|(index, _)| index).collect()
}

/// `method/intent;q=0.5`, either of them `*`.
struct Range<'a> {
    method: &'a str,
    intent: &'a str,
    /// In thousandths.
    q: u16,
}

impl Range<'_> {
    fn matches(&self, (method, intent): (&str, &str)) -> bool {
        (self.method == "*" || self.method == method) && (self.intent == "*" || self.intent == intent)
    }

    fn specificity(&self) -> u8 {
        u8::from(self.method != "*") + u8::from(self.intent != "*")
    }
}

/// The weight of the most specific range that matches; the highest among equally specific ones.
fn best(ranges: &[Range<'_>], offer: (&str, &str)) -> Option<u16> {
    let matching = ranges.iter().filter(|range| range.matches(offer));
    matching.map(|range| (range.specificity(), range.q)).max().map(|(_, q)| q)
}

/// The ranges of a value; `None` when it is malformed or has none.
fn parse(value: &str) -> Option<Vec<Range<'_>>> {
    let elements = value.split(',').map(str::trim).filter(|element| !element.is_empty());
    let ranges: Vec<Range<'_>> = elements.map(parse_range).collect::<Option<_>>()?;
    (!ranges.is_empty()).then_some(ranges)
}

fn parse_range(element: &str) -> Option<Range<'_>> {
    let (token, parameters) = element.split_once(';').unwrap_or((element, ""));
    let (method, intent) = token.split_once('/')?;
    let (method, intent) = (method.trim(), intent.trim());
    if !is_name(method) || !is_name(intent) {
        return None;
    }
    let mut q = 1000;
    for parameter in parameters.split(';').map(str::trim).filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || value.is_empty() {
            return None;
        }
        if name.eq_ignore_ascii_case("q") {
            q = parse_weight(value)?;
        }
    }
    Some(Range { method, intent, q })
}

fn is_name(name: &str) -> bool {
    let inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b':');
    name == "*" || (!name.is_empty() && name.bytes().all(inner))
}

/// A weight in thousandths: `0` or `1`, and at most three decimals (RFC 9110, section 12.4.2).
fn parse_weight(value: &str) -> Option<u16> {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = decimals.bytes().chain(std::iter::repeat(b'0')).take(3);
    let fraction = thousandths.fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
