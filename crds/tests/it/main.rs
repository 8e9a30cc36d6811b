//! The kinds as a cluster takes them. One binary, so that there is one thing to link.

#![allow(clippy::unwrap_used, reason = "a manifest that cannot be read fails the test")]

mod examples;
mod rules;
mod typescript;
