//! `sotto status`: the objects with their conditions, of the local runner or of the cluster.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sotto_operator::local::report::{rows, table};
use sotto_operator::local::snapshot::list;
use sotto_operator::local::{self, LocalError};
use sotto_operator::remote::{self, RemoteError, Scope};

use super::up::explain;
use crate::args::{NamespaceArgs, StatusArgs, TableFormat};
use crate::error::{CliError, Kind};
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(args: &StatusArgs, ui: Ui) -> Result<(), CliError> {
    let items = match local_state(args.state.as_deref(), &args.namespace) {
        Some(state) => from_runner(&state, ui)?,
        None => remote::objects(&scope(&args.namespace)).await.map_err(unreachable)?,
    };
    match args.output {
        TableFormat::Table if items.is_empty() => ui.note("there are no objects"),
        TableFormat::Table => {
            for line in table(&rows(&items)) {
                ui.result(&line)?;
            }
        }
        TableFormat::Json => ui.json_pretty(&list(&items))?,
        TableFormat::Yaml => ui.yaml(&list(&items))?,
    }
    Ok(())
}

fn from_runner(state: &Path, ui: Ui) -> Result<Vec<Value>, CliError> {
    let Some((snapshot, running)) = local::status(state).map_err(explain)? else {
        return Err(explain(LocalError::NoState(state.display().to_string())));
    };
    if !running {
        ui.note(&format!("nothing runs on {}; `sotto up DIR --state {}` starts it", state.display(), state.display()));
    }
    for problem in &snapshot.info.problems {
        ui.note(&format!("{}: {problem}", if problem.fatal { "error" } else { "note" }));
    }
    Ok(snapshot.items)
}

/// The state folder that is meant, if the local runner is: the named one, or the usual one where it is there and no
/// namespace of a cluster is asked for.
pub(crate) fn local_state(named: Option<&Path>, namespace: &NamespaceArgs) -> Option<PathBuf> {
    if let Some(state) = named {
        return Some(state.to_owned());
    }
    let usual = Path::new(".sotto");
    let cluster = namespace.namespace.is_some() || namespace.all_namespaces;
    (!cluster && usual.is_dir()).then(|| usual.to_owned())
}

/// Whose objects in the cluster.
pub(crate) fn scope(args: &NamespaceArgs) -> Scope {
    match &args.namespace {
        _ if args.all_namespaces => Scope::All,
        Some(namespace) => Scope::Namespace(namespace.clone()),
        None => Scope::Default,
    }
}

/// The error with its exit code.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(crate) fn unreachable(error: RemoteError) -> CliError {
    let kind = match &error {
        RemoteError::Config(_) => Kind::Usage,
        RemoteError::Api(_) | RemoteError::Timeout => Kind::Unreachable,
        RemoteError::Invite(_) => Kind::Failed,
    };
    CliError::new(kind, error.to_string())
}
