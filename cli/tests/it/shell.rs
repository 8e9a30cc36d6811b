//! Completion and manual pages as a shell and a reader get them.

use std::process::{Command, Output};

fn sotto(line: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sotto")).args(line).output().unwrap()
}

#[test]
fn a_shell_completes_by_the_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = sotto(&["completion", shell]);
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["receive", "chat", "profile"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    assert_eq!(sotto(&["completion", "sh"]).status.code(), Some(2));
    // What bash offers for `sotto rec`.
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("sotto.bash");
    std::fs::write(&script, sotto(&["completion", "bash"]).stdout).unwrap();
    let asked = "source \"$1\"; COMP_WORDS=(sotto rec); COMP_CWORD=1; _sotto sotto rec sotto; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", asked, "bash"]).arg(&script).output().unwrap();
    let offered = String::from_utf8(output.stdout).unwrap();
    assert!(offered.split_whitespace().any(|word| word == "receive"), "{offered}");
}

#[test]
fn under_its_other_name_it_is_the_plugin_of_kubectl() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = dir.path().join("kubectl-sotto");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sotto"), &plugin).unwrap();
    let run = |line: &[&str]| Command::new(&plugin).args(line).output().unwrap();
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    assert!(
        help.contains("Usage: kubectl sotto") && help.contains("must-gather") && !help.contains("receive"),
        "{help}"
    );
    let script = String::from_utf8(run(&["completion", "bash"]).stdout).unwrap();
    assert!(script.contains("_kubectl__sotto") && script.contains("all-pending"), "{script}");
    // Without a cluster it says what to set, as wrong usage.
    let output = run(&["status", "--kubeconfig", "/nonexistent"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("KUBECONFIG") && said.contains("--context"), "{said}");
}

#[test]
fn a_table_of_people_becomes_manifests() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("people.csv");
    std::fs::write(&file, "username;firstName\nalice;Alice\nBob;Bob\n").unwrap();
    let table = file.to_str().unwrap();
    let output = sotto(&["users", "import", table, "--network", "acme"]);
    let (text, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(text.starts_with("---\napiVersion: sotto.dev/v1alpha1\nkind: User\n") && !text.contains("Bob"), "{text}");
    assert!(
        output.status.code() == Some(3) && said.contains("line 3: username:") && said.contains("write bob"),
        "{said}"
    );
    // The same bytes each time; nothing at all where that is asked for.
    let again = sotto(&["users", "import", table, "--network", "acme"]);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text);
    let strict = sotto(&["users", "import", table, "--network", "acme", "--strict"]);
    assert!(strict.stdout.is_empty() && strict.status.code() == Some(3));
    let report = dir.path().join("report.json");
    let folder = dir.path().join("users");
    let line = ["users", "import", table, "--network", "acme", "--output-dir", folder.to_str().unwrap(), "-o", "json"];
    let output = sotto(&[&line, ["--report", report.to_str().unwrap()].as_slice()].concat());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&value["created"], &value["refused"][0]["line"]), (&1.into(), &3.into()));
    assert_eq!(std::fs::read_to_string(report).unwrap().parse::<serde_json::Value>().unwrap(), value);
    assert!(folder.join("alice.yaml").exists());
    // What cannot be meant is refused before anything is read.
    assert_eq!(sotto(&["users", "import", table, "--prune"]).status.code(), Some(2));
    assert_eq!(sotto(&["users", "import", table, "-o", "json"]).status.code(), Some(2));
}

#[test]
fn every_command_has_a_manual_page() {
    let page = String::from_utf8(sotto(&["man"]).stdout).unwrap();
    assert!(page.contains(".TH") && page.contains("Exit codes"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    assert!(sotto(&["man", pages.to_str().unwrap()]).status.success());
    let send = std::fs::read_to_string(pages.join("sotto-send.1")).unwrap();
    assert!(send.contains("ADDRESS") && send.contains(".TH"), "{send}");
    assert!(pages.join("sotto.1").exists());
    // The plugin has pages under its own name.
    for page in ["kubectl-sotto.1", "kubectl-sotto-status.1", "sotto-users-import.1", "sotto-kube-reset.1"] {
        let page = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(page.contains("Examples:") || page.contains("kubectl sotto"), "{page}");
    }
}

#[test]
fn without_a_terminal_the_interface_says_what_to_use() {
    let output = Command::new(env!("CARGO_BIN_EXE_sotto"))
        .args(["chat", "--profile", "nobody"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("needs a terminal"), "{said}");
}
