//! The operator, its chart and its definitions against a real API server without nodes (`sotto_e2e::ApiServer`).
//!
//! A module for each concern; every test starts a server of its own. `make api` runs all.

mod access;
mod admission;
mod chart;
mod crashes;
mod evolution;
mod faults;
mod gitops;
mod harness;
mod import;
mod lease;
mod optional;
mod plugin;
mod relays;
mod rights;
mod rollouts;
mod scale;
mod secrets;
mod settings;
mod site;
