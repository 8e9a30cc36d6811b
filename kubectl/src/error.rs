//! Why something cannot be done, in words for a person.

/// Why something cannot be done. Nothing secret stands in it.
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    /// No kubeconfig, or not a good one.
    #[error("no cluster is known here: {0}; set KUBECONFIG, or give --kubeconfig and --context")]
    Config(String),
    /// The command line or a file is not as it should be.
    #[error("{0}")]
    Usage(String),
    /// The cluster says no: rights, or a rule.
    #[error("{what}: the cluster refuses it: {why}")]
    Refused {
        /// What was tried.
        what: String,
        /// What the API server said.
        why: String,
    },
    /// It is not there, or not as it would have to be.
    #[error("{0}")]
    Missing(String),
    /// The cluster cannot be reached, or takes too long.
    #[error("{what}: {why}; try again, or see whether kubectl reaches the cluster")]
    Unreachable {
        /// What was tried.
        what: String,
        /// Why not.
        why: String,
    },
    /// It was asked for and has not happened in time.
    #[error("{0}")]
    NotYet(String),
    /// A file cannot be read or written.
    #[error("{file}: {error}")]
    File {
        /// Which.
        file: String,
        /// Why not.
        error: std::io::Error,
    },
}

impl KubeError {
    /// The error of a call of the API.
    pub fn api(what: impl Into<String>, error: &kube::Error) -> Self {
        let what = what.into();
        match error {
            kube::Error::Api(status) if status.is_not_found() => Self::Missing(format!("{what}: {}", words(error))),
            kube::Error::Api(status)
                if (400..500).contains(&status.code) && ![408, 410, 429].contains(&status.code) =>
            {
                Self::Refused { what, why: words(error) }
            }
            _ => Self::Unreachable { what, why: words(error) },
        }
    }

    /// The error of a file.
    pub fn file(file: &std::path::Path, error: std::io::Error) -> Self {
        Self::File { file: file.display().to_string(), error }
    }
}

/// What the API server said, or why it was not reached.
pub(crate) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("{} ({})", status.reason, status.code),
        other => {
            // The cause says more than its wrapping.
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                if !text.contains(&cause_text) {
                    text = format!("{text}: {cause_text}");
                }
                source = cause.source();
            }
            text
        }
    }
}
