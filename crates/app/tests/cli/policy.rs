//! The policy file: what it allows, what it refuses and how it says so, and budgets that many processes share.

use std::process::Command;

use serde_json::Value;

use crate::network::{Network, SELLER};
use crate::server::Answer;
use crate::support::{Home, PASSWORD, Run};

/// A home with this policy.
fn with_policy(text: &str) -> Home {
    let home = Home::new();
    home.file("policy.toml", text);
    home
}

/// Line, key, and words.
type Mistake = (u64, &'static str, &'static str);

#[test]
fn every_mistake_is_told_with_its_line_its_key_and_what_would_be_right() {
    // The file; then line, key, and words of each mistake.
    let cases: &[(&str, &[Mistake])] = &[
        ("[limits]\ncal = \"1\"\n", &[(2, "limits.cal", "did you mean `call`?")]),
        ("[limits]\ncall = 0.1\n", &[(2, "limits.call", "is a float; write a string in quotes")]),
        ("[limits]\ncall = \"ten\"\n", &[(2, "limits.call", "`ten` is not a limit")]),
        (
            "[limits]\ncall = \"1 PathUDS\"\n",
            &[(2, "limits.call", "\"pathuds\" is not a token that is known here")],
        ),
        ("[limits]\ncall = \"1, 2 0x12\"\n", &[(2, "limits.call", "does not name an asset")]),
        (
            "[limits.each_host]\nweek = \"1\"\n",
            &[(2, "limits.each_host.week", "is not a key here; there are: call, day")],
        ),
        ("[[limits.at]]\nday = \"1\"\n", &[(1, "limits.at[0].host", "is missing: which hosts")]),
        ("[hosts]\nallow = [\"https://a\"]\n", &[(2, "hosts.allow[0]", "`https://a` is not a host")]),
        ("[hosts]\nask = \"yes\"\n", &[(2, "hosts.ask", "write \"unknown\" or \"never\"")]),
        (
            "[pay]\nchains = [\"mainnet\"]\n",
            &[(2, "pay.chains[0]", "\"mainnet\" is not a chain; write \"eip155:4217\"")],
        ),
        (
            "[pay]\nrecipients = [\"0x70997970C51812dc3A010C7d01b50e0d17dc79C9\"]\n",
            &[(2, "pay.recipients[0]", "wrong checksum")],
        ),
        (
            "[pay]\nmodes = [\"pul\"]\nmethods = [\"cash\"]\n",
            &[(2, "pay.modes[0]", "there are: \"pull\""), (3, "pay.methods[0]", "there are: \"tempo\"")],
        ),
        ("[retry]\nmax_wait = \"soon\"\n", &[(2, "retry.max_wait", "is not a duration")]),
        ("[limit]\n", &[(1, "limit", "did you mean `limits`?")]),
        ("[limits\n", &[(1, "", "")]),
    ];
    for (text, expected) in cases {
        let home = with_policy(text);
        let run = home.run(&["policy", "check", "--output", "json"]);
        assert_eq!(run.code, 2, "{text}: {run:?}");
        let error: Value = serde_json::from_str(&run.stderr).unwrap();
        let faults = error["error"]["details"].as_array().unwrap();
        assert_eq!(faults.len(), expected.len(), "{text}: {faults:?}");
        for (fault, (line, key, words)) in faults.iter().zip(*expected) {
            assert_eq!((&fault["line"], &fault["key"]), (&(*line).into(), &(*key).into()), "{text}");
            assert!(fault["message"].as_str().unwrap().contains(words), "{text}: {fault}");
        }
        let person = home.run(&["policy", "check"]);
        assert!(person.stderr.contains("policy.toml:"), "{person:?}");
        assert!(person.stderr.contains("farthing policy init --print"), "{person:?}");
        // A policy that cannot be read allows nothing.
        let call = home.run(&["request", "http://127.0.0.1:1/"]);
        assert_eq!(call.code, 2, "{call:?}");
    }
}

