//! Wrong usage is told with what to do next and a documented code, as text and as JSON; right usage explains itself.

use crate::support::Home;

#[test]
fn each_mistake_has_its_exit_code_its_words_and_its_code_for_programs() {
    let home = Home::new();
    // Arguments, exit code, code for programs, words of the message, words of the help.
    let cases: &[(&[&str], i32, &str, &str, &str)] = &[
        (&["nonsense"], 2, "usage", "unrecognized subcommand 'nonsense'", "--help"),
        (&["request"], 2, "usage", "required arguments", "--help"),
        (&["request", "ftp://example.com"], 2, "usage", "it is not an HTTP URL", "--help"),
        (&["request", "https://u:p@example.com"], 2, "usage", "user name or password in it", "--help"),
        (&["request", "http://localhost:1", "-H", "nonsense"], 2, "usage", "it has no colon", "--help"),
        (
            &["request", "http://localhost:1", "--max-spend", "ten"],
            2,
            "policy_bad_limit",
            "`ten` is not a limit",
            "",
        ),
        (
            &["request", "http://localhost:1", "--key", "nobody"],
            2,
            "key_missing",
            "no wallet named nobody",
            "wallet list",
        ),
        (
            &["request", "http://localhost:1", "-d", "@no/such/file"],
            2,
            "file",
            "cannot read no/such/file",
            "",
        ),
        (
            &["request", "http://localhost:1", "--chain-id", "77"],
            2,
            "unknown_chain",
            "chain 77 is not known",
            "--rpc-url",
        ),
        (&["request", "http://localhost:1"], 3, "transport_failed", "Nothing was paid", "check the address"),
        (&["wallet", "new", "../escape"], 2, "key_bad_name", "cannot name a wallet", ""),
        (&["wallet", "address"], 2, "no_wallet", "there is no wallet yet", "farthing wallet new"),
        (&["wallet", "address", "nobody"], 2, "key_missing", "no wallet named nobody", "wallet list"),
        (&["wallet", "balance", "0x12"], 2, "address", "is not an address", ""),
        (&["wallet", "send", "1", "0x12"], 2, "usage", "is not an address", "--help"),
        (
            &["wallet", "send", "1e3", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"],
            2,
            "usage",
            "is not an amount",
            "--help",
        ),
        (
            &["wallet", "fund", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "--chain-id", "4217"],
            2,
            "no_faucet",
            "no play money",
            "USDC.e",
        ),
        (
            &[
                "wallet",
                "balance",
                "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
                "--rpc-url",
                "http://127.0.0.1:1",
            ],
            3,
            "rpc_unavailable",
            "not available",
            "farthing sandbox",
        ),
        (&["sandbox", "--chain-id", "4217"], 2, "production_chain_id", "where real money moves", ""),
        (&["sandbox", "--block-time", "5"], 2, "usage", "is not a duration", "--help"),
        (&["serve"], 2, "usage", "required arguments", "--help"),
        (
            &["serve", "--config", "no/such.toml"],
            2,
            "file",
            "cannot read the configuration no/such.toml",
            "serve --init",
        ),
        (
            &["payments", "nonsense"],
            2,
            "no_such_payment",
            "there is no payment nonsense",
            "farthing payments",
        ),
    ];
    for (args, exit, code, message, help) in cases {
        let text = home.run(args);
        assert_eq!(text.code, *exit, "{args:?}: {text:?}");
        assert!(text.stderr.starts_with("error: "), "{args:?}: {text:?}");
        assert!(text.stderr.contains(message), "{args:?}: {text:?}");
        assert_eq!(text.stdout, "", "{args:?}: errors go to standard error");

        let json = home.run(&[args, ["--output", "json"].as_slice()].concat());
        assert_eq!(json.code, *exit, "{args:?}: {json:?}");
        let value: serde_json::Value =
            serde_json::from_str(&json.stderr).unwrap_or_else(|_| panic!("{args:?}: {json:?}"));
        assert_eq!(value["error"]["code"], *code, "{args:?}: {json:?}");
        assert_eq!(value["exit_code"], *exit, "{args:?}");
        let said = value["error"]["help"].as_str().unwrap_or_default();
        assert!(said.contains(help), "{args:?}: {json:?}");
    }
}

#[test]
fn every_command_explains_itself_with_examples() {
    let home = Home::new();
    for command in
        ["serve", "request", "wallet", "payments", "sandbox", "demo", "completions", "man", "proxy"]
    {
        let run = home.run(&[command, "--help"]).ok();
        assert!(
            run.stdout.contains("Example") && run.stdout.contains("Usage: farthing"),
            "{command}: {}",
            run.stdout
        );
        assert_eq!(run.stderr, "", "{command}: help is an answer");
    }
    for args in [&["--help"][..], &["-h"], &["--version"], &["help", "exit-codes"], &["exit-codes"]] {
        home.run(args).ok();
    }
    let table = home.run(&["help", "exit-codes"]).ok().stdout;
    assert!(table.contains("22  the server answered 400 or more and --fail was given"), "{table}");
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = Home::new().run(&["completions", shell]).ok().stdout;
        assert!(script.contains("wallet") && script.contains("sandbox"), "{shell}");
    }
}

#[test]
fn exit_codes_can_be_read_by_programs() {
    let codes = Home::new().run(&["exit-codes", "--output", "json"]).ok().json();
    let numbers: Vec<i64> =
        codes.as_array().unwrap().iter().map(|row| row["code"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 22]);
}
