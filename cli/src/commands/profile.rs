//! Profile folders, passwords, and what the client's errors mean on a command line.

use std::path::{Path, PathBuf};

use sotto_client::{Client, Error, Password, Profile, ProfileError, Refusal, TransportError, Unlock, UnlockWay};
use sotto_crypto::{Address, LinkCode};
use sotto_wire::ErrorCode;

use crate::args::ProfileArgs;
use crate::error::{CliError, Kind};
use crate::ui::{Ui, printable};

/// Where profiles live: `SOTTO_HOME`, or the platform's data folder.
fn home() -> Result<PathBuf, CliError> {
    if let Some(home) = std::env::var_os("SOTTO_HOME").filter(|h| !h.is_empty()) {
        return Ok(PathBuf::from(home));
    }
    directories::ProjectDirs::from("dev", "Sotto", "sotto").map(|dirs| dirs.data_dir().to_owned()).ok_or_else(|| {
        CliError::usage("this account has no home folder").hint("set SOTTO_HOME to a folder for profiles")
    })
}

/// The folder of a profile. A name is one folder name; a path (with a slash) stands for itself.
pub(crate) fn folder(name: &str) -> Result<PathBuf, CliError> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.@+".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(good) {
        return Err(CliError::usage(format!("`{name}` is no profile name"))
            .hint("use letters, digits, `-`, `_`, `.`, `@` and `+`, or a path with a slash"));
    }
    Ok(home()?.join("profiles").join(name))
}

/// Opens the profile, asking for its password where it has to.
pub(crate) async fn open(args: &ProfileArgs, ui: Ui) -> Result<Client, CliError> {
    let dir = folder(&args.profile)?;
    let profile = Profile::at(&dir);
    let way = profile.unlock_way();
    if !profile.exists() {
        // One that was being wiped when the machine went down: to its end.
        let nothing = Password::new(String::new());
        return Ok(Client::open(dir, Unlock::Password(nothing)).await?);
    }
    if way == UnlockWay::KeyFile {
        return Ok(Client::open(dir, Unlock::KeyFile).await?);
    }
    if way == UnlockWay::Keyring {
        match Client::open(&dir, Unlock::Keyring).await {
            Err(Error::Profile(ProfileError::PasswordNeeded(_))) => {
                ui.note(
                    "the keyring holds no key of this profile, as after a restart: the password puts it there again",
                );
            }
            Err(Error::Profile(ProfileError::Keyring(reason))) => {
                ui.note(&format!("the system's keyring cannot be used: {reason}"));
            }
            opened => return Ok(opened?),
        }
    }
    Ok(Client::open(dir, Unlock::Password(password(args, ui)?)).await?)
}

/// The profile's password: from the file, or else from the terminal.
pub(crate) fn password(args: &ProfileArgs, ui: Ui) -> Result<Password, CliError> {
    match &args.password_file {
        Some(file) => read_password(file),
        None => ask(ui, &format!("Password of profile {}: ", args.profile)),
    }
}

/// A code of a link, as it was given or as it is typed now.
pub(crate) fn code(given: Option<&str>, ui: Ui) -> Result<LinkCode, CliError> {
    let typed = match given {
        Some(code) => code.to_owned(),
        None => ui.read_line("Code: ", "give the code on the command line")?,
    };
    LinkCode::parse(&typed).map_err(|e| CliError::usage(e.to_string()))
}

/// The password in a file.
pub(crate) fn read_password(file: &Path) -> Result<Password, CliError> {
    let text =
        std::fs::read_to_string(file).map_err(|e| CliError::usage(format!("password file {}: {e}", file.display())))?;
    let password = Password::from_file_text(&text);
    zeroize::Zeroize::zeroize(&mut { text });
    if password.is_empty() {
        return Err(CliError::usage(format!("password file {} is empty", file.display())));
    }
    Ok(password)
}

