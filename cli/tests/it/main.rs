//! The `sotto` program by its commands. One binary, so that there is one thing to link.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests, which the lint does not know as such")]

#[path = "../../../client/tests/it/common/mod.rs"]
mod common;

mod devices;
mod people;
mod shell;
