//! What stands in front of the conversation: forms with fields and choices, questions, screens to read. Pure.

use sotto_client::{Contact, ConversationId, MessageView, ViewBody};
use sotto_crypto::Address;
use sotto_wire::content::{File, MessageRef};

use super::editor::Editor;
use super::effect::Effect;
use super::emoji;
use super::keys::{Action, shown};
use super::model::{Load, Model};
use super::stamp;
use super::text::one_line;
use crate::commands::talk::called;

/// How many emoji are offered.
const EMOJI: usize = 12;

/// What stands in front.
pub(crate) enum Dialog {
    /// The keys, from this row on.
    Help { first: usize },
    /// Fields and choices.
    Form(Form),
    /// Somebody's safety number.
    Verify { who: Address, contact: Option<Box<Contact>>, problem: Option<String> },
    /// What is known of a message.
    Info(MessageRef),
    /// Something that cannot be undone.
    Confirm { question: String, then: Box<Effect> },
}

/// Fields to fill, choices to take, or both.
pub(crate) struct Form {
    pub(crate) purpose: Purpose,
    pub(crate) fields: Vec<Field>,
    pub(crate) active: usize,
    pub(crate) choices: Vec<Choice>,
    pub(crate) cursor: usize,
    pub(crate) problem: Option<String>,
    pub(crate) load: Load,
}

/// A line to write in.
pub(crate) struct Field {
    pub(crate) label: &'static str,
    pub(crate) editor: Editor,
}

/// Something to take.
#[derive(Clone)]
pub(crate) struct Choice {
    pub(crate) label: String,
    pub(crate) detail: String,
    pub(crate) value: Value,
}

/// What is taken.
#[derive(Clone)]
pub(crate) enum Value {
    Conversation(ConversationId),
    Person(Address),
    Emoji(String),
    Text(String),
    Path(String),
    Action(Action),
    Message { id: ConversationId, position: u64 },
}

/// What a form is for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    Menu,
    Switch,
    NewConversation,
    NewRoom,
    AddMember,
    Title,
    Times,
    Search,
    React(MessageRef),
    Forward(MessageRef),
    SendFile,
    SaveFile(Box<File>),
    Quick,
    Pins,
    Members,
    VerifyWho,
}

impl Form {
    /// A form with these fields, the first one active.
    pub(crate) fn new(model: &Model, purpose: Purpose, fields: Vec<(&'static str, String)>) -> Self {
        let fields = fields.into_iter().map(|(label, text)| Field { label, editor: Editor::with(text) }).collect();
        let mut form =
            Self { purpose, fields, active: 0, choices: Vec::new(), cursor: 0, problem: None, load: Load::Idle };
        form.choose(model);
        form
    }

    /// What stands in a field.
    pub(crate) fn text(&self, field: usize) -> &str {
        self.fields.get(field).map_or("", |f| f.editor.text())
    }

    pub(crate) fn editor(&mut self) -> Option<&mut Editor> {
        self.fields.get_mut(self.active).map(|f| &mut f.editor)
    }

    pub(crate) fn choice(&self) -> Option<&Choice> {
        self.choices.get(self.cursor)
    }

    /// Whether a choice stands for the words in the field, so that Enter takes it.
    pub(crate) fn picks(&self) -> bool {
        !matches!(
            self.purpose,
            Purpose::NewConversation
                | Purpose::NewRoom
                | Purpose::AddMember
                | Purpose::Title
                | Purpose::Times
                | Purpose::SendFile
                | Purpose::SaveFile(_)
        )
    }

    /// Over the form.
    pub(crate) fn title(&self) -> &'static str {
        match self.purpose {
            Purpose::Menu => "What to do",
            Purpose::Switch => "Go to",
            Purpose::NewConversation => "New conversation",
            Purpose::NewRoom => "New room",
            Purpose::AddMember => "Add to the room",
            Purpose::Title => "Title of the room",
            Purpose::Times => "How long messages live",
            Purpose::Search => "Search",
            Purpose::React(_) => "React",
            Purpose::Forward(_) => "Send on to",
            Purpose::SendFile => "Send a file",
            Purpose::SaveFile(_) => "Save the file",
            Purpose::Quick => "Quick responses",
            Purpose::Pins => "Pinned",
            Purpose::Members => "Members",
            Purpose::VerifyWho => "Whose safety number",
        }
    }

