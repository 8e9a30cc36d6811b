//! `sotto join`.

use sotto_client::{Client, Error, JoinOptions, Password, Refusal};
use sotto_wire::invite::Invite;

use super::profile::{ask, folder, read_password};
use crate::args::JoinArgs;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(args: &JoinArgs, ui: Ui) -> Result<(), CliError> {
    let invite: Invite = args.invite.parse().map_err(|e| CliError::usage(format!("{e}")))?;
    let dir = folder(&args.profile.profile)?;
    let label = args.label.clone().unwrap_or_else(machine_name);
    let asked = args.profile.password_file.is_none();
    loop {
        let password = match &args.profile.password_file {
            Some(file) => read_password(file)?,
            None => choose(&invite, ui)?,
        };
        let mut options = JoinOptions::new(invite.clone(), &dir, password);
        options.label.clone_from(&label);
        options.require_password = args.require_password;
        ui.note(&format!("joining as {} …", invite.address));
        let client = match Client::join(options).await {
            Ok(client) => client,
            // A person can choose another one; a file stays what it is.
            Err(Error::Refused(Refusal::WeakPassword(lacking))) if asked => {
                ui.note(&lacking);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let me = client.whoami();
        ui.note(&format!("the profile is in {}", dir.display()));
        ui.result(&format!("{} joined as device {}", me.address, me.device))?;
        return Ok(());
    }
}

/// Asks for a password, twice.
fn choose(invite: &Invite, ui: Ui) -> Result<Password, CliError> {
    loop {
        let first = ask(ui, &format!("Choose a password for {}: ", invite.address))?;
        let second = ask(ui, "The same again: ")?;
        if first.same_as(&second) {
            return Ok(first);
        }
        ui.note("the two are not the same");
    }
}

fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "device".to_owned() } else { name }
}
