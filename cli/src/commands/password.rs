//! `sotto password` and `sotto unlock`.

use sotto_client::{Password, Profile, UnlockWay};

use super::profile::{ask, folder, open, password, read_password};
use crate::args::{PasswordArgs, UnlockArgs, UnlockChoice};
use crate::error::CliError;
use crate::ui::Ui;

/// Runs `sotto password`.
pub(crate) async fn run(args: &PasswordArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    let old = match &args.profile.password_file {
        Some(file) => read_password(file)?,
        None => ask(ui, "The old password: ")?,
    };
    let new = match &args.new_password_file {
        Some(file) => read_password(file)?,
        None => choose(ui, "The new password: ")?,
    };
    ui.note("changing the password …");
    let changed = client.devices().change_password(old, new).await?;
    ui.result(if changed.before {
        "the password was new at the relay already; this profile opens with it now"
    } else {
        "the password is changed"
    })?;
    ui.note("your other devices open with the old one until `sotto password` is run there with the same two passwords");
    Ok(())
}

/// Runs `sotto unlock`.
pub(crate) async fn unlock(args: &UnlockArgs, ui: Ui) -> Result<(), CliError> {
    let profile = Profile::at(folder(&args.profile.profile)?);
    let password = password(&args.profile, ui)?;
    set_way(&profile, password, args.way).await?;
    ui.result(match args.way {
        UnlockChoice::File => "the profile opens by its unlock.key",
        UnlockChoice::Password => "the profile asks for its password",
        UnlockChoice::Keyring => "the profile opens by the system's keyring until the machine restarts",
    })
}

/// Sets what opens a profile; off the async threads, since a password takes its time.
pub(crate) async fn set_way(profile: &Profile, password: Password, way: UnlockChoice) -> Result<(), CliError> {
    let way = match way {
        UnlockChoice::File => UnlockWay::KeyFile,
        UnlockChoice::Password => UnlockWay::Password,
        UnlockChoice::Keyring => UnlockWay::Keyring,
    };
    let profile = profile.clone();
    let set = tokio::task::spawn_blocking(move || profile.set_unlock_way(&password, way)).await;
    Ok(set.map_err(|e| CliError::failed(e.to_string()))?.map_err(sotto_client::Error::from)?)
}

/// Asks for a password, twice.
pub(crate) fn choose(ui: Ui, prompt: &str) -> Result<Password, CliError> {
    loop {
        let first = ask(ui, prompt)?;
        let second = ask(ui, "The same again: ")?;
        if first.same_as(&second) {
            return Ok(first);
        }
        ui.note("the two are not the same");
    }
}
