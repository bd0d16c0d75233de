#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use async_trait::async_trait;
use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::ports::{
    ClaimKey, OfferError, Price, Resolution, SettleError, Settled, SettlementPlan, Verified, Verifier,
    VerifyError, VerifyRequest,
};
use farthing_protocol::{Credential, EncodedJson, Intent, MethodId, Problem, ProblemKind, UnixMs};
use http::Method;

use super::{Match, Route, RouteOffer, RouteTable};
use crate::path::NormalPath;

/// A rail that is only named.
struct Named(MethodId, Intent, Asset);

#[async_trait]
impl Verifier for Named {
    fn method(&self) -> &MethodId {
        &self.0
    }

    fn intent(&self) -> &Intent {
        &self.1
    }

    fn rail(&self) -> &str {
        "named"
    }

    fn asset(&self) -> &Asset {
        &self.2
    }

    fn offer(&self, _: &Price) -> Result<EncodedJson, OfferError> {
        Ok(EncodedJson::encode(&serde_json::json!({}))?)
    }

    fn keys(&self, _: &Credential<'_>) -> Result<Vec<ClaimKey>, Problem> {
        Ok(Vec::new())
    }

    async fn verify(&self, _: VerifyRequest<'_>) -> Result<Verified, VerifyError> {
        Err(VerifyError::Replayed)
    }

    async fn settle(&self, _: &SettlementPlan, _: UnixMs) -> Result<Settled, SettleError> {
        Err(Problem::new(ProblemKind::VerificationFailed, "named", "").into())
    }

    async fn resolve(&self, _: &SettlementPlan, _: UnixMs) -> Result<Resolution, String> {
        Ok(Resolution::Pending)
    }
}

fn paid(methods: &str, path: &str) -> Route {
    let asset = Asset::new("USD", 6, AssetKind::Fiat).unwrap();
    let money = Money::new(Amount::from_base(1), asset.clone());
    let verifier = Arc::new(Named(MethodId::new("named").unwrap(), Intent::charge(), asset));
    let price = Price { money, description: None, external_id: None };
    Route::priced(list(methods), path, [RouteOffer { verifier, price }])
}

fn free(methods: &str, path: &str) -> Route {
    Route::free(list(methods), path)
}

fn list(methods: &str) -> Vec<Method> {
    methods.split_whitespace().map(|method| method.parse().unwrap()).collect()
}

#[test]
fn the_most_specific_route_decides() {
    let routes = [
        free("", "/{*rest}"),
        paid("GET", "/v1/{id}"),
        free("POST", "/v1/{other_name}"),
        paid("", "/v1/{id}/deep/{*rest}"),
        free("GET", "/v1/docs"),
        paid("GET", "/v1/docs/{page}"),
        paid("GET", "/v1/{id}/b"),
        free("", "/Mixed"),
        paid("", "/mixed/{*rest}"),
    ];
    let table = RouteTable::new(&routes).unwrap();
    let allowed = |list: &[Method]| Match::NoMethod { allowed: list.to_vec() };
    for (method, path, expected) in [
        ("GET", "/", Match::Route(0)),
        ("GET", "/anything/else", Match::Route(0)),
        ("GET", "/v1/7", Match::Route(1)),
        ("HEAD", "/v1/7", Match::Route(1)),
        ("GET", "/v1/7/", Match::Route(1)),
        ("POST", "/v1/7", Match::Route(2)),
        // It does not fall through to the free route that takes everything.
        ("PUT", "/v1/7", allowed(&[Method::GET, Method::HEAD, Method::POST])),
        ("get", "/v1/7", allowed(&[Method::GET, Method::HEAD, Method::POST])),
        ("GET", "/v1/7/deep", Match::Route(3)),
        ("DELETE", "/v1/7/deep/and/deeper", Match::Route(3)),
        ("GET", "/v1/docs", Match::Route(4)),
        ("HEAD", "/v1/docs", Match::Route(4)),
        ("GET", "/v1/DOCS", Match::Route(1)),
        ("GET", "/v1/docs/start", Match::Route(5)),
        ("GET", "/v1/docs/b", Match::Route(5)),
        ("GET", "/v1/x/b", Match::Route(6)),
        ("GET", "/v1/x/c", Match::Route(0)),
        // A laxer server would see the priced route.
        ("GET", "/V1/7", Match::LooksPriced),
        ("GET", "/v1;x/7", Match::LooksPriced),
        ("GET", "/v1/x/B", Match::LooksPriced),
        ("GET", "/v1./x/b", Match::LooksPriced),
        // Both are written down: each means itself.
        ("GET", "/Mixed", Match::Route(7)),
        ("GET", "/mixed", Match::Route(8)),
        ("GET", "/MIXED", Match::LooksPriced),
    ] {
        let method: Method = method.parse().unwrap();
        assert_eq!(table.find(&method, &NormalPath::of(path).unwrap()), expected, "{method} {path}");
    }
}

