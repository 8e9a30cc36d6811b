//! Metrics and logs: one facade, exporters to CloudWatch and Prometheus.
//!
//! A server calls [`Logs::init`](init_logs) once, [`Telemetry::install`] once, serves [`serve_health`] on its health
//! listener, and starts [`Telemetry::publish`] when its configuration asks for CloudWatch. Everything else in the
//! code base records through the `metrics` facade with the constants in [`names`] and the labels in [`labels`]:
//!
//! ```
//! use sotto_telemetry::{labels, names};
//! metrics::counter!(names::MESSAGES_ACCEPTED).increment(1);
//! metrics::histogram!(names::LATENCY, labels::OPERATION => "SendEnvelope").record(0.012);
//! ```
//!
//! No metric names a user, a room or a device: labels outside the allow-list are removed before any exporter sees
//! them.

mod guard;
mod health;
mod histogram;
mod install;
pub mod labels;
mod logs;
pub mod names;
mod publisher;
mod recorder;
mod snapshot;

pub use health::{HealthError, Readiness, health_router, serve_health, serve_health_beside};
pub use install::{Telemetry, TelemetryError};
pub use logs::{LogError, LogFormat, init_logs};
pub use names::describe_all;
pub use publisher::{CloudWatchConfig, Publisher};
