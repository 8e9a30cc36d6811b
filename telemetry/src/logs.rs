//! Logs: to standard error, as text for people or JSON for machines.

use std::{env, io, str::FromStr};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The variable that chooses the form.
const FORMAT_VARIABLE: &str = "SOTTO_LOG_FORMAT";
/// The variables that choose the level, the first one that is set counts.
const LEVEL_VARIABLES: [&str; 2] = ["SOTTO_LOG", "RUST_LOG"];
/// Ours at info; libraries only when something is wrong.
const DEFAULT_LEVEL: &str = "warn,sotto=info";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The form is neither text nor JSON.
    #[error("{FORMAT_VARIABLE}={0}: expected text or json")]
    Format(String),
    /// The level does not parse.
    #[error("{variable}={value}: not a log filter ({reason}); try info, debug, or sotto_relay=debug,warn")]
    Level {
        /// The variable that holds it.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else in this process has set up logging before.
    #[error("logging is set up already")]
    Twice,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text.to_ascii_lowercase().as_str() {
            "" | "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(LogError::Format(text.to_owned())),
        }
    }
}

/// Sends logs to standard error, in the form and level that the environment asks for. `component` ("relay", "gateway",
/// "retention", "operator") names the process in the first line.
pub fn init_logs(component: &str) -> Result<(), LogError> {
    let format: LogFormat = env::var(FORMAT_VARIABLE).unwrap_or_default().parse()?;
    let filter = level(|variable| env::var(variable).ok())?;
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => registry.with(fmt::layer().with_writer(io::stderr)).try_init(),
        LogFormat::Json => registry.with(fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init(),
    }
    .map_err(|_| LogError::Twice)?;
    tracing::info!(target: "sotto", component, version = env!("CARGO_PKG_VERSION"), "starting");
    Ok(())
}

fn level(lookup: impl Fn(&str) -> Option<String>) -> Result<EnvFilter, LogError> {
    for variable in LEVEL_VARIABLES {
        if let Some(value) = lookup(variable).filter(|value| !value.is_empty()) {
            return EnvFilter::try_new(&value).map_err(|error| LogError::Level {
                variable,
                value: value.clone(),
                reason: error.to_string(),
            });
        }
    }
    Ok(EnvFilter::new(DEFAULT_LEVEL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_parse() {
        assert_eq!("".parse::<LogFormat>().unwrap(), LogFormat::Text);
        assert_eq!("JSON".parse::<LogFormat>().unwrap(), LogFormat::Json);
        let error = "xml".parse::<LogFormat>().unwrap_err().to_string();
        assert!(error.contains("SOTTO_LOG_FORMAT=xml") && error.contains("text or json"), "{error}");
    }

    #[test]
    fn the_first_variable_counts_and_errors_name_it() {
        let filter = level(|v| (v == "RUST_LOG").then(|| "debug".to_owned())).unwrap();
        assert_eq!(filter.to_string(), "debug");
        let filter = level(|v| Some(if v == "SOTTO_LOG" { "error" } else { "debug" }.to_owned())).unwrap();
        assert_eq!(filter.to_string(), "error");
        assert!(level(|_| None).unwrap().to_string().contains("sotto=info"));
        let error = level(|_| Some("sotto=loud".to_owned())).unwrap_err().to_string();
        assert!(error.starts_with("SOTTO_LOG=sotto=loud"), "{error}");
    }
}
