//! `sotto invite`: the invite of a user who has not registered, from the local runner or from the cluster.

use serde::Serialize;
use sotto_operator::{local, remote};

use super::status::{local_state, scope, unreachable};
use super::up::explain;
use crate::args::{InviteArgs, TextFormat};
use crate::error::CliError;
use crate::ui::Ui;

/// What `-o json` prints.
#[derive(Serialize)]
struct Report<'a> {
    user: &'a str,
    invite: &'a str,
}

/// Runs the command.
pub(crate) async fn run(args: &InviteArgs, ui: Ui) -> Result<(), CliError> {
    let network = args.network.as_deref();
    let url = match local_state(args.state.as_deref(), &args.namespace) {
        Some(state) => local::invite(&state, &args.user, network).map_err(explain)?,
        None => remote::invite(&scope(&args.namespace), &args.user, network).await.map_err(unreachable)?,
    };
    match args.output {
        TextFormat::Text => ui.result(&url),
        TextFormat::Json => ui.json(&Report { user: &args.user, invite: &url }),
    }
}
