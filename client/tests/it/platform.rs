//! The client meets the machine in one place: `core/platform`. What goes past it does not run in a browser.

use std::fs;
use std::path::{Path, PathBuf};

/// What only the seam may name.
const MACHINE: [&str; 11] = [
    "tokio::fs",
    "tokio::net",
    "tokio::process",
    "tokio::runtime",
    "tokio::signal",
    "tokio::spawn",
    "tokio::task",
    "tokio::time",
    "std::fs",
    "std::net",
    "std::os",
];
/// The same, where a part of the module is free for all: `std::time::Duration` is no clock.
const PARTS: [(&str, &[&str]); 2] =
    [("std::thread", &["sleep", "spawn", "current", "park"]), ("std::time", &["SystemTime", "Instant", "UNIX_EPOCH"])];
/// The seam, and what is compiled where there is an operating system only: its sockets.
const FREE: [&str; 3] = ["core/platform/", "transport/tls.rs", "transport/ws.rs"];

/// The Rust files under a folder.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The paths that a file names beyond the seam.
fn past_the_seam(text: &str) -> Vec<&'static str> {
    // Tests run on the machine that builds. They are the end of a file.
    let text = text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code);
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
    // `use tokio::{time, sync}` names them as well.
    let names = |module: &str, part: &str| {
        let path = format!("{module}::{part}");
        let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let direct = code.split(&path).skip(1).any(|rest| !rest.starts_with(goes_on));
        let grouped = code.split(&format!("{module}::{{")).skip(1).any(|rest| {
            rest.split_once('}').is_some_and(|(group, _)| {
                group.split([',', '{']).any(|name| name.split("::").next().is_some_and(|n| n.trim() == part))
            })
        });
        grouped || direct
    };
    let whole = MACHINE.into_iter().filter(|path| {
        let (module, part) = path.split_once("::").unwrap();
        names(module, part)
    });
    let parts = PARTS.into_iter().filter(|(module, parts)| parts.iter().any(|part| names(module, part)));
    whole.chain(parts.map(|(module, _)| module)).collect()
}

#[test]
fn nothing_but_the_seam_names_the_machine() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&source, &mut all);
    assert!(all.len() > 80, "the client's files were not found");
    let mut wrong = Vec::new();
    for path in all {
        let place = path.strip_prefix(&source).unwrap().to_string_lossy().into_owned();
        let test = place.ends_with("/tests.rs") || place.contains("/tests/");
        if test || FREE.iter().any(|free| place.starts_with(free)) {
            continue;
        }
        let named = past_the_seam(&fs::read_to_string(&path).unwrap());
        if !named.is_empty() {
            wrong.push(format!("{place}: {}", named.join(", ")));
        }
    }
    assert!(wrong.is_empty(), "to be had from core/platform instead:\n{}", wrong.join("\n"));
}

#[test]
fn what_goes_past_the_seam_is_seen() {
    for (text, seen) in [
        ("use tokio::time::sleep;", "tokio::time"),
        ("use tokio::{select, time::{sleep, timeout}};", "tokio::time"),
        ("    tokio::spawn(async {});", "tokio::spawn"),
        ("use std::time::{Duration, Instant};", "std::time"),
        ("let now = std::time::SystemTime::now();", "std::time"),
        ("use std::{fs, io};", "std::fs"),
        ("std::thread::spawn(|| ());", "std::thread"),
    ] {
        assert_eq!(past_the_seam(text), [seen], "{text}");
    }
    for text in [
        "use std::time::Duration;",
        "use tokio::sync::mpsc;",
        "use crate::core::platform::{fs, spawn};",
        "// tokio::spawn would do.",
        "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}",
    ] {
        assert!(past_the_seam(text).is_empty(), "{text}");
    }
}
