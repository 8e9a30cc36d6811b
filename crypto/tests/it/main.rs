//! The crate as others see it. One binary, so that there is one thing to link.

mod attachments;
mod common;
mod documents;
mod encoding;
mod names;
mod sealing;
mod secrets;
