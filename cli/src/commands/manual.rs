//! `sotto completion` and `sotto man`: made from the command line itself, so that they fit it.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::{Cli, Plugin};
use crate::error::CliError;
use crate::ui::Ui;

/// `sotto completion`.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// For which shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// `sotto man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Folder for one page a command; without it the page of `sotto` itself is printed
    pub(crate) dir: Option<PathBuf>,
}

/// Prints a shell's script.
pub(crate) fn completion(args: &CompletionArgs, ui: Ui) -> Result<(), CliError> {
    script(args.shell, &mut Cli::command(), "sotto", ui)
}

/// The same for the plugin under its own name.
pub(crate) fn plugin_completion(args: &CompletionArgs, ui: Ui) -> Result<(), CliError> {
    script(args.shell, &mut Plugin::command(), "kubectl-sotto", ui)
}

fn script(shell: Shell, command: &mut clap::Command, name: &str, ui: Ui) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    ui.result(String::from_utf8_lossy(&script).trim_end())
}

/// Prints the manual page, or writes all of them.
pub(crate) fn man(args: &ManArgs, ui: Ui) -> Result<(), CliError> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return ui.result(String::from_utf8_lossy(&page).trim_end());
    };
    let broken = |e: std::io::Error| CliError::usage(format!("{}: {e}", dir.display()));
    std::fs::create_dir_all(dir).map_err(broken)?;
    write_pages(dir).map_err(broken)?;
    ui.note(&format!("the pages are in {}", dir.display()));
    Ok(())
}

fn write_pages(dir: &Path) -> std::io::Result<()> {
    clap_mangen::generate_to(Cli::command(), dir)?;
    clap_mangen::generate_to(Plugin::command(), dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let dir = std::env::temp_dir().join(format!("sotto-man-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        write_pages(&dir).unwrap();
        for command in Cli::command().get_subcommands().filter(|c| !c.is_hide_set()) {
            let page = std::fs::read_to_string(dir.join(format!("sotto-{}.1", command.get_name()))).unwrap();
            assert!(page.contains(".SH SYNOPSIS"), "{page}");
        }
        let plugin = std::fs::read_to_string(dir.join("kubectl-sotto-must-gather.1")).unwrap();
        assert!(plugin.contains("without secrets"), "{plugin}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
