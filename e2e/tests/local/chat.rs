//! `sotto chat` in a real terminal: one person at it, the other by command. Keys go in, the screen is looked at.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sotto_e2e::{Failure, Outcome, Steps, Terminal, ensure, sotto_program, wait_until};

use crate::site::{PATIENCE, Site};

const ALICE: &str = "alice@chat.acme.example";
const BOB: &str = "bob@chat.acme.example";

/// A terminal in the site's folder.
pub(crate) fn terminal(site: &Site, columns: u16, rows: u16) -> Outcome<Terminal> {
    let home = site.folder().join("home");
    let program = sotto_program()?;
    let variables = [("SOTTO_HOME", text(&home)?), ("SOTTO", text(&program)?), ("HOME", text(site.folder())?)];
    let terminal = Terminal::start(columns, rows, &variables)?;
    terminal.line(&format!("cd {} && clear", site.folder().display()))?;
    Ok(terminal)
}

fn text(path: &Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| Failure("a path that is no text".into()))
}

/// Starts the interface in the terminal, and waits until it is connected.
pub(crate) fn chat(terminal: &Terminal, user: &str) -> Outcome {
    terminal.line(&format!("$SOTTO chat --profile {user}; echo ended with $?"))?;
    terminal
        .wait("a connection", |screen| screen.lines().next().is_some_and(|top| top.trim_end().ends_with("online")))?;
    Ok(())
}

/// From writing to the newest message.
fn to_messages(terminal: &Terminal) -> Outcome {
    terminal.keys(&["Escape"])?;
    terminal.shows(&["r reply"]).map(drop)
}

/// Back to writing.
fn to_writing(terminal: &Terminal) -> Outcome {
    terminal.keys(&["Escape"])?;
    terminal.shows(&["Enter send"]).map(drop)
}

