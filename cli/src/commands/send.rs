//! `sotto send`.

use crate::args::SendArgs;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(_args: &SendArgs, _ui: Ui) -> Result<(), CliError> {
    Err(CliError::failed("`sotto send` is not linked into this build yet"))
}
