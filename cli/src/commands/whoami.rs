//! `sotto whoami`.

use crate::args::WhoamiArgs;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(_args: &WhoamiArgs, _ui: Ui) -> Result<(), CliError> {
    Err(CliError::failed("`sotto whoami` is not linked into this build yet"))
}