fn row(screen: &str, words: &str) -> Outcome<usize> {
    screen.lines().position(|l| l.contains(words)).ok_or_else(|| Failure(format!("no `{words}` in\n{screen}")))
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_day_at_the_terminal() -> Outcome {
    let mut steps = Steps::new();
    let site = Site::new()?;
    steps.step("sotto up, alice, bob and carol join", || {
        site.up()?.output()?;
        ["alice", "bob", "carol"].iter().try_for_each(|user| site.join(user))
    })?;
    let alice = terminal(&site, 80, 24)?;
    steps.step("an empty screen says what to do", || {
        chat(&alice, "alice")?;
        alice.shows(&[ALICE, "Ctrl+N", "F1 help"])?;
        alice.keep("empty")
    })?;
    steps.step("what comes is shown, and that it is retained", || {
        site.send("bob", ALICE, "good morning, alice")?.output()?;
        alice.keys(&["C-k"])?;
        alice.shows(&["Go to", "bob"])?;
        alice.keys(&["Enter"])?;
        let screen = alice.shows(&["good morning, alice", "RETAINED", "not verified"])?;
        ensure(row(&screen, "RETAINED")? < row(&screen, "Today")?, || screen.clone())
    })?;
    steps.step("alice answers, with an emoji by name and in two lines", || write(&site, &alice))?;
    steps.step("a reply, an edit, a reaction, a pin", || on_messages(&site, &alice))?;
    steps.step("the window gets larger and smaller", || resize(&alice))?;
    steps.step("files go and come", || files(&site, &alice))?;
    steps.step("search finds and goes there", || search(&alice))?;
    steps.step("the safety number is that of the other side, and is marked", || verify(&site, &alice))?;
    steps.step("a room is made, talked in, and changes", || rooms(&site, &alice))?;
    steps.step("two at their terminals see each other type", || typing(&site, &alice))?;
    steps.step("help and menu", || {
        alice.keys(&["F1"])?;
        alice.shows(&["Keys", "Ctrl+K", "go to a conversation by name"])?;
        alice.keep("help")?;
        alice.keys(&["q"])?;
        alice.keys(&["F2"])?;
        alice.shows(&["What to do", "Send a file", "New room"])?;
        alice.keep("menu")?;
        alice.keys(&["C-c"])?;
        alice.wait("an end of the menu", |screen| !screen.contains("What to do")).map(drop)
    })?;
    steps.step("a second process on the profile is told", || second(&site))?;
    steps.step("without the relay it says so, keeps what is written, and connects again", || outage(&site, &alice))?;
    steps.step("it ends and gives the terminal back", || ends(&site, &alice))?;
    drop(alice);
    ensure(site.down()?.status.success(), || "down failed".into())
}

fn write(site: &Site, alice: &Terminal) -> Outcome {
    alice.text("good morning @b")?;
    alice.shows(&["> good morning @b", BOB])?;
    alice.keys(&["Tab"])?;
    alice.shows(&["> good morning @bob"])?;
    alice.text(":wav")?;
    alice.shows(&[":wave:"])?;
    alice.keys(&["Tab"])?;
    alice.shows(&["👋"])?;
    alice.keys(&["M-Enter"])?;
    alice.text("sleep well?")?;
    alice.keep("writing")?;
    alice.keys(&["Enter"])?;
    alice.wait("an empty field", |screen| screen.contains("> Write to bob"))?;
    let got = site.receive("bob", "sleep well?")?;
    ensure(got["text"] == "good morning @bob 👋 \nsleep well?", || got.to_string())?;
    // Bob's device has it, and says so.
    alice.shows(&["delivered"]).map(drop)
}

fn on_messages(site: &Site, alice: &Terminal) -> Outcome {
    to_messages(alice)?;
    alice.keys(&["Home"])?;
    alice.wait("the first message under the cursor", |screen| {
        screen.lines().any(|l| l.contains("▌") && l.contains("good morning, alice"))
    })?;
    alice.keys(&["r"])?;
    alice.shows(&["reply to bob: good morning, alice"])?;
    alice.text("it is oné")?;
    alice.keys(&["Enter"])?;
    alice.shows(&["┃ bob: good morning, alice", "it is oné"])?;
    site.receive("bob", "it is oné")?;
    // The last one is edited.
    alice.keys(&["Up"])?;
    alice.shows(&["editing your message"])?;
    alice.keys(&["BSpace"])?;
    alice.text("e of the good ones")?;
    alice.keys(&["Enter"])?;
    alice.shows(&["it is one of the good ones", "edited"])?;
    to_messages(alice)?;
    alice.keys(&["Home"])?;
    alice.text("+")?;
    alice.shows(&["React", "Emoji"])?;
    alice.text("tada")?;
    alice.shows(&["🎉  tada"])?;
    alice.keep("react")?;
    alice.keys(&["Enter"])?;
    alice.shows(&["🎉 1*"])?;
    alice.text("p")?;
    alice.shows(&["pinned"])?;
    alice.text("i")?;
    alice.shows(&["Message", "from", BOB, "retained"])?;
    alice.keep("message")?;
    alice.text("q")?;
    to_writing(alice)?;
    alice.keep("conversation")
}

fn resize(alice: &Terminal) -> Outcome {
    let right = |columns: usize| {
        move |screen: &str| screen.lines().next().is_some_and(|top| top.trim_end().chars().count() >= columns - 1)
    };
    alice.resize(120, 36)?;
    alice.wait("the larger screen", right(120))?;
    alice.shows(&["it is one of the good ones", "F1 help"])?;
    alice.keep("large")?;
    alice.resize(46, 18)?;
    alice.wait("the smaller screen", |screen| {
        screen.contains("it is one of the good ones") && !screen.contains('│') && screen.lines().count() <= 18
    })?;
    alice.keep("narrow")?;
    alice.resize(80, 24)?;
    alice.wait("the old size", |screen| screen.contains('│') && right(80)(screen)).map(drop)
}

fn files(site: &Site, alice: &Terminal) -> Outcome {
    let content: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(site.folder().join("figures.bin"), &content)?;
    alice.keys(&["C-o"])?;
    alice.shows(&["Send a file"])?;
    alice.text("figu")?;
    alice.shows(&["figures.bin"])?;
    alice.keys(&["Tab"])?;
    alice.wait("the whole path", |screen| screen.lines().any(|l| l.contains("File") && l.contains("figures.bin")))?;
    alice.keep("file")?;
    alice.keys(&["Enter"])?;
    alice.shows(&["[file] figures.bin, 300 kB"])?;
    let receive = site.sotto("receive")?.args(["--profile", "bob", "--timeout", "10s", "--save-dir", "got"]);
    wait_until("the file at bob", PATIENCE, || {
        receive.output()?;
        let saved = fs::read(site.folder().join("got/figures.bin"))?;
        ensure(saved == content, || format!("{} bytes", saved.len()))
    })?;
    site.sotto("send")?.args(["--profile", "bob", ALICE, "--file", "got/figures.bin", "and back"]).output()?;
    alice.shows(&["and back"])?;
    to_messages(alice)?;
    alice.keys(&["End"])?;
    alice.wait("bob's file under the cursor", |screen| {
        screen.lines().any(|l| l.contains("▌") && l.contains("and back"))
    })?;
    alice.text("s")?;
    alice.shows(&["Save the file"])?;
    alice.keys(&["C-u"])?;
    alice.text("saved/")?;
    alice.keys(&["Enter"])?;
    alice.shows(&["saved as saved/figures.bin"])?;
    let saved = fs::read(site.folder().join("saved/figures.bin"))?;
    ensure(saved == content, || format!("{} bytes were saved", saved.len()))?;
    to_writing(alice)
}

fn search(alice: &Terminal) -> Outcome {
    alice.keys(&["C-f"])?;
    alice.shows(&["Search", "Words"])?;
    alice.text("morning alice")?;
    alice.wait("what was found", |screen| {
        screen.lines().any(|l| l.contains("bob: good morning, alice") && l.contains("bob "))
    })?;
    alice.keep("search")?;
    alice.keys(&["Enter"])?;
    alice.wait("the found message under the cursor", |screen| {
        screen.lines().any(|l| l.contains("▌") && l.contains("good morning, alice"))
    })?;
    to_writing(alice)
}

fn verify(site: &Site, alice: &Terminal) -> Outcome {
    let seen = site.sotto("verify")?.args(["--profile", "bob", ALICE, "-o", "json"]).json()?;
    let number = seen["safetyNumber"].as_str().unwrap_or_default().to_owned();
    let groups: Vec<&str> = number.split_whitespace().collect();
    ensure(groups.len() > 4, || seen.to_string())?;
    alice.keys(&["M-v"])?;
    alice.shows(&["Safety number", "mark as verified"])?;
    alice.shows(&groups)?;
    alice.keep("verify")?;
    alice.text("v")?;
    alice.shows(&["verified by you"])?;
    alice.keys(&["Enter"])?;
    alice.wait("verified at the head", |screen| screen.contains("verified") && !screen.contains("not verified"))?;
    let known = site.sotto("verify")?.args(["--profile", "alice", "-o", "json"]).output()?;
    let contacts = known.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let bob = contacts.iter().find(|c| c["address"] == BOB);
    ensure(bob.is_some_and(|c| c["state"] == "verified"), || known.clone())
}

fn rooms(site: &Site, alice: &Terminal) -> Outcome {
    alice.keys(&["C-r"])?;
    alice.shows(&["New room", "Title"])?;
    alice.text("Plans")?;
    alice.keys(&["Tab"])?;
    alice.text("bob")?;
    alice.shows(&[BOB])?;
    alice.keys(&["Tab"])?;
    alice.wait("bob's whole address", |screen| screen.lines().any(|l| l.contains("Members") && l.contains(BOB)))?;
    alice.keys(&["Enter"])?;
    alice.shows(&["# Plans", "2 people", "Write to # Plans"])?;
    alice.text("first in the room")?;
    alice.keys(&["Enter"])?;
    let got = site.receive("bob", "first in the room")?;
    ensure(got["conversation"].as_str().is_some_and(|id| id.starts_with('S')), || got.to_string())?;
    let room = site.sotto("room")?.args(["show", "Plans", "--profile", "bob", "-o", "json"]).json()?;
    ensure(room["title"] == "Plans", || room.to_string())?;
    // Carol, of another network, is taken in.
    alice.keys(&["M-m"])?;
    alice.shows(&["Members", "moderator"])?;
    alice.keys(&["C-a"])?;
    alice.shows(&["Add to the room"])?;
    alice.text("carol@chat.beta.example")?;
    alice.keys(&["Enter"])?;
    alice.shows(&["3 people"])?;
    alice.keys(&["M-m"])?;
    alice.shows(&["Members", "carol@chat.beta.example"])?;
    alice.keep("room")?;
    alice.keys(&["C-c"])?;
    alice.wait("the room", |screen| screen.contains("3 people") && !screen.contains("Ctrl+D"))?;
    alice.text("hello carol")?;
    alice.keys(&["Enter"])?;
    site.receive("carol", "hello carol")?;
    // Bob leaves, by command.
    site.receive_all("bob")?;
    site.sotto("room")?.args(["leave", "Plans", "--profile", "bob"]).output()?;
    alice.shows(&["2 people", "bob left"])?;
    alice.keys(&["C-k"])?;
    alice.shows(&["Go to"])?;
    alice.text("bob@")?;
    alice.shows(&["> bob@"])?;
    alice.keys(&["Enter"])?;
    alice.shows(&["> Write to bob"]).map(drop)
}

fn typing(site: &Site, alice: &Terminal) -> Outcome {
    let bob = terminal(site, 80, 24)?;
    chat(&bob, "bob")?;
    bob.wait("the list", |screen| {
        screen.lines().any(|l| l.trim_start_matches([' ', '▌', '●', '○']).starts_with("alice "))
    })?;
    bob.keys(&["C-k"])?;
    bob.shows(&["Go to"])?;
    bob.text("alice@")?;
    bob.shows(&["> alice@"])?;
    bob.keys(&["Enter"])?;
    bob.shows(&["> Write to alice"])?;
    // Who is there is seen, and who types.
    alice.wait("that bob is there", |screen| screen.contains("available") && screen.contains('●'))?;
    bob.text("hm")?;
    alice.shows(&["bob is typing"])?;
    alice.keep("typing")?;
    bob.keys(&["C-c"])?;
    alice.wait("that bob has stopped", |screen| !screen.contains("bob is typing"))?;
    bob.keys(&["C-q"])?;
    bob.shows(&["ended with 0"]).map(drop)
}

fn second(site: &Site) -> Outcome {
    let said = site.sotto("receive")?.args(["--profile", "alice"]).refused()?;
    ensure(said.contains("another process"), || said.clone())?;
    let other = terminal(site, 100, 24)?;
    other.line("NO_COLOR=1 $SOTTO chat --profile alice; echo ended with $?")?;
    other.shows(&["NOT RECEIVING: another process", "# Plans"])?;
    other.keys(&["C-q"])?;
    other.shows(&["ended with 0"]).map(drop)
}

fn outage(site: &Site, alice: &Terminal) -> Outcome {
    let relay =
        || -> Outcome<Pid> { Pid::from_raw(site.pid("acme-relay")?).ok_or_else(|| Failure("no process".into())) };
    let signal = |pid, signal| kill_process(pid, signal).map_err(|error| Failure(error.to_string()));
    let first = relay()?;
    signal(first, Signal::KILL)?;
    alice.shows(&["NOT CONNECTED"])?;
    alice.text("written without a relay")?;
    alice.keys(&["Enter"])?;
    alice.shows(&["written without a relay"])?;
    // The runner starts it again.
    alice.wait("a connection", |screen| screen.lines().next().is_some_and(|top| top.trim_end().ends_with("online")))?;
    site.receive("bob", "written without a relay")?;
    alice
        .wait("that it was delivered", |screen| state_of(screen, "written without a relay") == Some("delivered"))
        .map(drop)
}

/// The word beside the name that a message of alice's stands below.
fn state_of<'a>(screen: &'a str, words: &str) -> Option<&'a str> {
    let rows: Vec<&str> = screen.lines().map(|l| l.rsplit('│').next().unwrap_or(l)).collect();
    let at = rows.iter().position(|row| row.starts_with("   ") && row.contains(words))?;
    let header = rows.iter().take(at).rev().find(|row| row.starts_with(" you "))?;
    ["queued", "sending", "accepted", "delivered", "read"].into_iter().find(|state| header.contains(state))
}

