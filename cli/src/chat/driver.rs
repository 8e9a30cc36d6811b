//! The terminal, the clock, and the loop between them, the pure state, and the work.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste, EnableFocusChange,
    EnableMouseCapture, Event,
};
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, execute};
use ratatui::{Frame, Terminal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use sotto_client::now_ms;

use super::effect::{Effect, Input, News};
use super::model::Model;
use super::update::{begin, update};
use super::view::view;
use crate::error::CliError;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often the thread that reads keys looks whether it is to end.
const LOOK: Duration = Duration::from_millis(200);
/// Inputs that may wait.
const WAITING: usize = 1024;

/// What does effects, beside the interface.
pub(crate) trait Work {
    /// Begins to do an effect. What comes of it comes as news. Effects that write are done in the order given.
    fn start(&self, effect: Effect);
}

/// What the loop gets its inputs from.
pub(crate) struct Inputs {
    /// From the terminal.
    pub(crate) terminal: mpsc::Receiver<Input>,
    /// From the client.
    pub(crate) news: mpsc::UnboundedReceiver<News>,
}

/// Shows the state, takes inputs in, has effects done; until the user ends it or the terminal is gone.
pub(crate) async fn drive<B: Backend>(
    terminal: &mut Terminal<B>,
    model: &mut Model,
    inputs: &mut Inputs,
    work: &impl Work,
    mut bell: impl FnMut(),
) -> Result<(), CliError> {
    let shown = |e: B::Error| CliError::failed(format!("the terminal: {e}"));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut effects = begin(model);
    loop {
        for effect in effects.drain(..) {
            match effect {
                Effect::Bell => bell(),
                Effect::Redraw => terminal.clear().map_err(shown)?,
                effect => work.start(effect),
            }
        }
        if model.ended {
            return Ok(());
        }
        terminal.draw(|frame| effects.extend(picture(model, frame))).map_err(shown)?;
        let input = tokio::select! {
            input = inputs.terminal.recv() => match input {
                Some(input) => input,
                // The terminal is gone.
                None => return Ok(()),
            },
            Some(news) = inputs.news.recv() => Input::News(news),
            _ = ticks.tick() => Input::Tick(now_ms()),
        };
        effects.extend(take_in(model, inputs, input));
    }
}

/// One picture. The terminal may have another size by now than it has told: it is drawn into as it is.
fn picture(model: &mut Model, frame: &mut Frame<'_>) -> Vec<Effect> {
    let area = frame.area();
    let effects = if model.size == (area.width, area.height) {
        Vec::new()
    } else {
        update(model, Input::Resize(area.width, area.height))
    };
    view(model, frame);
    effects
}

/// An input, and all that waits behind it, before there is one picture of it. But no key behind news: whoever presses one
/// answers to what they see.
fn take_in(model: &mut Model, inputs: &mut Inputs, input: Input) -> Vec<Effect> {
    let keys_may_follow = !matches!(input, Input::News(_));
    let mut effects = update(model, input);
    while keys_may_follow && let Ok(input) = inputs.terminal.try_recv() {
        effects.extend(update(model, input));
    }
    while let Ok(news) = inputs.news.try_recv() {
        effects.extend(update(model, Input::News(news)));
    }
    effects
}

/// Fails where there is no terminal to draw on.
pub(crate) fn need_terminal() -> Result<(), CliError> {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return Ok(());
    }
    Err(CliError::usage("`sotto chat` needs a terminal")
        .hint("in a script use `sotto send`, `sotto receive` and `sotto history`"))
}

/// The terminal, taken over; given back when this is dropped.
pub(crate) struct Screen {
    pub(crate) terminal: Terminal<CrosstermBackend<io::Stdout>>,
    reading: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal over.
    pub(crate) fn take(mouse: bool) -> Result<(Self, mpsc::Receiver<Input>), CliError> {
        let broken = |e: io::Error| CliError::failed(format!("the terminal: {e}"));
        give_back_on_panic();
        enable_raw_mode().map_err(broken)?;
        // From here on, whatever happens, it is given back.
        let reading = Arc::new(AtomicBool::new(true));
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout())).map_err(broken)?;
        let screen = Self { terminal, reading: reading.clone() };
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange).map_err(broken)?;
        if mouse {
            execute!(io::stdout(), EnableMouseCapture).map_err(broken)?;
        }
        let (inputs_in, inputs) = mpsc::channel(WAITING);
        std::thread::Builder::new().name("keys".into()).spawn(move || read(&reading, &inputs_in)).map_err(broken)?;
        Ok((screen, inputs))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.reading.store(false, Ordering::Relaxed);
        give_back();
    }
}

/// Gives the terminal back as it was. More than once does no harm.
fn give_back() {
    let _ = execute!(
        io::stdout(),
        DisableMouseCapture,
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = disable_raw_mode();
}

/// A panic anywhere gives the terminal back before it is told, and ends the program: nothing can be shown any more.
fn give_back_on_panic() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        give_back();
        told(info);
        std::process::exit(101);
    }));
}

