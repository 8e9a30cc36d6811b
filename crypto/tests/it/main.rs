//! The crate as others see it. One binary, so that there is one thing to link.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod attachments;
mod common;
mod documents;
mod encoding;
mod known;
mod links;
mod names;
mod sealing;
mod secrets;
mod vectors;
