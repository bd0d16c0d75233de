#![allow(clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;

use proptest::prelude::*;

use super::{Binder, PreviousSecret, Secret, Slots};
use crate::{CredentialHeader, Echo, UnixMs};

fn secret(byte: u8) -> Secret {
    Secret::new(vec![byte; 32]).unwrap()
}

fn echo(binder: &Binder) -> Echo<'static> {
    let mut echo = Echo {
        id: Cow::Borrowed(""),
        realm: Cow::Borrowed("api.example.com"),
        method: Cow::Borrowed("tempo"),
        intent: Cow::Borrowed("charge"),
        request: Cow::Borrowed("eyJhbW91bnQiOiIxMDAwIn0"),
        description: None,
        expires: Some(Cow::Borrowed("2026-01-29T12:00:00.000Z")),
        digest: Some(Cow::Borrowed("sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=")),
        opaque: Some(Cow::Borrowed("e30")),
        header: CredentialHeader::Authorization,
    };
    echo.id = Cow::Owned(binder.id(&Slots::of_echo(&echo)));
    echo
}

/// C5: the slots and their order, against an HMAC worked out with OpenSSL.
#[test]
fn ids_are_hmacs_over_seven_slots_or_eight() {
    let binder = Binder::new(Secret::new(b"an example secret of 32 bytes ok".to_vec()).unwrap(), None);
    let slots = Slots {
        realm: "shop.example",
        method: "tempo",
        intent: "charge",
        request: "e30",
        ..Slots::default()
    };
    let expires = Slots { expires: "2030-01-01T00:00:00Z", ..slots };
    let digest = Slots { digest: "sha-256=abc", ..slots };
    let header = Slots { header: Some("Payment-Authorization"), opaque: "e30", ..slots };
    let expected = include_str!("ids.txt").lines();
    for (slots, expected) in [slots, expires, digest, header].iter().zip(expected) {
        assert_eq!(binder.id(slots), expected, "{slots:?}");
    }
}

/// C20: secrets are long enough, never shown, and any number of them at a time.
#[test]
fn secrets() {
    assert_eq!(Secret::new(vec![7; 31]).unwrap_err().bytes, 31);
    assert_eq!(format!("{:?}", secret(0x41)), "Secret(redacted)");
    let old = Binder::new(secret(1), None);
    let rotating = Binder::new(secret(2), Some(secret(1).into()));
    let rotated = Binder::new(secret(2), None);
    assert!(!format!("{rotating:?}").contains('1'));
    assert_eq!(rotating.check(&echo(&old)), Ok(()));
    assert_eq!(rotating.check(&echo(&rotating)), Ok(()));
    assert_eq!(rotated.check(&echo(&rotating)), Ok(()));
    assert!(rotated.check(&echo(&old)).is_err());
    assert!(old.check(&echo(&rotating)).is_err());
    let twice = Binder::new(secret(3), [secret(2).into(), secret(1).into()]);
    for issued in [&old, &rotating, &twice] {
        assert_eq!(twice.check(&echo(issued)), Ok(()));
    }
    // A secret that is known to have bound nothing later binds nothing later.
    for (until, good) in [("2026-01-29T12:00:00Z", true), ("2026-01-29T11:59:59.999Z", false)] {
        let expires_until = Some(UnixMs::parse(until).unwrap());
        let bounded = Binder::new(secret(2), [PreviousSecret { secret: secret(1), expires_until }]);
        assert_eq!(bounded.check(&echo(&old)).is_ok(), good, "{until}");
    }
}

/// The digest differs wherever the id would.
#[test]
fn digests_need_no_secret_and_tell_every_slot_apart() {
    let binder = Binder::new(secret(1), None);
    let whole = echo(&binder);
    let digest = Slots::of_echo(&whole).digest().unwrap();
    for field in 1..8 {
        let mut other = whole.clone();
        assert!(mutate(&mut other, field, "another".to_owned()));
        assert_ne!(Slots::of_echo(&other).digest(), Some(digest), "field {field}");
    }
    let header = Echo { header: CredentialHeader::PaymentAuthorization, ..whole.clone() };
    assert_ne!(Slots::of_echo(&header).digest(), Some(digest));
    let shifted = Echo { opaque: Some(Cow::Borrowed("e3|0")), ..whole };
    assert_eq!(Slots::of_echo(&shifted).digest(), None);
}

/// C11: the description binds nothing.
#[test]
fn descriptions_are_not_bound() {
    let binder = Binder::new(secret(1), None);
    let described = Echo { description: Some(Cow::Borrowed("anything")), ..echo(&binder) };
    assert_eq!(binder.check(&described), Ok(()));
}

/// C5: no two echoes share one joined text, not even where the optional slot comes and goes.
#[test]
fn slots_cannot_trade_places() {
    let binder = Binder::new(secret(1), None);
    let mut issued = Echo { header: CredentialHeader::PaymentAuthorization, ..echo(&binder) };
    issued.id = Cow::Owned(binder.id(&Slots::of_echo(&issued)));
    assert_eq!(binder.check(&issued), Ok(()));
    let shifted = Echo {
        header: CredentialHeader::Authorization,
        digest: Some(Cow::Owned(format!("{}|Payment-Authorization", issued.digest.as_deref().unwrap()))),
        ..issued.clone()
    };
    assert_eq!(binder.id(&Slots::of_echo(&shifted)), issued.id, "the joined texts are one");
    assert!(binder.check(&shifted).is_err());
}

fn mutate(echo: &mut Echo<'static>, field: usize, value: String) -> bool {
    let value = Cow::<'static, str>::Owned(value);
    let place = match field {
        0 => &mut echo.id,
        1 => &mut echo.realm,
        2 => &mut echo.method,
        3 => &mut echo.intent,
        4 => &mut echo.request,
        5 => echo.expires.as_mut().unwrap(),
        6 => echo.digest.as_mut().unwrap(),
        _ => echo.opaque.as_mut().unwrap(),
    };
    let changed = *place != value;
    *place = value;
    changed
}

proptest! {
    /// C5, C6: any change of any bound field breaks the binding.
    #[test]
    fn any_change_breaks_the_binding(field in 0_usize..8, value in "\\PC{0,60}") {
        let binder = Binder::new(secret(1), Some(secret(2).into()));
        let mut echo = echo(&binder);
        let changed = mutate(&mut echo, field, value);
        prop_assert_eq!(binder.check(&echo).is_err(), changed);
    }

    /// C5, C6: one changed character is enough.
    #[test]
    fn one_character_breaks_the_binding(field in 0_usize..8, at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.:-]") {
        let binder = Binder::new(secret(1), None);
        let mut echo = echo(&binder);
        let text = match field {
            0 => &echo.id,
            1 => &echo.realm,
            2 => &echo.method,
            3 => &echo.intent,
            4 => &echo.request,
            5 => echo.expires.as_ref().unwrap(),
            6 => echo.digest.as_ref().unwrap(),
            _ => echo.opaque.as_ref().unwrap(),
        };
        let mut changed = text.to_string();
        let at = at.index(changed.len());
        changed.replace_range(at..=at, &with);
        let changed = mutate(&mut echo, field, changed);
        prop_assert_eq!(binder.check(&echo).is_err(), changed);
    }
}
