//! `farthing proxy -- PROGRAM`, and who may use a proxy.

use super::world::{binary, curl, run, world};
use crate::network::SELLER;
use crate::server::Answer;

#[test]
fn a_program_is_run_with_the_proxy_and_ends_it() {
    let world = world(|_| Answer::new(200, "good"));
    let network = &world.network;
    let before = network.balance(SELLER);
    let with = |command: &[&str]| {
        let mut farthing = binary(network);
        farthing.args(["proxy", "--rpc-url", network.sandbox.rpc(), "--server-ca", &world.tls.ca]);
        run(farthing.args(["--allow-host", "localhost", "--"]).args(command))
    };
    let result = with(&["curl", "-sS", &world.url("/paid")]).ok();
    assert_eq!(result.stdout, "good", "its output is the program's alone");
    assert!(result.stderr.starts_with("paid 0.05 PathUSD to 0x90F7"), "{result:?}");
    assert_eq!(result.stderr.lines().count(), 1, "{result:?}");
    assert_eq!(network.balance(SELLER) - before, 50_000);
    assert_eq!(with(&["sh", "-c", "exit 42"]).code, 42);
    assert_eq!(with(&["sh", "-c", "kill -TERM $$"]).code, 128 + 15);
    let env = with(&["env"]).ok().stdout;
    assert!(env.contains("HTTPS_PROXY=http://farthing:"), "others on this machine cannot use it: {env}");
    assert!(!env.contains("FARTHING_PASSWORD"), "the wallet's password is not the program's: {env}");
    let missing = with(&["no-such-program"]);
    assert!(missing.code == 2 && missing.stderr.contains("cannot run no-such-program"), "{missing:?}");
}

#[test]
fn a_proxy_that_has_a_token_serves_nobody_without_it() {
    let world = world(|_| Answer::new(200, "good"));
    let token = world.network.home.file("token", "0123456789abcdef\n");
    let proxy = world.proxy(&["--allow-host", "localhost", "--token-file", &token]);
    let before = world.network.balance(SELLER);
    let url = world.url("/paid");
    for user in [&[][..], &["--proxy-user", "farthing:0123456789abcdeX"]] {
        let result = curl(&proxy, &[user, &[&url]].concat());
        assert!(result.stderr.contains("407"), "{user:?}: {result:?}");
    }
    assert_eq!(world.network.balance(SELLER), before);
    let result = curl(&proxy, &["--proxy-user", "farthing:0123456789abcdef", &url]).ok();
    assert_eq!(result.stdout, "good");
    assert!(!format!("{}{}", proxy.ready, proxy.stderr()).contains("0123456789abcdef"), "it is never shown");
}

#[test]
fn what_would_open_a_proxy_to_others_is_refused() {
    let world = world(|_| Answer::new(200, "good"));
    let short = world.network.home.file("short", "short");
    let cases: &[(&[&str], &str)] = &[
        (&["--allow-host", "localhost", "--listen", "0.0.0.0:0"], "proxy_remote"),
        (&["--allow-host", "localhost", "--listen", "0.0.0.0:0", "--allow-remote"], "usage"),
        (&["--allow-host", "localhost", "--token-file", &short], "proxy_bad_token"),
        (&[], "proxy_no_hosts"),
        (&["--allow-host", "https://localhost/"], "policy_bad_host"),
        (&["--allow-host", "localhost", "--server-ca", &short], "server_ca"),
        (&["env", "--listen", "127.0.0.1:0"], "listen"),
    ];
    for (args, code) in cases {
        let result = run(binary(&world.network).args(["proxy", "--output", "json"]).args(*args));
        assert_eq!(result.code, 2, "{args:?}: {result:?}");
        assert!(result.stderr.contains(&format!("\"code\":\"{code}\"")), "{args:?}: {result:?}");
        assert_eq!(result.stdout, "");
    }
}
