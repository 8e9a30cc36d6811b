//! Several devices of one user by command, against a real relay; killed where they can be.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Network, PASSWORD, group};
use serde_json::Value;

const BOB: &str = "bob@chat.acme.example";

struct Sotto<'a> {
    network: &'a Network,
}

impl Sotto<'_> {
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.network.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, line: &[&str]) -> Command {
        let password = self.file("password", PASSWORD);
        let mut command = Command::new(env!("CARGO_BIN_EXE_sotto"));
        command.args(line).env("SOTTO_HOME", self.network.folder.path().join("home"));
        command.env("SOTTO_PASSWORD_FILE", password);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, line: &[&str]) -> Output {
        self.command(line).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    fn good(&self, line: &[&str]) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, line: &[&str]) -> Value {
        serde_json::from_str(&self.good(line)).unwrap()
    }

    /// Exit code and standard error of a command that must fail.
    fn bad(&self, line: &[&str]) -> (i32, String) {
        let output = self.run(line);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    async fn member(&self, name: &str) {
        let url = self.network.invite(name).await.to_url();
        self.good(&["join", &url, "--profile", name]);
    }

    /// A process that runs on, with the first line of its output.
    fn begin(&self, line: &[&str]) -> (Child, Value) {
        let mut child = self.command(line).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        (child, serde_json::from_str(&first).unwrap())
    }
}