fn ends(site: &Site, alice: &Terminal) -> Outcome {
    alice.text("dropped")?;
    alice.shows(&["> dropped"])?;
    alice.keys(&["C-c"])?;
    alice.shows(&["Ctrl+C again ends"])?;
    alice.keys(&["C-q"])?;
    alice.shows(&["ended with 0"])?;
    alice.line("clear; stty -a | grep -o ' icanon' | wc -l; echo -n a; echo b")?;
    // Lines are read as lines again, what was there before is there again, and nothing of the interface is.
    let screen = alice.wait("the shell as it was", |screen| screen.contains("ab") && screen.contains('1'))?;
    ensure(!screen.contains("F1 help"), || screen.clone())?;
    // The same when it is ended from outside.
    chat(alice, "alice")?;
    let pid = own_process(site)?;
    kill_process(pid, Signal::TERM).map_err(|error| Failure(error.to_string()))?;
    alice.shows(&["ended with 0"])?;
    alice.line("clear; stty -a | grep -o ' icanon' | wc -l; echo -n c; echo d")?;
    alice.wait("the shell as it was", |screen| screen.contains("cd") && screen.contains('1')).map(drop)
}

/// The process of the interface that runs in the site's folder.
fn own_process(site: &Site) -> Outcome<Pid> {
    let folder = fs::canonicalize(site.folder())?;
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let here = fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == folder);
        let pid = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok()).and_then(Pid::from_raw);
        if let (true, true, Some(pid)) = (here, line.contains("sotto chat "), pid)
            && !line.starts_with("sh ")
        {
            return Ok(pid);
        }
    }
    Err(Failure("no `sotto chat` runs".into()))
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn without_a_terminal_nothing_is_drawn_and_nobody_is_asked() -> Outcome {
    let site = Site::new()?;
    let said = site.sotto("chat")?.args(["--profile", "alice"]).refused()?;
    ensure(said.contains("needs a terminal") && said.contains("sotto send"), || said.clone())?;
    // Everything that a script may want to read is JSON on standard output, and the rest is not there.
    let list = site.up()?.args(["-o", "json"]).json()?;
    ensure(list["kind"] == "List" && list["items"].as_array().is_some_and(|i| i.len() > 4), || list.to_string())?;
    let invite = site.sotto("invite")?.args(["alice", "--state", "state", "-o", "json"]).json()?;
    let url = invite["invite"].as_str().unwrap_or_default().to_owned();
    ensure(url.starts_with("sotto://"), || "no invite in the JSON".into())?;
    // A password would have to be asked for.
    let said = site.sotto("join")?.args(["--profile", "alice"]).secret_arg(&url).refused()?;
    ensure(said.contains("no terminal") && said.contains("--password-file"), || said.clone())?;
    let down = site.sotto("down")?.args(["--state", "state", "-o", "json"]).json()?;
    ensure(down["stopped"] == true, || down.to_string())?;
    let down = site.sotto("down")?.args(["--state", "state", "-o", "json"]).json()?;
    ensure(down["stopped"] == false, || down.to_string())
}
