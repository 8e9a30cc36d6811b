//! Clients against a real relay, as others use them. One binary, so that there is one thing to link.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests, which the lint does not know as such")]

mod bad_network;
mod clock;
mod common;
mod devices;
mod gaps;
mod layers;
mod platform;
mod relay;
mod restore;
mod rooms;
mod talk;
mod trust;
