//! Writes the test vectors of `crypto/vectors`, or with `--check` compares them with what it would write.
//!
//! They are made from the protocol's description, by code that shares nothing with the library (`reference.rs`); the
//! library's tests then have to agree with them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::struct_field_names,
    missing_docs,
    unreachable_pub,
    reason = "a tool of this repository"
)]

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

mod devices;
mod good;
mod people;
mod reference;
mod refusals;

pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let check = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => {
            eprintln!("usage: cargo run --release -p sotto-crypto --example vectors [-- --check]");
            return ExitCode::from(2);
        }
    };
    let files = [
        ("derivation.json", good::derivation()),
        ("prekeys.json", good::prekeys()),
        ("device_list.json", good::device_list()),
        ("message.json", good::message()),
        ("attachment.json", good::attachment()),
        ("vault.json", devices::vault()),
        ("link.json", devices::link()),
        ("history.json", devices::history()),
        ("refusals.json", refusals::all()),
    ];
    let mut code = ExitCode::SUCCESS;
    for (name, value) in files {
        let path = folder.join(name);
        if check {
            let there = std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
            if there.as_ref() != Some(&value) {
                eprintln!("{} is not what this command writes", path.display());
                code = ExitCode::FAILURE;
            }
        } else {
            std::fs::write(&path, serde_json::to_string_pretty(&value).unwrap() + "\n").expect("could not write");
        }
    }
    code
}
