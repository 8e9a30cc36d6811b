//! `sotto join`: by an invite, or by a link from another device.

use serde::Serialize;
use sotto_client::{Client, Error, JoinOptions, LinkOptions, NewDevice, Password, Profile, Refusal};
use sotto_crypto::{Address, RecoveryKey};
use sotto_wire::invite::Invite;
use sotto_wire::link::LinkUrl;

use super::history::show_code;
use super::password::{choose, set_way};
use super::profile::{ask, folder, read_password};
use crate::args::{JoinArgs, TextFormat, UnlockChoice};
use crate::error::{CliError, Kind};
use crate::ui::Ui;

/// What `-o json` prints: the code where an approval is wanted, and the end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
enum Line<'a> {
    #[serde(rename_all = "camelCase")]
    Waiting { code: &'a str, device_fingerprint: String },
    #[serde(rename_all = "camelCase")]
    Joined { address: String, device: String },
}

/// Runs the command.
pub(crate) async fn run(args: &JoinArgs, ui: Ui) -> Result<(), CliError> {
    if LinkUrl::is_meant(&args.invite) {
        return by_link(args, ui).await;
    }
    let invite: Invite = args.invite.parse().map_err(|e| no_line(&e, "`sotto invite`"))?;
    if args.recovery_key_file.is_some() {
        return Err(CliError::usage("--recovery-key-file is for a link, not for an invite"));
    }
    let dir = folder(&args.profile.profile)?;
    let label = args.label.clone().unwrap_or_else(machine_name);
    let asked = args.profile.password_file.is_none();
    loop {
        let password = match &args.profile.password_file {
            Some(file) => read_password(file)?,
            None => choose(ui, &format!("Choose a password for {}: ", invite.address))?,
        };
        let mut options = JoinOptions::new(invite.clone(), &dir, password.clone());
        options.label.clone_from(&label);
        options.require_password = asks(args);
        options.replace = args.replace;
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
        return finish(&client, password, args, ui).await;
    }
}

fn no_line(error: &dyn std::error::Error, printed_by: &str) -> CliError {
    CliError::usage(error.to_string()).hint(format!("copy the whole line that {printed_by} prints"))
}

/// A new device of a user who has one.
async fn by_link(args: &JoinArgs, ui: Ui) -> Result<(), CliError> {
    let link: LinkUrl = args.invite.parse().map_err(|e| no_line(&e, "`sotto devices link`"))?;
    if args.replace {
        return Err(CliError::usage("--replace is for an invite, not for a link"));
    }
    let password = known_password(args, &link.address, ui)?;
    let mut options = LinkOptions::new(link.clone(), folder(&args.profile.profile)?, password.clone());
    options.label = args.label.clone().unwrap_or_else(machine_name);
    options.require_password = asks(args);
    options.recovery_key = args.recovery_key_file.as_deref().map(read_recovery_key).transpose()?;
    ui.note(&format!("adding this device to {} …", link.address));
    let client = match Client::link(options).await? {
        NewDevice::Joined(client) => client,
        NewDevice::Pending(pending) => {
            let (code, fingerprint) = (pending.code(), pending.fingerprint()?.to_string());
            if args.output == TextFormat::Json {
                ui.json(&Line::Waiting { code: &code, device_fingerprint: fingerprint.clone() })?;
            }
            show_code(&code, &format!("sotto devices approve {}", *code), ui);
            ui.note(&format!("it shows this device's key too: {fingerprint}\nwaiting for the approval …"));
            match args.timeout {
                Some(time) => tokio::time::timeout(time, pending.wait()).await.map_err(|_| not_in_time())??,
                None => pending.wait().await?,
            }
        }
        _ => return Err(CliError::failed("this program does not know what the library has answered")),
    };
    finish(&client, password, args, ui).await
}

/// Chooses what opens the profile, and says who it is.
async fn finish(client: &Client, password: Password, args: &JoinArgs, ui: Ui) -> Result<(), CliError> {
    let dir = folder(&args.profile.profile)?;
    if args.unlock == Some(UnlockChoice::Keyring) {
        set_way(&Profile::at(&dir), password, UnlockChoice::Keyring).await?;
    }
    let me = client.whoami();
    ui.note(&format!("the profile is in {}", dir.display()));
    match args.output {
        TextFormat::Json => ui.json(&Line::Joined { address: me.address.to_string(), device: me.device.to_string() }),
        TextFormat::Text => ui.result(&format!("{} joined as device {}", me.address, me.device)),
    }
}

/// Whether the profile is made without an `unlock.key`.
fn asks(args: &JoinArgs) -> bool {
    args.require_password || matches!(args.unlock, Some(UnlockChoice::Password | UnlockChoice::Keyring))
}

/// The user's password, which there is one of already.
fn known_password(args: &JoinArgs, address: &Address, ui: Ui) -> Result<Password, CliError> {
    match &args.profile.password_file {
        Some(file) => read_password(file),
        None => ask(ui, &format!("Password of {address}: ")),
    }
}

fn read_recovery_key(file: &std::path::Path) -> Result<RecoveryKey, CliError> {
    let wrong = |e: &dyn std::fmt::Display| CliError::usage(format!("recovery key file {}: {e}", file.display()));
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(file).map_err(|e| wrong(&e))?);
    RecoveryKey::parse(&text).map_err(|e| wrong(&e))
}

fn not_in_time() -> CliError {
    CliError::new(Kind::Unreachable, "nobody has approved this device in time")
        .hint("run the same again: it waits on, with the same code")
}

fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "device".to_owned() } else { name }
}