/// An upstream that takes the name of a format for a choice of format serves the priced resource under it.
#[test]
fn formats_of_a_priced_route_are_not_free() {
    let routes = [
        free("", "/{*rest}"),
        paid("", "/v1/report"),
        free("", "/v1/{name}"),
        paid("", "/v1/{id}/deep"),
        free("", "/v1/report.csv"),
        paid("", "/v1/v1.2"),
        paid("", "/{id}/any"),
        free("", "/docs/any.html"),
        paid("POST", "/both/{x}"),
        free("GET", "/both/{x}"),
        free("", "/open/{*rest}"),
        paid("", "/files/{*rest}"),
        paid("", "/.hidden"),
    ];
    let table = RouteTable::new(&routes).unwrap();
    for (path, expected) in [
        ("/v1/report", Match::Route(1)),
        ("/v1/report.json", Match::LooksPriced),
        ("/v1/report.json/", Match::LooksPriced),
        ("/v1/REPORT.Html", Match::LooksPriced),
        ("/v1/report.tar.gz", Match::LooksPriced),
        ("/v1/report;v=1.json", Match::LooksPriced),
        ("/v1/report.json;v=1", Match::LooksPriced),
        ("/v1/report%2ejson", Match::LooksPriced),
        ("/v1/x/deep.json", Match::LooksPriced),
        ("/x/any.json", Match::LooksPriced),
        ("/v1/v1.2.xml", Match::LooksPriced),
        ("/v1/v1.2", Match::Route(5)),
        ("/.hidden.txt", Match::LooksPriced),
        // Other names.
        ("/v1/reports.json", Match::Route(2)),
        ("/v1/v1.3", Match::Route(2)),
        ("/v1/.report", Match::Route(2)),
        ("/v1/report.json/x", Match::Route(0)),
        ("/v1.json/report", Match::Route(0)),
        // The operator has written it down.
        ("/v1/report.csv", Match::Route(4)),
        ("/docs/any.html", Match::Route(7)),
        ("/both/x.json", Match::Route(9)),
        ("/open/report.json", Match::Route(10)),
        ("/files/a.tar.gz", Match::Route(11)),
    ] {
        let path = NormalPath::of(path).unwrap();
        assert_eq!(table.find(&Method::GET, &path), expected, "{}", path.as_str());
    }
    let dots = format!("/v1/{}", ".x".repeat(4_000));
    assert_eq!(table.find(&Method::GET, &NormalPath::of(&dots).unwrap()), Match::Route(2));
}

#[test]
fn routes_that_do_not_go_together_are_refused() {
    for (routes, code, words) in [
        (vec![free("GET", "/a"), paid("GET", "/a")], "route_conflict", vec!["GET /a"]),
        (
            vec![paid("GET POST", "/{a}"), free("POST", "/{b}")],
            "route_conflict",
            vec!["GET,POST /{a}", "POST /{b}"],
        ),
        (vec![paid("", "/a"), free("PUT", "/a/")], "route_conflict", vec!["* /a", "PUT /a/"]),
        (vec![paid("", "/a/{*x}"), free("", "/a/{*y}")], "route_conflict", vec!["* /a/{*x}", "* /a/{*y}"]),
        (vec![paid("HEAD", "/a")], "route_head_listed", vec!["HEAD /a"]),
        (vec![Route::priced([], "/a", [])], "route_no_offer", vec!["* /a"]),
        (vec![free("", "a")], "path_not_absolute", vec!["* a"]),
        (vec![free("", "/a/../b")], "pattern_no_segment", vec!["`..`"]),
        (vec![free("", "/a//b")], "pattern_no_segment", vec!["/a//b"]),
        (vec![free("", "/%61")], "pattern_not_normal", vec!["`/a`"]),
        (vec![free("", "/{a")], "pattern_bad_name", vec!["{a"]),
        (vec![free("", "/x{a}")], "pattern_bad_name", vec!["x{a}"]),
        (vec![free("", "/{}")], "pattern_bad_name", vec!["{}"]),
        (vec![free("", "/{*}")], "pattern_bad_name", vec!["{*}"]),
        (vec![free("", "/{*a}/b")], "pattern_rest_not_last", vec!["{*"]),
        (vec![free("", "/a b")], "path_raw_character", vec!["/a b"]),
    ] {
        let error = RouteTable::new(&routes).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "`{error}` does not name `{word}`");
        }
    }
}
