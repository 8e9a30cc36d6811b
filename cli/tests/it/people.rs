//! The people's commands as processes, against a real relay.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::common::{Network, PASSWORD};
use serde_json::Value;
use sotto_wire::admin::Role;

struct Sotto<'a> {
    network: &'a Network,
}

impl Sotto<'_> {
    fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sotto"));
        command.args(line).env("SOTTO_HOME", self.network.folder.path().join("home")).env_remove("SOTTO_PASSWORD_FILE");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run_with(&self, line: &[&str], input: &str) -> Output {
        let mut child = self.command(line).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn run(&self, line: &[&str]) -> Output {
        self.run_with(line, "")
    }

    /// Standard output of a command that must succeed.
    fn good(&self, line: &[&str]) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn lines(&self, line: &[&str]) -> Vec<Value> {
        self.good(line).lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// Exit code and standard error of a command that must fail.
    fn bad(&self, line: &[&str]) -> (i32, String) {
        let output = self.run(line);
        assert!(output.stdout.is_empty(), "{line:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn join(&self, name: &str, url: &str) {
        let file = self.network.folder.path().join("password");
        std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
        self.good(&["join", url, "--profile", name, "--password-file", file.to_str().unwrap()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_talk_by_command() {
    let mut network = Network::start(true).await;
    let urls = [network.invite("alice").await.to_url(), network.invite("bob").await.to_url()];
    let sotto = Sotto { network: &network };
    sotto.join("alice", &urls[0]);
    sotto.join("bob", &urls[1]);

    let me: Value = serde_json::from_str(&sotto.good(&["whoami", "--profile", "alice", "-o", "json"])).unwrap();
    assert_eq!((&me["address"], &me["network"]), (&"alice@chat.acme.example".into(), &"chat.acme.example".into()));
    assert_eq!(me["device"].as_str().unwrap().len(), 32);
    assert!(sotto.good(&["devices", "--profile", "alice"]).contains("(this device)"));

    sotto.good(&["send", "--profile", "alice", "bob@chat.acme.example", "Good morning", "--expires", "1h"]);
    let piped = sotto.run_with(&["send", "-p", "alice", "bob@chat.acme.example", "-"], "from a pipe\nand more\n");
    assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
    let note = network.folder.path().join("note.txt");
    std::fs::write(&note, "attached").unwrap();
    let file = ["--file", note.to_str().unwrap(), "the note"];
    sotto.good(&[&["send", "-p", "alice", "bob@chat.acme.example"], file.as_slice()].concat());

    let saved = network.folder.path().join("saved");
    let got = sotto.lines(&[
        "receive",
        "--profile",
        "bob",
        "-o",
        "json",
        "--timeout",
        "30s",
        "--save-dir",
        saved.to_str().unwrap(),
    ]);
    assert_eq!(got.len(), 3, "{got:?}");
    assert_eq!((&got[0]["text"], &got[0]["from"]), (&"Good morning".into(), &"alice@chat.acme.example".into()));
    assert_eq!(got[0]["to"], serde_json::json!(["bob@chat.acme.example"]));
    assert_eq!((&got[0]["retained"], &got[0]["verified"]), (&false.into(), &false.into()));
    assert!(got[0]["expiresAt"].is_string() && got[1]["expiresAt"].is_null());
    assert_eq!(got[1]["text"], "from a pipe\nand more");
    assert_eq!((&got[2]["file"]["name"], &got[2]["file"]["size"]), (&"note.txt".into(), &8.into()));
    assert_eq!(std::fs::read(got[2]["file"]["path"].as_str().unwrap()).unwrap(), b"attached");
    assert_eq!(sotto.good(&["receive", "--profile", "bob"]), "", "nothing is left, and it ends at once");

    // Both see the same number; marked as compared, messages say so.
    let number = |who: &str, of: &str| sotto.lines(&["verify", "-p", who, of, "-o", "json"])[0]["safetyNumber"].clone();
    assert_eq!(number("alice", "bob@chat.acme.example"), number("bob", "alice@chat.acme.example"));
    sotto.good(&["verify", "-p", "bob", "alice@chat.acme.example", "--confirm"]);
    sotto.good(&["send", "-p", "alice", "bob@chat.acme.example", "again"]);
    let text = sotto.good(&["receive", "-p", "bob", "--timeout", "30s"]);
    assert!(text.contains("alice@chat.acme.example [verified]: again"), "{text}");

    // Retained: said to the sender on standard error, and shown to the reader.
    let identity = network.retention("archive").await;
    let archive = sotto_client::Client::service(sotto_client::ServiceAccount {
        address: crate::common::address("archive"),
        endpoint: sotto_client::Endpoint {
            url: network.url(),
            tls: sotto_client::Tls::Authority(network.authority_pem()),
        },
        policy_key: network.policy.verifying_key().fingerprint(),
        identity,
        password: sotto_client::Password::new(PASSWORD.into()),
        registration_code: sotto_client::RegistrationCode::new("retention-code".into()),
        profile: network.profile("archive"),
        label: "archive".into(),
    })
    .await
    .unwrap();
    let sotto = Sotto { network: &network };
    let output = sotto.run(&["send", "-p", "alice", "bob@chat.acme.example", "for the record"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("retained by archive@chat.acme.example"));
    assert!(sotto.good(&["receive", "-p", "bob", "--timeout", "30s"]).contains("[retained]"));
    drop(archive);

    network.put_user("bob", Role::Person, true).await;
    let (code, said) = sotto.bad(&["receive", "-p", "bob"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("hint:"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_remedies() {
    let mut network = Network::start(false).await;
    let url = network.invite("alice").await.to_url();
    let sotto = Sotto { network: &network };
    let (code, said) = sotto.bad(&["send", "--profile", "nobody", "bob@chat.acme.example", "x"]);
    assert!(code == 2 && said.contains("sotto join"), "{said}");
    let (code, said) = sotto.bad(&["join", "nonsense", "--profile", "alice"]);
    assert!(code == 2 && said.contains("sotto://"), "{said}");
    let (code, said) = sotto.bad(&["join", &url, "--profile", "alice"]);
    assert!(code == 2 && said.contains("--password-file"), "{said}");
    let short = network.folder.path().join("short");
    std::fs::write(&short, "short").unwrap();
    let (code, said) = sotto.bad(&["join", &url, "--profile", "alice", "--password-file", short.to_str().unwrap()]);
    assert!(code == 3 && said.contains("at least 12 characters"), "{said}");
    let mut wrong: sotto_wire::invite::Invite = url.parse().unwrap();
    wrong.secret = sotto_crypto::InviteSecret::generate(&mut sotto_crypto::SystemRng);
    let (secret, wrong) = (wrong.secret.to_text(), wrong.to_url());
    let file = network.folder.path().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let (code, said) = sotto.bad(&["join", &wrong, "--profile", "alice", "--password-file", file.to_str().unwrap()]);
    assert!(code == 3 && said.contains("hint:") && !said.contains(secret.as_str()), "{said}");
    sotto.join("alice", &url);
    for line in [
        ["send", "-p", "alice", "no address", "x"].as_slice(),
        &["send", "-p", "alice", "bob@chat.acme.example"],
        &["send", "-p", "alice", "bob@chat.acme.example", "x", "--expires", "soon"],
        &["receive", "-p", "../x/../y z", "--nonsense"],
        &["relay", "--config", "/nonexistent"],
    ] {
        assert_eq!(sotto.bad(line).0, 2, "{line:?}");
    }
    assert_eq!(sotto.bad(&["send", "-p", "alice", "bob@other.example", "x"]).0, 3);

    // A profile that asks for its password.
    let carol = network.invite("carol").await.to_url();
    let sotto = Sotto { network: &network };
    let password = ["--password-file", file.to_str().unwrap()];
    sotto.good(&[&["join", &carol, "-p", "carol", "--require-password"], password.as_slice()].concat());
    let (code, said) = sotto.bad(&["whoami", "-p", "carol"]);
    assert!(code == 2 && said.contains("--password-file"), "{said}");
    sotto.good(&[&["whoami", "-p", "carol"], password.as_slice()].concat());

    network.stop().await;
    let sotto = Sotto { network: &network };
    let (code, said) = sotto.bad(&["send", "-p", "alice", "bob@chat.acme.example", "x"]);
    assert!(code == 4 && said.contains("cannot reach the relay"), "{said}");
}

#[test]
fn help_teaches() {
    for line in [["--help"].as_slice(), &["send", "--help"], &["receive", "--help"], &["join", "--help"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_sotto")).args(line).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Exit codes") || text.contains("Examples"), "{text}");
    }
    let crds = Command::new(env!("CARGO_BIN_EXE_sotto")).arg("crds").output().unwrap();
    assert_eq!(String::from_utf8(crds.stdout).unwrap().matches("\nkind: CustomResourceDefinition").count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_by_command() {
    let network = Network::start(false).await;
    let urls = [network.invite("alice").await.to_url(), network.invite("bob").await.to_url()];
    let sotto = Sotto { network: &network };
    sotto.join("alice", &urls[0]);
    sotto.join("bob", &urls[1]);
    let bob = "bob@chat.acme.example";

    // What is queued waits, in order, and can be taken out again.
    let queue = |text: &str| sotto.good(&["send", "-p", "alice", "--queue", bob, text]).trim().to_owned();
    let (first, second, third) = (queue("one"), queue("two"), queue("three"));
    let waiting = sotto.lines(&["outbox", "-p", "alice", "-o", "json"]);
    assert_eq!(waiting.iter().map(|e| e["messageId"].as_str().unwrap()).collect::<Vec<_>>(), [&first, &second, &third]);
    sotto.good(&["outbox", "-p", "alice", "--cancel", &second]);
    assert_eq!(sotto.good(&["outbox", "-p", "alice", "--flush"]), "2 sent, 0 refused, 0 waiting\n");
    assert_eq!(sotto.bad(&["outbox", "-p", "alice", "--cancel", &first]).0, 1);
    let got = sotto.lines(&["receive", "-p", "bob", "-o", "json", "--timeout", "30s"]);
    assert_eq!(got.iter().map(|m| m["text"].as_str().unwrap()).collect::<Vec<_>>(), ["one", "three"]);

    // Done to a message, on both sides.
    sotto.good(&["react", "-p", "bob", &first, "👍"]);
    sotto.good(&["edit", "-p", "alice", &first, "uno"]);
    assert_eq!(sotto.bad(&["edit", "-p", "bob", &first, "no"]).0, 3);
    let voice = network.folder.path().join("hello.ogg");
    std::fs::write(&voice, "sound").unwrap();
    let file = ["--file", voice.to_str().unwrap(), "--voice", "--duration", "2s", "--reply-to", &first];
    let sent = sotto.good(&[&["send", "-p", "alice", bob], file.as_slice()].concat()).trim().to_owned();
    let text = sotto.good(&["receive", "-p", "bob", "--timeout", "30s", "--mark-read"]);
    assert!(text.contains(&format!("[edits {first}] uno")) && text.contains("[voice hello.ogg, 5 bytes]"), "{text}");
    sotto.good(&["receive", "-p", "alice"]);
    let shown = sotto.lines(&["history", "show", "-p", "alice", bob, "-o", "json"]);
    assert_eq!((&shown[0]["text"], &shown[0]["edited"]), (&"uno".into(), &true.into()));
    assert_eq!(shown[0]["reactions"], serde_json::json!([{ "emoji": "👍", "by": [bob] }]));
    assert_eq!((&shown[2]["replyTo"], &shown[2]["file"]["kind"]), (&first.as_str().into(), &"voice".into()));
    assert_eq!(shown[2]["state"], "read", "--mark-read has told it");

    let folder = network.folder.path().join("later");
    let path = sotto.good(&["history", "save", "-p", "bob", &sent, folder.to_str().unwrap()]);
    assert_eq!(std::fs::read(path.trim()).unwrap(), b"sound");
    sotto.good(&["read", "-p", "bob", "alice@chat.acme.example"]);
    let conversations = sotto.lines(&["conversations", "-p", "bob", "-o", "json"]);
    assert_eq!((conversations.len(), &conversations[0]["unread"]), (1, &0.into()));
    sotto.good(&["forward", "-p", "bob", &first, "alice@chat.acme.example"]);
    sotto.good(&["pin", "-p", "bob", &first]);
    sotto.good(&["delete", "-p", "alice", &first]);
    sotto.good(&["receive", "-p", "bob"]);
    let found = sotto.lines(&["history", "search", "-p", "bob", "UNO", "-o", "json"]);
    assert_eq!(found.len(), 1, "the forwarded one; what was taken back is gone: {found:?}");
    assert_eq!(found[0]["forwardedFrom"], "alice@chat.acme.example");
    assert_eq!(sotto.good(&["settings", "-p", "bob", "--read-receipts", "off"]), "read receipts  off\n");
    assert_eq!(sotto.bad(&["delete", "-p", "bob", "zzzz"]).0, 1);
}

/// What a terminal obeys.
const STEERING: &str = "\u{1}\u{7}\r\u{1b}[2J\u{7f}\u{80}\u{85}\u{9b}\u{9f}\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\
                        \u{2028}\u{2029}";
/// What nobody sees.
const UNSEEN: &str = "\u{ad}\u{200b}\u{200d}\u{2060}\u{fe0f}\u{feff}\u{e0041}";

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_writes_does_not_steer_a_terminal() {
    let network = Network::start(false).await;
    let urls = [network.invite("alice").await.to_url(), network.invite("bob").await.to_url()];
    let sotto = Sotto { network: &network };
    let bob = "bob@chat.acme.example";
    let password = network.folder.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    // Controls are taken out of a label where it is given; direction is not.
    let label = "lap\u{2066}top\u{202e}";
    for (name, url) in ["alice", "bob"].into_iter().zip(&urls) {
        let line = ["join", url, "-p", name, "--label", label, "--password-file", password.to_str().unwrap()];
        sotto.good(&line);
    }
    let steers = |c: char| c != '\n' && !c.is_ascii_graphic() && STEERING.contains(c);
    let shown = |line: &[&str], profile: &str| {
        let plain = sotto.good(&[line, &["-p", profile]].concat());
        assert!(!plain.contains(steers), "{line:?}: {plain:?}");
        plain
    };
    let told = |line: &[&str], profile: &str| {
        let json = sotto.good(&[line, &["-p", profile, "-o", "json"]].concat());
        let whole = !json.contains(|c: char| steers(c) || UNSEEN.contains(c));
        assert!(whole, "{line:?}: {json:?}");
        json.lines().map(|l| serde_json::from_str(l).unwrap()).collect::<Vec<Value>>()
    };

    // The same twice: once for programs, once for people.
    let text = format!("look: {STEERING}{UNSEEN} wherever\nand here");
    let hostile = network.folder.path().join("annex\u{202e}fdp\u{9b}.exe");
    std::fs::write(&hostile, "x").unwrap();
    for _ in 0..2 {
        let sent = sotto.run_with(&["send", "-p", "alice", bob, "-"], &text);
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        sotto.good(&[
            "send",
            "-p",
            "alice",
            bob,
            "--file",
            hostile.to_str().unwrap(),
            &format!("{UNSEEN}{}", &STEERING[1..]),
        ]);
        if sotto.good(&["room", "list", "-p", "alice"]).is_empty() {
            sotto.good(&["room", "create", "-p", "alice", "Plans\u{202e}\u{200b}", bob]);
        }
        if sotto.good(&["history", "show", "-p", "bob"]).is_empty() {
            let got = told(&["receive", "--timeout", "30s"], "bob");
            assert_eq!(got[0]["text"], *text, "the value is what was written");
        } else {
            let got = shown(&["receive", "--timeout", "30s"], "bob");
            assert!(got.contains("look: ") && got.contains(" wherever\n    and here"), "{got:?}");
        }
    }
    let found = told(&["history", "search", "wherever"], "bob");
    assert_eq!((found.len(), &found[0]["text"]), (2, &text.as_str().into()));
    assert!(shown(&["history", "search", "wherever"], "bob").contains("\u{fffd}[2J"));
    for (profile, line) in [
        ("bob", ["history", "show"].as_slice()),
        ("alice", &["history", "show"]),
        ("bob", &["conversations"]),
        ("bob", &["room", "list"]),
        ("bob", &["devices"]),
        ("bob", &["whoami"]),
        ("alice", &["outbox"]),
    ] {
        told(line, profile);
        shown(line, profile);
    }
    assert_eq!(told(&["room", "list"], "bob")[0]["title"], "Plans\u{202e}\u{200b}");
    assert_eq!(told(&["devices"], "bob")[0]["label"], label);
    assert!(shown(&["devices"], "bob").contains("lap\u{fffd}top\u{fffd}"));
    // An error says it back, too.
    let (_, said) = sotto.bad(&["history", "show", "-p", "bob", "no\u{202e}body\u{9b}"]);
    assert!(said.contains("no\u{fffd}body\u{fffd}") && !said.contains(steers), "{said:?}");
}
