//! Wallets: a round trip of keys, and money on the sandbox.

use crate::support::{Home, PASSWORD};

const DEV_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const DEV_ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

#[test]
fn a_key_goes_in_and_comes_out_unchanged() {
    let home = Home::new();
    let imported = home.run_with_input(&["wallet", "import", "dev"], DEV_KEY).ok();
    assert_eq!(imported.stdout.trim(), DEV_ADDRESS);
    assert!(!(imported.stdout + &imported.stderr).contains(&DEV_KEY[2..]), "C20");

    assert_eq!(home.run(&["wallet", "address"]).ok().stdout.trim(), DEV_ADDRESS, "the only one is meant");
    let listed = home.run(&["wallet", "list", "--output", "json"]).ok().json();
    assert_eq!(listed["wallets"][0]["name"], "dev");
    assert_eq!(listed["wallets"][0]["address"], DEV_ADDRESS);

    let encrypted = home.run(&["wallet", "export", "dev", "--encrypted"]).ok().json();
    assert_eq!(encrypted["version"], 3, "Web3 Secret Storage");
    let exported = home.run(&["wallet", "export", "dev", "--yes"]).ok();
    assert_eq!(exported.stdout.trim(), DEV_KEY);
    assert!(exported.stderr.contains("can take everything"), "{exported:?}");

    home.run(&["wallet", "remove", "dev", "--yes"]).ok();
    assert_eq!(home.run(&["wallet", "address", "dev"]).code, 2);
}

#[test]
fn what_cannot_be_undone_is_not_done_without_consent() {
    let home = Home::new();
    home.run_with_input(&["wallet", "import", "dev"], DEV_KEY).ok();
    for args in [&["wallet", "export", "dev"][..], &["wallet", "remove", "dev"]] {
        let run = home.run(args);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains("add --yes if it is meant"), "{run:?}");
        assert_eq!(run.stdout, "", "{args:?}");
    }
    home.run(&["wallet", "address", "dev"]).ok();
}

#[test]
fn keys_are_refused_where_others_could_see_them_and_passwords_where_they_are_wrong() {
    let home = Home::new();
    let exposed = home.run(&["wallet", "import", "dev", DEV_KEY]);
    assert_eq!(exposed.code, 2);
    assert!(exposed.stderr.contains("the shell keeps it in its history"), "{exposed:?}");
    assert!(!exposed.stderr.contains(&DEV_KEY[2..]), "C20");

    let bad = home.run_with_input(&["wallet", "import", "dev"], "0x1234");
    assert_eq!(bad.code, 2);
    assert!(bad.stderr.contains("64 hexadecimal digits"), "{bad:?}");

    home.run_with_input(&["wallet", "import", "dev"], DEV_KEY).ok();
    let twice = home.run_with_input(&["wallet", "import", "dev"], DEV_KEY);
    assert_eq!(twice.code, 2);
    assert!(twice.stderr.contains("already"), "{twice:?}");

    let wrong = home.file("wrong", "wrong");
    let run = home.run(&["wallet", "export", "dev", "--yes", "--password-file", &wrong]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("does not open the wallet dev"), "{run:?}");

    let empty = home.file("empty", "\n");
    let run = home.run(&["wallet", "new", "other", "--password-file", &empty]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("the password is empty"), "{run:?}");

    let unasked = home.run_with(&["wallet", "new", "other"], "", |command| {
        command.env_remove("FARTHING_PASSWORD");
    });
    assert_eq!(unasked.code, 2);
    assert!(unasked.stderr.contains("--password-file"), "{unasked:?}");
    let right = home.file("right", format!("{PASSWORD}\r\n"));
    home.run(&["wallet", "export", "dev", "--yes", "--password-file", &right]).ok();
}

#[cfg(unix)]
#[test]
fn key_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.run(&["wallet", "new", "agent"]).ok();
    let wallets = home.path().join("wallets");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(wallets.join("agent")), mode(wallets)), (0o600, 0o700));
}

#[test]
fn several_wallets_need_a_name_or_one_called_default() {
    let home = Home::new();
    home.run(&["wallet", "new", "a"]).ok();
    home.run(&["wallet", "new", "b"]).ok();
    let run = home.run(&["wallet", "address"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("several wallets: a, b"), "{run:?}");
    let made = home.run(&["wallet", "new"]).ok().stdout;
    assert_eq!(home.run(&["wallet", "address"]).ok().stdout, made, "`default` is the one");
}

#[test]
fn play_money_comes_and_goes() {
    let home = Home::new();
    let sandbox = home.sandbox();
    let address = home.funded("agent", &sandbox);
    home.run(&["wallet", "new", "friend"]).ok();
    let friend = home.run(&["wallet", "address", "friend"]).ok().stdout.trim().to_owned();
    let balance = |who: &str| home.balance(who, &sandbox);
    let before = balance(&address);
    assert!(before >= 1_000_000);
    assert_eq!(balance("friend"), 0);

    let unconfirmed =
        home.run(&["wallet", "send", "2.5", &friend, "--from", "agent", "--rpc-url", sandbox.rpc()]);
    assert_eq!((unconfirmed.code, balance("friend")), (2, 0), "nothing is sent without consent");
    let nowhere = home.run(&["wallet", "send", "2.5", &friend, "--from", "agent", "--yes"]);
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.stderr.contains("it is not said on which chain"), "{nowhere:?}");

    let args = [
        "wallet",
        "send",
        "2.5",
        &friend,
        "--from",
        "agent",
        "--yes",
        "--rpc-url",
        sandbox.rpc(),
        "--output",
        "json",
    ];
    let sent = home.run(&args).ok().json();
    assert_eq!(sent["amount_base"], "2500000");
    assert_eq!(sent["transaction"].as_str().unwrap().len(), 66);
    assert_eq!(balance("friend"), 2_500_000);
    assert!(balance("agent") < before - 2_500_000, "there is a fee");

    let all = ["wallet", "send", "9", &address, "--from", "friend", "--yes", "--rpc-url", sandbox.rpc()];
    let too_much = home.run(&all);
    assert_eq!(too_much.code, 5, "{too_much:?}");
    assert!(too_much.stderr.contains("nothing was sent"), "{too_much:?}");
    assert_eq!(balance("friend"), 2_500_000);
}
