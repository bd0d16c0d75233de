//! `farthing request` where nothing is paid: it sends what curl would send, and writes what came.

use std::time::Duration;

use crate::server::{Answer, Server};
use crate::support::Home;

fn echo() -> Server {
    Server::start(|_| Answer::new(200, "hello\0world".as_bytes()).header("x-test", "yes"))
}

#[test]
fn it_sends_what_the_arguments_say() {
    let home = Home::new();
    let server = echo();
    let file = home.file("data", "from a\r\nfile\n");
    let at_file = format!("@{file}");
    // Arguments, request line, body, content type.
    let form = Some("application/x-www-form-urlencoded");
    let cases: &[(&[&str], &str, &str, Option<&str>)] = &[
        (&[], "GET /a?b=c HTTP/1.1", "", None),
        (&["-I"], "HEAD /a?b=c HTTP/1.1", "", None),
        (&["-X", "DELETE"], "DELETE /a?b=c HTTP/1.1", "", None),
        (&["-d", "x=1"], "POST /a?b=c HTTP/1.1", "x=1", form),
        (&["-d", "x=1", "-d", "y=2"], "POST /a?b=c HTTP/1.1", "x=1&y=2", form),
        (&["-X", "PUT", "-d", "x"], "PUT /a?b=c HTTP/1.1", "x", form),
        (&["-d", &at_file], "POST /a?b=c HTTP/1.1", "from afile", form),
        (&["--data-binary", &at_file], "POST /a?b=c HTTP/1.1", "from a\r\nfile\n", form),
        (&["--data-binary", "@-"], "POST /a?b=c HTTP/1.1", "from\nstdin\n", form),
        (&["--json", r#"{"q":1}"#], "POST /a?b=c HTTP/1.1", r#"{"q":1}"#, Some("application/json")),
        (&["--json", "{}", "-H", "Content-Type: a/b"], "POST /a?b=c HTTP/1.1", "{}", Some("a/b")),
    ];
    for (args, line, body, kind) in cases {
        let url = server.url("/a?b=c");
        home.run_with_input(&[&["request", &url], *args].concat(), "from\nstdin\n").ok();
        let asked = server.asked().pop().unwrap();
        assert_eq!((asked.line.as_str(), asked.text().as_str()), (*line, *body), "{args:?}");
        assert_eq!(asked.header("content-type"), *kind, "{args:?}");
        assert!(asked.header("user-agent").unwrap().starts_with("farthing/"), "{args:?}");
        assert_eq!(asked.header("authorization"), None, "{args:?}");
    }
}

#[test]
fn the_body_comes_out_byte_for_byte() {
    let home = Home::new();
    let server = echo();
    let url = server.url("/");
    assert_eq!(home.run(&["request", &url]).ok().bytes, b"hello\0world");
    assert_eq!(home.run(&["request", &url]).ok().stderr, "", "nothing was paid, and nothing is said");

    let included = home.run(&["request", &url, "-i"]).ok().stdout;
    assert!(included.starts_with("HTTP/1.1 200 "), "{included}");
    assert!(included.contains("x-test: yes\r\n") && included.ends_with("\r\n\r\nhello\0world"), "{included}");

    let file = home.path().join("out");
    let run = home.run(&["request", &url, "-o", file.to_str().unwrap()]).ok();
    assert_eq!(
        (run.stdout.as_str(), std::fs::read(file).unwrap().as_slice()),
        ("", b"hello\0world".as_slice())
    );

    let traced = home.run(&["request", &url, "-v"]).ok();
    assert!(traced.stderr.contains("> GET /") && traced.stderr.contains("< x-test: yes"), "{traced:?}");
}

#[test]
fn programs_get_one_object() {
    let home = Home::new();
    let server = Server::start(|asked| match asked.line.contains("binary") {
        true => Answer::new(200, [0xff, 0xfe, 0xfd]),
        false => Answer::new(404, "no").header("x-a", "1").header("x-a", "2"),
    });
    let json = home.run(&["request", &server.url("/"), "--output", "json"]).ok().json();
    assert_eq!(json["status"], 404);
    assert_eq!(json["body"], "no");
    assert_eq!(json["headers"]["x-a"], serde_json::json!(["1", "2"]));
    assert_eq!(json["paid"], serde_json::Value::Null);
    let json = home.run(&["request", &server.url("/binary"), "--output", "json"]).ok().json();
    assert_eq!((&json["body_base64"], &json["body"]), (&"//79".into(), &serde_json::Value::Null));
}

#[test]
fn errors_of_the_server_fail_only_when_asked_to() {
    let home = Home::new();
    let server = Server::start(|_| Answer::new(503, "busy"));
    let url = server.url("/");
    assert_eq!(home.run(&["request", &url]).ok().stdout, "busy");
    let failed = home.run(&["request", &url, "-f"]);
    assert_eq!((failed.code, failed.stdout.as_str()), (22, ""), "{failed:?}");
    assert!(failed.stderr.contains("503"), "{failed:?}");
    assert_eq!(home.run(&["request", &url, "-f", "--output", "json"]).code, 22);
}

#[test]
fn redirects_are_followed_only_when_asked_to() {
    let home = Home::new();
    let server = Server::start(|asked| match asked.line.contains("/from") {
        true => Answer::new(302, "").header("location", "/to"),
        false => Answer::new(200, "there"),
    });
    let url = server.url("/from");
    assert_eq!(home.run(&["request", &url]).ok().stdout, "");
    assert_eq!(home.run(&["request", &url, "-L"]).ok().stdout, "there");
}

#[test]
fn a_402_of_another_scheme_is_an_answer_like_any_other() {
    let home = Home::new();
    let server = Server::start(|_| Answer::new(402, "pay me").header("www-authenticate", "Bearer"));
    assert_eq!(home.run(&["request", &server.url("/")]).ok().stdout, "pay me");
    let unreadable = Server::start(|_| Answer::new(402, "").header("www-authenticate", "Payment id=\"\""));
    let run = home.run(&["request", &unreadable.url("/")]);
    assert_eq!(run.code, 4, "{run:?}");
    assert!(run.stderr.contains("cannot be read") && run.stderr.contains("Nothing was paid"), "{run:?}");
}

#[test]
fn waiting_ends_when_it_is_told_to() {
    let home = Home::new();
    let server = Server::start(|_| {
        std::thread::sleep(Duration::from_secs(30));
        Answer::new(200, "late")
    });
    let run = home.run(&["request", &server.url("/"), "--max-time", "0.3"]);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("nothing was paid"), "{run:?}");
}

/// ESC, BEL, a C1 control and a character that turns text round, wherever HTTP lets a seller put them.
#[test]
fn a_seller_cannot_command_the_terminal() {
    const EVIL: &str = "evil \u{202e}\u{2066}\u{200f}\u{61c}words";
    let home = Home::new();
    let server = Server::start(|asked| {
        let authority = asked.header("host").unwrap().to_owned();
        let challenge = |description: &str, recipient: &str| {
            let request = format!(
                r#"{{"amount":"1","currency":"0x20c0000000000000000000000000000000000000","recipient":"{recipient}","methodDetails":{{"chainId":1337}}}}"#
            );
            let request = base64_simd::URL_SAFE_NO_PAD.encode_to_string(request);
            format!(
                "Payment id=\"a\", realm=\"{authority}\", method=\"tempo\", intent=\"charge\", request=\"{request}\", \
                 expires=\"2099-01-01T00:00:00Z\", description=\"{description}\""
            )
        };
        let good = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        let header = match asked.line.split(' ').nth(1).unwrap() {
            "/bidi" => challenge(r"evil \u202e\u2066\u200f\u061cwords", good),
            "/recipient" => challenge("d", r"0x\u001b[2J\u0007\u009b31m\u202eevil\nhelp: words"),
            "/c1" => challenge(r"evil \u009b31mwords", good),
            _ => challenge(r"evil \u001b]0;words", good),
        };
        Answer::new(402, "").header("www-authenticate", header).header("x-evil", "\u{202e}\u{9b}31mevil")
    });
    let commands = |text: &str| text.chars().any(|c| c != '\n' && !farthing_client::text::is_plain(c));
    for path in ["/bidi", "/recipient", "/c1", "/esc"] {
        for more in [&["--dry-run"][..], &["--dry-run", "--output", "json"], &["-v"], &["--output", "json"]] {
            let url = server.url(path);
            let run = home.run(&[&["request", &url, "--chain-id", "1337"], more].concat());
            assert!(!commands(&run.stdout) && !commands(&run.stderr), "{path} {more:?}: {run:?}");
            assert!(!run.stderr.contains("\nhelp: words"), "no line of a stranger's own: {run:?}");
        }
    }
    let json =
        home.run(&["request", &server.url("/bidi"), "--chain-id", "1337", "--dry-run", "--output", "json"]);
    assert_eq!(json.json()["offers"][0]["description"], EVIL, "the value is whole: {json:?}");
    let text = home.run(&["request", &server.url("/bidi"), "--chain-id", "1337", "--dry-run"]).stdout;
    assert!(text.contains("evil \u{fffd}\u{fffd}\u{fffd}\u{fffd}words"), "{text}");
    let refused = home.run(&["request", &server.url("/c1"), "--chain-id", "1337", "--output", "json"]);
    assert!(refused.stderr.contains("unreadable_challenge"), "{refused:?}");
}

#[test]
fn what_a_journal_holds_cannot_command_the_terminal() {
    let home = Home::new();
    let began = r#"{"payment":"p-1","at_ms":1,"state":"intended","target":{"method":"GET","url":"https://a.test/\u001b[2J\u009b31m\u202e","realm":"a\u0007","challenge_id":"c"},"agreed":{"amount_base":"10000","asset":"USD\u001b[8m","scale":6,"network":"eip155:\u202e1","recipient":"0x\u009b","payer":"0xme\u0007","mode":"push"}}"#;
    let unknown = r#"{"payment":"p-1","at_ms":2,"state":"unknown","why":"no \u001b[2J\nwords","reference":"\u202e0xabc\u001b[1m"}"#;
    home.file("payments.jsonl", format!("{began}\n{unknown}\n"));
    for args in [&["payments"][..], &["payments", "list"], &["payments", "p-1"], &["payments", "show", "p-1"]]
    {
        for more in [&[][..], &["--output", "json"]] {
            let run = home.run(&[args, more].concat()).ok();
            let commands = run.stdout.chars().any(|c| c != '\n' && !farthing_client::text::is_plain(c));
            assert!(!commands && run.stdout.contains("p-1"), "{args:?} {more:?}: {run:?}");
        }
    }
    let shown = |args: &[&str]| home.run(args).ok().stdout;
    assert_eq!(shown(&["payments", "show", "p-1"]), shown(&["payments", "p-1"]));
    assert_eq!(shown(&["payments", "list", "--open"]), shown(&["payments", "--open"]));
    assert_eq!(shown(&["payments", "list", "--last", "0"]), "");
    assert_eq!(shown(&["payments", "--last", "0", "list"]), "", "options count on either side");
    let json = home.run(&["payments", "--output", "json", "list"]).ok().json();
    assert_eq!(json["payments"].as_array().map(Vec::len), Some(1));
}