/// Asks on the terminal; the prompt goes to the terminal itself, never to standard output.
pub(crate) fn ask(ui: Ui, prompt: &str) -> Result<Password, CliError> {
    if !ui.can_ask() {
        return Err(CliError::usage("there is no terminal to ask for the password on")
            .hint("give --password-file F, or set SOTTO_PASSWORD_FILE"));
    }
    let password = rpassword::prompt_password(printable(prompt)).map(Password::new)?;
    if password.is_empty() {
        return Err(CliError::usage("no password was typed"));
    }
    Ok(password)
}

/// An address from the command line.
pub(crate) fn address(text: &str) -> Result<Address, CliError> {
    Address::parse(text).map_err(|e| CliError::usage(format!("`{text}`: {e}")))
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        let kind = if error.is_retryable() { Kind::Unreachable } else { kind(&error) };
        let hint = hint(&error);
        let error = Self::new(kind, error.to_string());
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

fn kind(error: &Error) -> Kind {
    match error {
        Error::Refused(Refusal::Empty | Refusal::NoRecipients | Refusal::TooManyAddresses { .. }) => Kind::Usage,
        Error::Trust(_) | Error::Refused(_) | Error::Link(_) | Error::Transport(TransportError::Certificate { .. }) => {
            Kind::Refused
        }
        Error::Profile(ProfileError::Missing(_) | ProfileError::PasswordNeeded(_) | ProfileError::Taken { .. }) => {
            Kind::Usage
        }
        Error::Profile(ProfileError::Wiped(_)) => Kind::Refused,
        Error::Relay(answer) => match answer.code {
            ErrorCode::Forbidden
            | ErrorCode::Suspended
            | ErrorCode::Locked
            | ErrorCode::WrongCredentials
            | ErrorCode::InviteInvalid
            | ErrorCode::RetentionRequired
            | ErrorCode::FederationDenied
            | ErrorCode::TooLarge => Kind::Refused,
            _ => Kind::Failed,
        },
        _ => Kind::Failed,
    }
}

fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Profile(ProfileError::PasswordNeeded(_)) => Some("give --password-file F, or set SOTTO_PASSWORD_FILE"),
        Error::Relay(answer) => match answer.code {
            ErrorCode::InviteInvalid => {
                Some("an invite is good once and for a limited time; ask the administrator for a new one")
            }
            ErrorCode::Suspended => Some("the administrator has suspended this user; ask them"),
            ErrorCode::Locked => Some("too many wrong passwords; the administrator can unlock the user"),
            ErrorCode::FederationDenied => {
                Some("both networks and your security group must allow it; ask the administrator")
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sotto_wire::ApiError;

    use super::*;

    #[test]
    fn a_profile_name_is_one_folder() {
        assert!(folder("alice").unwrap().ends_with("profiles/alice"));
        assert_eq!(folder("./here/alice").unwrap(), PathBuf::from("./here/alice"));
        for bad in ["", "..", ".hidden", "a b", "a\nb"] {
            assert_eq!(folder(bad).unwrap_err().kind, Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn the_kind_of_an_error_decides_the_exit_code() {
        let relay = |code| CliError::from(Error::from(ApiError::new(code, "m"))).kind;
        assert_eq!(relay(ErrorCode::FederationDenied), Kind::Refused);
        assert_eq!(relay(ErrorCode::Unavailable), Kind::Unreachable);
        assert_eq!(relay(ErrorCode::NotFound), Kind::Failed);
        assert_eq!(CliError::from(Error::from(sotto_client::TrustError::PolicyKey)).kind, Kind::Refused);
        assert_eq!(CliError::from(Error::from(Refusal::Empty)).kind, Kind::Usage);
    }

    #[test]
    fn a_password_file_must_hold_one() {
        let dir = std::env::temp_dir().join(format!("sotto-cli-{}", std::process::id()));
        std::fs::write(&dir, "\n").unwrap();
        assert_eq!(read_password(&dir).err().unwrap().kind, Kind::Usage);
        std::fs::write(&dir, "good\n").unwrap();
        assert!(read_password(&dir).is_ok());
        std::fs::remove_file(&dir).unwrap();
        assert_eq!(read_password(&dir).err().unwrap().kind, Kind::Usage);
    }
}
