//! The servers: read the configuration, run the house's own `run`, end on SIGTERM or SIGINT.

use std::future::Future;
use std::path::Path;

use serde::de::DeserializeOwned;
use sotto_wire::config::{GatewayConfig, RelayConfig, RetentionConfig};
use tokio_util::sync::CancellationToken;

use crate::args::ServerArgs;
use crate::error::CliError;

/// `sotto relay`.
pub(crate) async fn relay(args: &ServerArgs) -> Result<(), CliError> {
    let config: RelayConfig = read(&args.config)?;
    serve("relay", |shutdown| sotto_relay::run(config, shutdown)).await
}

/// `sotto gateway`.
pub(crate) async fn gateway(args: &ServerArgs) -> Result<(), CliError> {
    let config: GatewayConfig = read(&args.config)?;
    serve("gateway", |shutdown| sotto_federation::run(config, shutdown)).await
}

/// `sotto retention`.
pub(crate) async fn retention(args: &ServerArgs) -> Result<(), CliError> {
    let config: RetentionConfig = read(&args.config)?;
    serve("retention", |shutdown| sotto_retention::run(config, shutdown)).await
}

/// `sotto operator`.
pub(crate) async fn operator() -> Result<(), CliError> {
    let options = sotto_operator::cluster::Options::from_env().map_err(|e| CliError::usage(e.to_string()))?;
    serve("operator", |shutdown| sotto_operator::cluster::run(options, shutdown)).await
}

/// Reads a configuration file; the error names file, place and field.
fn read<T: DeserializeOwned>(path: &Path) -> Result<T, CliError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| CliError::usage(format!("configuration file {}: {e}", path.display())))?;
    parse(path, &text)
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, CliError> {
    serde_yaml::from_str(text).map_err(|e| {
        CliError::usage(format!("configuration file {}: {e}", path.display()))
            .hint("the operator and `sotto up` write this file; the fields are described in wire/src/config.rs")
    })
}

/// Runs one server until it ends or a signal asks it to.
async fn serve<F, E>(name: &str, run: impl FnOnce(CancellationToken) -> F) -> Result<(), CliError>
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(shutdown.clone()));
    let ended = run(shutdown).await;
    signals.abort();
    ended.map_err(|e| CliError::failed(format!("{name}: {e}")))
}

/// First signal: drain and end. Second signal: end at once.
async fn cancel_on_signal(shutdown: CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    for first in [true, false] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if first {
            tracing::info!("asked to stop: finishing what is under way");
            shutdown.cancel();
        }
    }
    tracing::warn!("asked to stop again: ending at once");
    std::process::exit(130);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_configuration_names_file_and_field() {
        let error = parse::<GatewayConfig>(Path::new("/etc/g.yaml"), "domain: a.example\nwrong: 1\n").unwrap_err();
        assert!(error.message.contains("/etc/g.yaml") && error.message.contains("wrong"), "{}", error.message);
    }

    #[tokio::test]
    async fn the_error_of_a_server_is_told() {
        let error = serve("relay", |_| async { Err("no store") }).await.unwrap_err();
        assert_eq!(error.message, "relay: no store");
    }
}
