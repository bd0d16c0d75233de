//! Proxies and requests of one home share one budget.

use super::world::{Started, binary, curl, run};
use crate::network::{Network, SELLER};
use crate::server::Answer;

/// Two proxies and eight processes of `farthing request` want to spend 1.20 at once, and 0.50 is allowed.
#[test]
fn any_number_of_proxies_and_requests_stay_within_one_limit() {
    let network = Network::new(|_| Answer::new(200, "good"));
    network.home.funded("agent", &network.sandbox);
    network.home.file("policy.toml", "[limits]\ntotal = \"0.50\"\n\n[hosts]\nallow = [\"127.0.0.1\"]\n");
    let _gateway = network.serve();
    let before = network.balance(SELLER);
    let url = network.url("/paid");
    // The hosts are the policy file's.
    let proxies = [Started::new(&network, &[]), Started::new(&network, &[])];
    let served = std::thread::scope(|scope| {
        let mut calls = Vec::new();
        for _ in 0..8 {
            for proxy in &proxies {
                calls.push(scope.spawn(|| curl(proxy, &[&url]).stdout == "good"));
            }
            calls.push(scope.spawn(|| {
                let mut request = binary(&network);
                run(request.args(["request", &url, "--rpc-url", network.sandbox.rpc()])).stdout == "good"
            }));
        }
        calls.into_iter().map(|call| call.join().unwrap()).filter(|served| *served).count()
    });
    assert_eq!(network.balance(SELLER) - before, 500_000, "all of it, and no more");
    assert_eq!(served, 10);
    let last = curl(&proxies[0], &["-i", &url]);
    assert!(last.stdout.contains(" 402") && last.stdout.contains("farthing-refused: over_"), "{last:?}");
    let refused = proxies.iter().flat_map(Started::told).filter(|line| line["event"] == "refusal").count();
    assert!(refused > 0, "the proxies say so");
}

/// A proxy's own `--max-spend` narrows what the file allows, over all of its calls.
#[test]
fn a_proxys_own_limit_narrows_the_policy() {
    let network = Network::new(|_| Answer::new(200, "good"));
    network.home.funded("agent", &network.sandbox);
    network.home.file(
        "policy.toml",
        "[limits]\ntotal = \"5\"\n\n[hosts]\nallow = [\"127.0.0.1\"]\ndeny = [\"localhost\"]\n",
    );
    let _gateway = network.serve();
    let url = network.url("/paid");
    let proxy = Started::new(&network, &["--max-spend", "0.12"]);
    let served = (0..4).filter(|_| curl(&proxy, &[&url]).stdout == "good").count();
    assert_eq!(served, 2);
    // Named on the command line, and not allowed by the file.
    let denied = Started::new(&network, &["--allow-host", "localhost"]);
    let local = url.replace("127.0.0.1", "localhost");
    let answer = curl(&denied, &["-i", &local]);
    assert!(answer.stdout.contains(" 402") && !answer.stdout.contains("farthing-"), "{answer:?}");
}
