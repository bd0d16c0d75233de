//! `farthing serve`: the example is right, and a gateway that cannot work does not start.

use crate::network::Network;
use crate::server::Answer;
use crate::support::Home;

fn network() -> Network {
    Network::new(|_| Answer::new(200, "good"))
}

/// The network's configuration with `from` replaced.
fn with(network: &Network, from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(&network.config).unwrap();
    assert!(text.contains(from), "{from}");
    network.home.file("other.toml", text.replace(from, to))
}

#[test]
fn the_example_passes_its_own_check() {
    let home = Home::new();
    let sandbox = home.sandbox();
    home.file("secret.txt", "0".repeat(64));
    let printed = home.run(&["serve", "--init"]).ok().stdout;
    assert_eq!(home.run(&["config", "example"]).ok().stdout, printed);
    // The only thing that a test has to change is the port, which is taken from whatever is free.
    let commented = "# rpc_url = \"http://127.0.0.1:8545\"";
    assert!(printed.contains(commented));
    let file =
        home.file("gateway.toml", printed.replace(commented, &format!("rpc_url = \"{}\"", sandbox.rpc())));
    let run = home.run(&["serve", "--config", &file, "--check"]).ok();
    assert!(run.stdout.contains("is right") && run.stdout.contains("/v1/weather"), "{run:?}");
}

#[test]
fn mistakes_are_told_with_file_line_and_key_all_at_once() {
    let network = network();
    let file = with(&network, "price = \"0.05\"", "price = \"0.0000001\"");
    let run = network.home.run(&["serve", "--config", &file]);
    assert_eq!(run.code, 2, "{run:?}");
    let told: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| line.contains(".price: `0.0000001` has more than 6 decimals"))
        .collect();
    assert_eq!(told.len(), 3, "{run:?}");
    assert!(told[0].starts_with(&format!("{file}:25: routes[1].price: ")), "{run:?}");
    assert!(run.stderr.contains("help: correct the file"), "{run:?}");

    let json = network.home.run(&["serve", "--config", &file, "--check", "--output", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json.stderr).unwrap();
    assert_eq!(value["error"]["code"], "config");
    assert_eq!(value["error"]["details"][0]["line"], 25);
    assert_eq!(value["error"]["details"][0]["key"], "routes[1].price");
}

#[test]
fn what_only_the_chain_can_tell_is_asked_at_start() {
    let network = network();
    let rpc = network.sandbox.rpc().to_owned();
    let splits_of_a_zero = "path = \"/dear\"\nprice = \"3\"";
    // From, to, exit code, words.
    let cases = [
        ("chain_id = 1337", "chain_id = 42431", 2, "serves chain 1337, not 42431"),
        (rpc.as_str(), "http://127.0.0.1:1", 3, "tempo.rpc_url (127.0.0.1): the node is not available"),
        (
            "currency = \"PathUSD\"",
            "currency = \"0x20c0000000000000000000000000000000000099\"",
            3,
            "tempo.currency",
        ),
        (
            splits_of_a_zero,
            "path = \"/a/{x}\"\nprice = \"3\"\n[[routes]]\npath = \"/a/{y}\"\nprice = \"1\"",
            2,
            "same path and method",
        ),
        ("key_file = \"sponsor.key\"", "key_file = \"secret\"", 2, "64 hexadecimal digits"),
    ];
    for (from, to, exit, words) in cases {
        let file = with(&network, from, to);
        for args in
            [&["serve", "--config", file.as_str(), "--check"][..], &["serve", "--config", file.as_str()]]
        {
            let run = network.home.run(args);
            assert_eq!(run.code, exit, "{to}: {run:?}");
            assert!(run.stderr.contains(words), "{to}: {run:?}");
            assert!(run.stderr.contains("help: "), "{to}: {run:?}");
        }
    }
}

#[test]
fn one_gateway_owns_a_store_and_a_port() {
    let network = network();
    let gateway = network.serve();
    let second = network.home.run(&["serve", "--config", &network.config]);
    assert_eq!(second.code, 2, "{second:?}");
    assert!(second.stderr.contains("in use by another process"), "{second:?}");
    network.home.run(&["serve", "--config", &network.config, "--check"]).ok();
    let file = with(&network, "claims.db", "other.db");
    let third = network.home.run(&["serve", "--config", &file]);
    assert_eq!(third.code, 2, "{third:?}");
    assert!(third.stderr.contains("gateway.listen: cannot listen on"), "{third:?}");
    assert_eq!(gateway.terminate(), Some(0));
    assert_eq!(network.serve().terminate(), Some(0), "the store is free again");
}

#[test]
fn it_answers_as_a_proxy_does_and_asks_for_payment_where_it_should() {
    let network = network();
    let gateway = network.serve();
    let get = |path: &str| reqwest::blocking::get(format!("{}{path}", gateway.url())).unwrap();
    assert_eq!(get("/free").text().unwrap(), "good");
    assert_eq!(get("/healthz").status(), 200);
    assert_eq!(get("/not/listed").status(), 404);
    let asked = get("/paid");
    assert_eq!(asked.status(), 402);
    assert_eq!(asked.headers()["cache-control"], "no-store", "C28");
    assert!(asked.headers()["www-authenticate"].to_str().unwrap().starts_with("Payment "), "C1");
    assert_eq!(network.api.asked().len(), 1, "C22: an unpaid request goes nowhere");
}