#[test]
fn a_policy_is_made_checked_shown_and_explained() {
    let home = Home::new();
    let none = home.run(&["policy", "show"]);
    assert_eq!(none.code, 2);
    assert!(
        none.stderr.contains("there is no policy file") && none.stderr.contains("policy init"),
        "{none:?}"
    );
    home.run(&["policy", "init"]).ok();
    let twice = home.run(&["policy", "init"]);
    assert!(twice.code == 2 && twice.stderr.contains("it exists already"), "{twice:?}");
    assert!(home.run(&["policy", "check"]).ok().stdout.starts_with("right: "));
    let printed = home.run(&["policy", "init", "--print"]).ok().stdout;
    assert_eq!(printed, std::fs::read_to_string(home.path().join("policy.toml")).unwrap());
    let shown = home.run(&["policy", "show"]).ok().stdout;
    for words in ["limits.call in policy.toml", "at most 0.1 dollars a call", "5 left", "none without asking"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let json = home.run(&["policy", "show", "--output", "json"]).ok().json();
    assert_eq!(json["limits"][0]["rule"], "limits.hour in policy.toml");
    assert_eq!((&json["limits"][0]["left"], &json["rules"]["ask"]), (&"1".into(), &"unknown".into()));

    let unknown = home.run(&["policy", "explain", "https://api.example.com/x"]);
    assert_eq!(unknown.code, 4, "{unknown:?}");
    assert!(unknown.stdout.contains("refuses  hosts.ask (policy.toml)"), "{unknown:?}");
    assert!(unknown.stdout.contains("no Accept-Payment"), "{unknown:?}");
    let agent = home.file(
        "agent.toml",
        "[limits]\ncall = \"1\"\n[[limits.at]]\nhost = \"*.example.com\"\nday = \"2\"\n[hosts]\nallow = [\"*.example.com\"]\ndeny = [\"bad.example.com\"]\nask = \"never\"\n",
    );
    // URL, exit code, words.
    let cases = [
        ("https://api.example.com/", 0, "*.example.com is allowed"),
        ("https://api.example.com/", 0, "limits.at *.example.com day in agent.toml"),
        ("https://bad.example.com/", 4, "is denied"),
        ("https://example.org/", 4, "add \"example.org\" to `hosts.allow` in agent.toml"),
        ("http://api.example.com/", 4, "without TLS"),
    ];
    for (url, code, words) in cases {
        let run = home.run(&["policy", "explain", url, "--policy", &agent]);
        assert_eq!(run.code, code, "{url}: {run:?}");
        assert!(run.stdout.contains(words), "{url} {words}: {run:?}");
    }
    // By the variable, too; what is named has to be there.
    let by_variable = home.run_with(&["policy", "check"], "", |command| {
        command.env("FARTHING_POLICY", &agent);
    });
    assert!(by_variable.ok().stdout.contains("agent.toml"));
    let gone = home.run(&["request", "http://127.0.0.1:1/", "--policy", "no/such.toml"]);
    assert!(gone.code == 2 && gone.stderr.contains("cannot read the policy no/such.toml"), "{gone:?}");
}

/// A gateway, a funded wallet, and a way to call.
fn network() -> Network {
    let network = Network::new(|_| Answer::new(200, "good"));
    network.home.funded("agent", &network.sandbox);
    network
}

fn call(network: &Network, path: &str, args: &[&str]) -> Run {
    let url = network.url(path);
    network.home.run(&[&["request", url.as_str(), "--rpc-url", network.sandbox.rpc()], args].concat())
}

#[test]
fn unknown_hosts_are_refused_off_a_terminal_and_the_command_line_only_narrows() {
    let network = network();
    let _gateway = network.serve();
    let before = network.balance(SELLER);
    network.home.file("policy.toml", "[limits]\ncall = \"0.10\"\n");
    let unknown = call(&network, "/paid", &[]);
    assert_eq!(unknown.code, 4, "{unknown:?}");
    assert!(
        unknown.stderr.contains("does not know 127.0.0.1, and nobody was asked on a terminal"),
        "{unknown:?}"
    );
    assert!(unknown.stderr.contains("hosts.allow"), "{unknown:?}");
    // The command line allows nothing that the file does not.
    let insisted = call(&network, "/paid", &["--allow-host", "127.0.0.1"]);
    assert_eq!(insisted.code, 4, "{insisted:?}");
    let allow = "[hosts]\nallow = [\"127.0.0.1\"]\n";
    network.home.file("policy.toml", format!("[limits]\ncall = \"0.04\"\n{allow}"));
    let dear = call(&network, "/paid", &["--max-spend", "5"]);
    assert_eq!(dear.code, 4, "{dear:?}");
    assert!(dear.stderr.contains("`limits.call` in policy.toml"), "{dear:?}");
    network.home.file("policy.toml", format!("[limits]\ncall = \"0.10\"\n{allow}"));
    let narrowed = call(&network, "/paid", &["--max-spend", "0.04"]);
    assert!(narrowed.code == 4 && narrowed.stderr.contains("--max-spend"), "{narrowed:?}");
    network
        .home
        .file("policy.toml", format!("[limits]\ncall = \"0.10\"\n{allow}[pay]\nmodes = [\"push\"]\n"));
    let pull = call(&network, "/paid", &["--mode", "pull"]);
    assert!(pull.code == 4 && pull.stderr.contains("in the mode pull"), "{pull:?}");
    assert_eq!(network.balance(SELLER), before, "nothing was paid");
    network.home.file("policy.toml", format!("[limits]\ncall = \"0.10\"\n{allow}"));
    call(&network, "/paid", &[]).ok();
    // Without a policy of its own default: the file says how much.
    network.home.file("policy.toml", format!("[limits]\ncall = \"4\"\n{allow}"));
    call(&network, "/dear", &[]).ok();
    assert_eq!(network.balance(SELLER) - before, 3_050_000);
}

#[test]
fn budgets_outlive_processes_and_a_lost_book_is_never_an_empty_one() {
    let network = network();
    let _gateway = network.serve();
    let before = network.balance(SELLER);
    network.home.file("policy.toml", "[limits]\nday = \"0.12\"\n[hosts]\nallow = [\"127.0.0.1\"]\n");
    call(&network, "/paid", &[]).ok();
    call(&network, "/paid", &[]).ok();
    let third = call(&network, "/paid", &[]);
    assert_eq!(third.code, 4, "{third:?}");
    assert!(
        third.stderr.contains("0.05 PathUSD more does not fit the limit of 0.12 dollars a day"),
        "{third:?}"
    );
    assert!(third.stderr.contains("`limits.day` in policy.toml: 0.1 of it is spent or held"), "{third:?}");
    let shown = network.home.run(&["policy", "show", "--output", "json"]).ok().json();
    assert_eq!((&shown["limits"][0]["spent"], &shown["limits"][0]["left"]), (&"0.1".into(), &"0.02".into()));
    let dry = call(&network, "/paid", &["--dry-run", "--output", "json"]);
    let json = dry.json();
    assert_eq!((dry.code, &json["decision"]), (4, &"refused".into()));
    assert_eq!(json["offers"][0]["budgets"][0]["left"], "0.02");
    assert!(json["offers"][0]["checks"].as_array().unwrap().len() >= 8, "{json}");
    let told = call(&network, "/paid", &["--dry-run"]).stdout;
    assert!(told.contains("0.02 of the limit of 0.12 dollars a day") && told.contains("allows"), "{told}");

    let book = network.home.path().join("spend.json");
    let whole = std::fs::read(&book).unwrap();
    for damage in [Some(&whole[..whole.len() / 2]), None] {
        match damage {
            Some(bytes) => std::fs::write(&book, bytes).unwrap(),
            None => std::fs::remove_file(&book).unwrap(),
        }
        let refused = call(&network, "/paid", &[]);
        assert_eq!(refused.code, 5, "{refused:?}");
        assert!(refused.stderr.contains("farthing policy recount"), "{refused:?}");
        assert!(refused.stderr.contains("Nothing was paid"), "{refused:?}");
        network.home.run(&["policy", "recount"]).ok();
        assert_eq!(call(&network, "/paid", &[]).code, 4, "what was spent counts again");
    }
    assert_eq!(network.balance(SELLER) - before, 100_000);
}

#[test]
fn processes_at_once_pay_exactly_what_the_limit_allows() {
    let network = network();
    let _gateway = network.serve();
    let before = network.balance(SELLER);
    network.home.file("policy.toml", "[limits]\nhour = \"0.16\"\n[hosts]\nallow = [\"127.0.0.1\"]\n");
    let (url, rpc) = (network.url("/paid"), network.sandbox.rpc());
    let calls: Vec<_> = (0..8).map(|_| network.home.spawn(&["request", &url, "--rpc-url", rpc])).collect();
    let codes: Vec<i32> = calls.into_iter().map(|mut call| call.wait().unwrap().code().unwrap()).collect();
    let count = |code: i32| codes.iter().filter(|other| **other == code).count();
    assert_eq!((count(0), count(4)), (3, 5), "{codes:?}");
    assert_eq!(network.balance(SELLER) - before, 150_000);
}

/// What a person sees and answers, on a terminal.
#[test]
fn a_person_is_asked_on_a_terminal_and_the_answer_is_kept_where_it_was_said() {
    let network = network();
    let _gateway = network.serve();
    let policy = "# mine\n[limits]\ncall = \"0.10\"\n";
    network.home.file("policy.toml", policy);
    let approvals = network.home.path().join("policy.approvals.toml");
    // The answer, the exit code, words that are seen, whether the approvals name the host.
    let cases = [
        ("n\n", 4, "the answer was no", false),
        ("\n", 4, "the answer was no", false),
        ("y\n", 0, "paid 0.05 PathUSD", false),
        ("a\n", 0, "is approved from now on", true),
        ("", 0, "paid 0.05 PathUSD", true),
    ];
    for (nth, (answer, code, words, approved)) in cases.into_iter().enumerate() {
        let (seen, exit) = on_a_terminal(&network, answer);
        assert_eq!(exit, code, "{nth}: {seen}");
        assert!(seen.contains(words), "{nth}: {seen}");
        let question = "is not known to the policy. It asks for 0.05 PathUSD, to 0x90F7";
        assert_eq!(seen.contains(question), nth < 4, "{nth}: {seen}");
        let kept = std::fs::read_to_string(&approvals).unwrap_or_default();
        assert_eq!(kept.contains("127.0.0.1:"), approved, "{nth}: {kept}");
    }
    let text = std::fs::read_to_string(network.home.path().join("policy.toml")).unwrap();
    assert_eq!(text, policy, "the person's own file is left alone");
    // Denied is denied, whatever was approved.
    network.home.file("policy.toml", format!("{policy}[hosts]\ndeny = [\"127.0.0.1\"]\n"));
    let denied = call(&network, "/paid", &[]);
    assert!(denied.code == 4 && denied.stderr.contains("is denied"), "{denied:?}");
}

fn on_a_terminal(network: &Network, answer: &str) -> (String, i32) {
    use std::io::Write;
    let command = format!(
        "{} request {} --rpc-url {}",
        env!("CARGO_BIN_EXE_farthing"),
        network.url("/paid"),
        network.sandbox.rpc()
    );
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).env_clear().env("FARTHING_HOME", network.home.path());
    script.env("TERM", "xterm").env("FARTHING_PASSWORD", PASSWORD).env("NO_COLOR", "1");
    script.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = script.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(answer.as_bytes()).unwrap();
    stdin.flush().unwrap();
    // The terminal stays open until the command has ended: its end would be an answer, too.
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap())
}