    /// Below the form.
    pub(crate) fn hint(&self) -> &'static str {
        match self.purpose {
            Purpose::NewConversation | Purpose::AddMember => "Enter: done · Tab: take the address · Esc: close",
            Purpose::NewRoom => "Enter: make it · Tab: next field, take the address · Esc: close",
            Purpose::Title => "Enter: change it · Esc: close",
            Purpose::Times => "30s, 10m, 1h, 7d; empty: no rule · Tab: next field · Enter: done",
            Purpose::SendFile => "Tab: complete the path, next field · Enter: send · Esc: close",
            Purpose::SaveFile(_) => "a folder, or a file name · Enter: save · Esc: close",
            Purpose::Members => "Enter: safety number · Ctrl+A: add · Ctrl+D: remove · Ctrl+O: moderator",
            Purpose::React(_) => "Enter: put on or take away · Esc: close",
            Purpose::Quick => "Enter: send it · Tab: write on · Esc: close",
            _ => "↑ ↓: choose · Enter: take · Esc: close",
        }
    }

    /// Finds anew what can be chosen, after the words have changed.
    pub(crate) fn choose(&mut self, model: &Model) {
        let words = self.text(self.active).to_lowercase();
        let fits = |text: &str| words.split_whitespace().all(|word| text.to_lowercase().contains(word));
        let found = match &self.purpose {
            Purpose::Menu => menu(model)
                .into_iter()
                .filter(|(_, label)| fits(label))
                .map(|(action, label)| Choice {
                    label: label.to_owned(),
                    detail: shown(action).unwrap_or_default(),
                    value: Value::Action(action),
                })
                .collect(),
            Purpose::Switch | Purpose::Forward(_) => conversations(model, fits),
            Purpose::NewConversation | Purpose::AddMember => people(model, last_word(&words)),
            Purpose::NewRoom if self.active == 1 => people(model, last_word(&words)),
            Purpose::React(_) => emoji::find(words.trim_matches([':', ' ']), EMOJI)
                .into_iter()
                .map(|(emoji, name)| Choice {
                    label: format!("{emoji}  {name}"),
                    detail: String::new(),
                    value: Value::Emoji(emoji.to_owned()),
                })
                .collect(),
            Purpose::Quick => model
                .rules
                .quick
                .iter()
                .filter(|text| fits(text))
                .map(|text| Choice { label: one_line(text), detail: String::new(), value: Value::Text(text.clone()) })
                .collect(),
            Purpose::Pins => pins(model, fits),
            Purpose::Members | Purpose::VerifyWho => members(model, fits, self.purpose == Purpose::Members),
            // Found elsewhere, and brought by news.
            Purpose::Search | Purpose::SendFile => return,
            Purpose::NewRoom | Purpose::Title | Purpose::Times | Purpose::SaveFile(_) => Vec::new(),
        };
        self.choices = found;
        self.cursor = self.cursor.min(self.choices.len().saturating_sub(1));
    }
}

/// The last of the words that stand between commas or spaces.
pub(crate) fn last_word(words: &str) -> &str {
    words.rsplit([',', ' ', ';']).next().unwrap_or_default()
}

fn conversations(model: &Model, fits: impl Fn(&str) -> bool) -> Vec<Choice> {
    let mut found = Vec::new();
    for conversation in model.listed().filter(|c| !c.left) {
        let title = model.title(conversation);
        let all: Vec<&str> = conversation.members.iter().map(Address::as_str).collect();
        if fits(&format!("{title} {}", all.join(" "))) {
            let detail = match conversation.unread {
                0 => String::new(),
                n => format!("{n} new"),
            };
            found.push(Choice { label: title, detail, value: Value::Conversation(conversation.id.clone()) });
        }
    }
    found
}