fn ended(mut child: Child) -> Output {
    let deadline = Instant::now() + Duration::from_mins(2);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_added_approved_recovered_and_removed() {
    let network = Network::start(true).await;
    let sotto = Sotto { network: &network };
    sotto.member("alice").await;
    let link = sotto.good(&["devices", "link", "--profile", "alice"]).trim().to_owned();
    let joined = sotto.json(&["join", &link, "--profile", "laptop", "--label", "laptop", "-o", "json"]);
    assert_eq!((&joined["state"], &joined["address"]), (&"joined".into(), &"alice@chat.acme.example".into()));
    let laptop = joined["device"].as_str().unwrap().to_owned();
    let (code, said) = sotto.bad(&["join", &link, "--profile", "laptop"]);
    assert!(code == 2 && said.contains("already belongs"), "{code}: {said}");

    // The group wants approval now.
    let mut document = group();
    (document.serial, document.device_approval) = (2, true);
    network.put_group(document).await;
    let (code, said) = sotto.bad(&["join", &link, "--profile", "tablet", "--timeout", "1s"]);
    assert!(code == 4 && said.contains("sotto devices approve "), "{code}: {said}");
    // Killed, and run again: the same code.
    let (mut child, waiting) = sotto.begin(&["join", &link, "--profile", "tablet", "-o", "json"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let (child, again) = sotto.begin(&["join", &link, "--profile", "tablet", "-o", "json"]);
    assert_eq!(waiting["code"], again["code"]);
    let typed = again["code"].as_str().unwrap().to_lowercase();
    let (code, said) = sotto.bad(&["devices", "approve", &typed, "--profile", "alice"]);
    assert!(code == 2 && said.contains("--yes"), "{code}: {said}");
    let (code, said) = sotto.bad(&["devices", "approve", &typed.replace(&typed[..1], "u"), "--profile", "alice"]);
    assert!(code == 2 && said.contains("no code"), "{code}: {said}");
    let approved = sotto.json(&["devices", "approve", &typed, "--profile", "alice", "--yes", "-o", "json"]);
    assert_eq!(approved["fingerprint"], again["deviceFingerprint"]);
    assert!(ended(child).status.success());

    let key = sotto.good(&["recovery-key", "--profile", "alice"]);
    let file = sotto.file("recovery", &key);
    let file = file.to_str().unwrap();
    sotto.good(&["join", &link, "--profile", "spare", "--recovery-key-file", file]);
    let list = |profile: &str| sotto.good(&["devices", "--profile", profile, "-o", "json"]).lines().count();
    assert_eq!(list("alice"), 4);
    sotto.good(&["devices", "remove", &laptop, "--profile", "alice", "--yes"]);
    let (code, said) = sotto.bad(&["send", "--profile", "laptop", "alice@chat.acme.example", "x"]);
    assert!(code == 3 && said.contains("removed"), "{code}: {said}");
    sotto.good(&["devices", "reset", "--profile", "spare", "--yes"]);
    assert_eq!(list("spare"), 1);

    let new = sotto.file("new", "another good password");
    sotto.good(&["password", "--profile", "spare", "--new-password-file", new.to_str().unwrap()]);
    let (code, _) = sotto.bad(&["unlock", "password", "--profile", "spare"]);
    assert_eq!(code, 1, "the old password opens nothing");
    sotto.good(&["unlock", "password", "--profile", "spare", "--password-file", new.to_str().unwrap()]);
    sotto.good(&["whoami", "--profile", "spare", "--password-file", new.to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_was_read_out_is_confirmed_or_refused() {
    let network = Network::start(false).await;
    let sotto = Sotto { network: &network };
    sotto.member("alice").await;
    sotto.member("bob").await;
    let mine = sotto.json(&["verify", "--profile", "alice", BOB, "-o", "json"]);
    let number = mine["safetyNumber"].as_str().unwrap();
    let other = number.chars().rev().collect::<String>();
    let (code, said) = sotto.bad(&["verify", "--profile", "alice", BOB, "--confirm", &other]);
    assert!(code == 3 && said.contains("the number is another one"), "{code}: {said}");
    let confirmed = sotto.json(&["verify", "--profile", "alice", BOB, "--confirm", number, "-o", "json"]);
    assert_eq!(confirmed["state"], "verified");
    let plain = sotto.json(&["verify", "--profile", "alice", "--confirm", BOB, "-o", "json"]);
    assert_eq!(plain["state"], "verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_moves_though_both_sides_are_killed() {
    let network = Network::start(false).await;
    let sotto = Sotto { network: &network };
    sotto.member("alice").await;
    sotto.member("bob").await;
    let file = sotto.file("report.bin", &"x".repeat(300_000));
    for n in 0..5 {
        sotto.good(&["send", "--profile", "bob", "alice@chat.acme.example", &format!("message {n}")]);
    }
    sotto.good(&["send", "--profile", "bob", "alice@chat.acme.example", "--file", file.to_str().unwrap()]);
    sotto.good(&["receive", "--profile", "alice"]);
    let link = sotto.good(&["devices", "link", "--profile", "alice"]).trim().to_owned();
    sotto.good(&["join", &link, "--profile", "laptop"]);

    let (mut child, waiting) = sotto.begin(&["history", "receive", "--profile", "laptop", "--yes", "-o", "json"]);
    let code = waiting["code"].as_str().unwrap().to_owned();
    child.kill().unwrap();
    child.wait().unwrap();
    // Killed after a little more of the way each time, until both are through: then nothing of the transfer is left.
    let home = network.folder.path().join("home/profiles");
    let [outgoing, incoming] = ["alice/transfer/history.out", "laptop/transfer/history.in"].map(|file| home.join(file));
    let (mut through, mut came) = (false, false);
    for round in 0..12_u64 {
        // Without a code each goes on with what was begun.
        let mut send = vec!["history", "send", "--profile", "alice", "--yes"];
        send.extend((round == 0).then_some(code.as_str()));
        let receive = ["history", "receive", "--profile", "laptop", "--yes", "-o", "json"];
        let mut sender = (!through).then(|| sotto.command(&send).spawn().unwrap());
        let mut receiver = (!came).then(|| sotto.command(&receive).spawn().unwrap());
        let until = Instant::now() + Duration::from_millis(150 << round.min(9));
        while Instant::now() < until && (sender.is_some() || receiver.is_some()) {
            for child in [&mut sender, &mut receiver] {
                if child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some()) {
                    let output = child.take().unwrap().wait_with_output().unwrap();
                    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for mut child in [sender, receiver].into_iter().flatten() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let client = sotto_client::Client::open(home.join("laptop"), sotto_client::Unlock::KeyFile).await.unwrap();
        came = came || client.conversations().all_messages(None, 100).await.unwrap().len() == 6 && !incoming.exists();
        through = through || came && !outgoing.exists();
        if through {
            break;
        }
    }
    assert!(through && came, "sent: {through}, came: {came}");
    assert_eq!(sotto.good(&["history", "send", "--profile", "alice", "--cancel"]).trim(), "no transfer was begun");
}
