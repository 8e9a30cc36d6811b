//! Profile folders and passwords.

use std::path::{Path, PathBuf};

use sotto_client::{Client, Error, Password, Profile, ProfileError, Unlock, UnlockWay};
use sotto_crypto::{Address, LinkCode};

use crate::args::ProfileArgs;
use crate::error::CliError;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_profile_name_is_one_folder() {
        assert!(folder("alice").unwrap().ends_with("profiles/alice"));
        assert_eq!(folder("./here/alice").unwrap(), PathBuf::from("./here/alice"));
        for bad in ["", "..", ".hidden", "a b", "a\nb"] {
            assert_eq!(folder(bad).unwrap_err().kind, Kind::Usage, "{bad}");
        }
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
