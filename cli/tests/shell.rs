//! Completion and manual pages as a shell and a reader get them.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which the lint does not know as such")]

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
fn every_command_has_a_manual_page() {
    let page = String::from_utf8(sotto(&["man"]).stdout).unwrap();
    assert!(page.contains(".TH") && page.contains("Exit codes"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    assert!(sotto(&["man", pages.to_str().unwrap()]).status.success());
    let send = std::fs::read_to_string(pages.join("sotto-send.1")).unwrap();
    assert!(send.contains("ADDRESS") && send.contains(".TH"), "{send}");
    assert!(pages.join("sotto.1").exists());
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
