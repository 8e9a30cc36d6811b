//! `sotto chat`: conversations on a terminal.
//!
//! [`model`] is all that the interface knows, [`update`] takes an input in and says what is to be done ([`effect`]), [`view`]
//! draws. These are pure. [`driver`] has the terminal and the clock; [`work`] does what is to be done, on the client library.

mod complete;
mod dialog;
mod driver;
mod editor;
mod effect;
mod emoji;
mod keys;
mod listen;
mod model;
mod scroll;
mod stamp;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod update;
mod view;
mod work;

use jiff::tz::TimeZone;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use sotto_client::now_ms;

use self::driver::{Inputs, Screen, colors, drive, ring};
use self::effect::Effect;
use self::model::Model;
use self::work::ClientWork;
use crate::args::ProfileArgs;
use crate::commands::profile::open;
use crate::error::CliError;
use crate::ui::Ui;

/// `sotto chat`.
#[derive(Debug, clap::Args)]
pub(crate) struct ChatArgs {
    /// The profile to talk with.
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Scroll with the mouse wheel; then the terminal selects text only with Shift held
    #[arg(long)]
    pub(crate) mouse: bool,
}

/// Runs the command.
pub(crate) async fn run(args: &ChatArgs, ui: Ui) -> Result<(), CliError> {
    driver::need_terminal()?;
    // Asks for the password where it has to: before the terminal is taken over.
    let client = open(&args.profile, ui).await?;
    let mut stop = Stop::new()?;
    let (news, news_out) = mpsc::unbounded_channel();
    let work = ClientWork::new(client.clone(), news.clone());
    let (mut screen, terminal) = Screen::take(args.mouse)?;
    let size = screen.terminal.size().map_err(|e| CliError::failed(format!("the terminal: {e}")))?;
    let mut model = Model::new(client.address().clone(), TimeZone::system(), now_ms(), (size.width, size.height));
    model.color = colors();
    let (hang_up, to_hang_up) = oneshot::channel();
    let listener = tokio::spawn(listen::listen(client, news, to_hang_up));
    let mut inputs = Inputs { terminal, news: news_out };
    let ended = tokio::select! {
        ended = drive(&mut screen.terminal, &mut model, &mut inputs, &work, ring) => ended,
        () = stop.wait() => Ok(()),
    };
    // The person has the terminal back while the rest is done.
    drop(screen);
    if model.shown_presence.is_some() {
        driver::Work::start(&work, Effect::Presence(sotto_wire::content::Presence::Offline));
    }
    work.finish().await;
    let _ = hang_up.send(());
    let _ = listener.await;
    ended
}

/// What ends the program from outside: a signal, or the terminal's end.
struct Stop([tokio::signal::unix::Signal; 3]);

impl Stop {
    fn new() -> Result<Self, CliError> {
        Ok(Self([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?]))
    }

    async fn wait(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