fn people(model: &Model, begin: &str) -> Vec<Choice> {
    let begins = |name: &str| name.split(' ').any(|word| word.to_lowercase().starts_with(begin));
    let known = model.contacts.iter().filter(|(who, contact)| {
        **who != model.me && (who.as_str().starts_with(begin) || contact.name.as_deref().is_some_and(begins))
    });
    let choice = |(who, contact): (&Address, &Contact)| Choice {
        label: called(who, contact.name.as_deref()),
        detail: String::new(),
        value: Value::Person(who.clone()),
    };
    known.map(choice).collect()
}

fn members(model: &Model, fits: impl Fn(&str) -> bool, all: bool) -> Vec<Choice> {
    let Some(conversation) = model.current() else { return Vec::new() };
    let mut found = Vec::new();
    for who in conversation.members.iter().filter(|who| all || **who != model.me) {
        let mut detail = Vec::new();
        if *who == model.me {
            detail.push("you");
        }
        if conversation.moderators.contains(who) {
            detail.push("moderator");
        }
        match model.contacts.get(who).map(|c| c.state) {
            Some(sotto_client::TrustState::Verified) => detail.push("verified"),
            Some(sotto_client::TrustState::Changed | sotto_client::TrustState::Replaced) => {
                detail.push("IDENTITY CHANGED");
            }
            _ => {}
        }
        let label = called(who, conversation.names.get(who).map(String::as_str));
        if fits(&label) {
            found.push(Choice { label, detail: detail.join(", "), value: Value::Person(who.clone()) });
        }
    }
    found
}

fn pins(model: &Model, fits: impl Fn(&str) -> bool) -> Vec<Choice> {
    let Some(open) = &model.open else { return Vec::new() };
    open.messages.iter().filter(|m| m.pinned).map(|m| found(model, m)).filter(|c| fits(&c.label)).collect()
}

/// A message as something to go to.
pub(crate) fn found(model: &Model, message: &MessageView) -> Choice {
    Choice {
        label: format!("{}: {}", model.name(&message.key.sender), preview(message)),
        detail: stamp::short(message.sent_at_ms, model.now_ms, &model.zone),
        value: Value::Message { id: message.conversation.clone(), position: message.position },
    }
}

/// A message in a few words.
pub(crate) fn preview(message: &MessageView) -> String {
    match &message.body {
        ViewBody::Text(text) | ViewBody::Event(text) => one_line(text),
        ViewBody::File(file) => {
            let caption = file.caption.as_deref().map(|c| format!(" {}", one_line(c))).unwrap_or_default();
            format!("[{}]{caption}", one_line(&file.name))
        }
        ViewBody::Deleted => "taken back".to_owned(),
        ViewBody::Missing(missing) => crate::commands::talk::missing(*missing),
        ViewBody::Unknown => "needs a newer version of this program".to_owned(),
    }
}

/// What can be done here, with its words.
fn menu(model: &Model) -> Vec<(Action, &'static str)> {
    let mut entries = Vec::new();
    if let Some(conversation) = model.current() {
        let room = conversation.kind == sotto_client::ConversationKind::Room;
        let moderator = room && conversation.moderators.contains(&model.me);
        if !conversation.left {
            if model.rules.files {
                entries.push((Action::SendFile, "Send a file"));
            }
            if !model.rules.quick.is_empty() {
                entries.push((Action::Quick, "Quick responses"));
            }
            entries.push((Action::EditLast, "Edit my last message"));
            entries.push((Action::Times, "How long messages live"));
        }
        entries.push((Action::Members, "Who is in it"));
        entries.push((Action::Verify, "Safety numbers: compare, mark, accept a change"));
        entries.push((Action::Pins, "Pinned messages"));
        if moderator && !conversation.left {
            entries.push((Action::AddMember, "Add somebody to the room"));
            entries.push((Action::Title, "Title of the room"));
        }
        if room && !conversation.left {
            entries.push((Action::Leave, "Leave the room"));
        }
    }
    entries.extend([
        (Action::Switch, "Go to a conversation"),
        (Action::NewConversation, "New conversation"),
        (Action::NewRoom, "New room"),
        (Action::Search, "Search the local history"),
        (Action::NextUnread, "Next conversation with something new"),
        (Action::Help, "Help"),
        (Action::Quit, "End"),
    ]);
    entries
}