/// Reads keys until it is told to end, or the terminal or the receiver is gone.
fn read(reading: &AtomicBool, inputs: &mpsc::Sender<Input>) {
    while reading.load(Ordering::Relaxed) {
        let event = match event::poll(LOOK) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let input = match event {
            Ok(Event::Key(key)) => Input::Key(key),
            Ok(Event::Paste(text)) => Input::Paste(text),
            Ok(Event::Mouse(event)) => Input::Mouse(event),
            Ok(Event::Resize(width, height)) => Input::Resize(width, height),
            Ok(Event::FocusGained) => Input::Focus(true),
            Ok(Event::FocusLost) => Input::Focus(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        if inputs.blocking_send(input).is_err() {
            return;
        }
    }
}

/// Rings.
pub(crate) fn ring() {
    let mut out = io::stdout().lock();
    let _ = out.write_all(b"\x07").and_then(|()| out.flush());
}

/// Whether colours may be used: <https://no-color.org>.
pub(crate) fn colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use tokio::sync::Notify;

    use super::super::effect::{Link, News};
    use super::super::tests::{direct, model, said};
    use super::*;

    /// Answers at once.
    struct Answering {
        news: mpsc::UnboundedSender<News>,
        posted: RefCell<Vec<String>>,
        seen: Arc<Notify>,
    }

    impl Work for Answering {
        fn start(&self, effect: Effect) {
            let answer = match effect {
                Effect::Conversations => News::Conversations(vec![direct("bob@x.example")]),
                Effect::Messages { id, before, limit } => {
                    News::Messages { id, before, limit, found: vec![said(1, "bob@x.example", "hello from bob")] }
                }
                Effect::Post { words, .. } => return self.posted.borrow_mut().push(words.text),
                // The messages are on the screen.
                Effect::MarkRead { .. } => return self.seen.notify_one(),
                _ => return,
            };
            self.news.send(answer).unwrap();
        }
    }

    #[test]
    fn a_key_is_an_answer_to_the_last_picture() {
        let (news, news_out) = mpsc::unbounded_channel();
        let (keys, keys_out) = mpsc::channel(100);
        let mut inputs = Inputs { terminal: keys_out, news: news_out };
        let mut m = model();
        let key = || Input::Key(KeyEvent::new(KeyCode::F(1), KeyModifiers::NONE));
        let tell = || News::Conversations(vec![direct("bob@x.example")]);
        // Behind keys there is all that waits, behind news nothing but more of it.
        keys.try_send(key()).unwrap();
        news.send(tell()).unwrap();
        take_in(&mut m, &mut inputs, Input::News(tell()));
        assert_eq!((inputs.terminal.len(), inputs.news.len()), (1, 0));
        news.send(tell()).unwrap();
        take_in(&mut m, &mut inputs, key());
        assert_eq!((inputs.terminal.len(), inputs.news.len()), (0, 0));
    }

    #[test]
    fn a_window_that_is_smaller_than_it_has_told_is_drawn_into_as_it_is() {
        let mut m = model();
        m.size = (140, 40);
        update(&mut m, Input::News(News::Conversations(vec![direct("bob@x.example")])));
        for (width, height) in [(46, 14), (20, 4), (1, 1), (100, 30)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| drop(picture(&mut m, frame))).unwrap();
            assert_eq!(m.size, (width, height));
        }
    }

    #[tokio::test]
    async fn keys_go_in_and_pictures_come_out() {
        let (news, news_out) = mpsc::unbounded_channel();
        let (keys, keys_out) = mpsc::channel(100);
        let work = Answering { news: news.clone(), posted: RefCell::default(), seen: Arc::default() };
        let seen = work.seen.clone();
        let mut inputs = Inputs { terminal: keys_out, news: news_out };
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let mut m = model();
        let mut rung = 0;
        // What the person at the terminal does, when the conversation is on the screen.
        let person = tokio::spawn(async move {
            let key = |code, modifiers| Input::Key(KeyEvent::new(code, modifiers));
            news.send(News::Link(Link::Online)).unwrap();
            seen.notified().await;
            news.send(News::Came {
                id: "other".into(),
                sender: super::super::tests::a("bob@x.example"),
                identity_changed: false,
            })
            .unwrap();
            for c in "hi".chars() {
                keys.send(key(KeyCode::Char(c), KeyModifiers::NONE)).await.unwrap();
            }
            keys.send(key(KeyCode::Enter, KeyModifiers::NONE)).await.unwrap();
            keys.send(key(KeyCode::Char('q'), KeyModifiers::CONTROL)).await.unwrap();
        });
        drive(&mut terminal, &mut m, &mut inputs, &work, || rung += 1).await.unwrap();
        person.await.unwrap();
        assert_eq!(*work.posted.borrow(), ["hi"]);
        assert_eq!(rung, 1);
        let shown: String = terminal.backend().buffer().content().iter().map(ratatui::buffer::Cell::symbol).collect();
        assert!(shown.contains("hello from bob"), "{shown}");
    }

    struct Deaf;

    impl Work for Deaf {
        fn start(&self, _: Effect) {}
    }

    #[tokio::test]
    async fn a_terminal_that_is_gone_ends_it() {
        let (_news, news_out) = mpsc::unbounded_channel::<News>();
        let (keys, keys_out) = mpsc::channel(1);
        drop(keys);
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let mut inputs = Inputs { terminal: keys_out, news: news_out };
        drive(&mut terminal, &mut model(), &mut inputs, &Deaf, || {}).await.unwrap();
    }
}
