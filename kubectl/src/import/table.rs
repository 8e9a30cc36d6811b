//! A table of people: comma-, semicolon- or tab-separated text with a heading.

use std::collections::BTreeMap;

use super::Refusal;

/// A table beyond this size is no table of people.
const LARGEST: usize = 256 << 20;

/// A column that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// `spec.username`.
    Username,
    /// `spec.firstName`.
    FirstName,
    /// `spec.lastName`.
    LastName,
    /// `spec.email`.
    Email,
    /// `spec.securityGroupRef.name`.
    SecurityGroup,
    /// `spec.suspended`.
    Suspended,
    /// `spec.admin`.
    Admin,
    /// `spec.networkRef.name`.
    Network,
    /// `spec.invite.ttl`.
    InviteTtl,
    /// `metadata.name`.
    Name,
}

impl Column {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Username,
        Self::FirstName,
        Self::LastName,
        Self::Email,
        Self::SecurityGroup,
        Self::Suspended,
        Self::Admin,
        Self::Network,
        Self::InviteTtl,
        Self::Name,
    ];

    /// As it stands in a heading.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Username => "username",
            Self::FirstName => "firstName",
            Self::LastName => "lastName",
            Self::Email => "email",
            Self::SecurityGroup => "securityGroup",
            Self::Suspended => "suspended",
            Self::Admin => "admin",
            Self::Network => "network",
            Self::InviteTtl => "inviteTtl",
            Self::Name => "name",
        }
    }

    /// By a heading: case, spaces, dashes and underscores do not matter.
    fn by_heading(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| plain(column.as_str()) == plain(text))
    }
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// One person's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it begins in the file.
    pub line: u64,
    /// What stands in it; empty cells are left out.
    pub cells: BTreeMap<Column, String>,
}

/// A table that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The columns that mean something.
    pub columns: Vec<Column>,
    /// The lines.
    pub rows: Vec<Row>,
    /// Lines that cannot be read.
    pub refused: Vec<Refusal>,
}

/// Why a file is no table of people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Not text.
    #[error("the file is not UTF-8 text (it begins as {0}); save it as `CSV UTF-8`")]
    Encoding(&'static str),
    /// Too large.
    #[error("the file has more than {} MiB; split it", LARGEST >> 20)]
    TooLarge,
    /// No heading.
    #[error(
        "the file is empty; its first line has to name the columns, such as username,firstName,lastName,email,securityGroup"
    )]
    Empty,
    /// The heading cannot be read.
    #[error("line 1: the heading cannot be read: {0}")]
    Heading(String),
    /// A column that nobody knows.
    #[error(
        "line 1: `{name}` is no column that is known{hint}; known are {}; name those that do not matter with --skip-columns",
        known()
    )]
    Unknown {
        /// Its heading.
        name: String,
        /// Which one could be meant.
        hint: String,
    },
    /// A column that stands there twice.
    #[error("line 1: the column {0} stands there twice; take one out")]
    Twice(&'static str),
    /// No usernames.
    #[error("line 1: there is no column username; everybody needs one (the part of the address before the @)")]
    NoUsername,
}

fn known() -> String {
    Column::ALL.map(Column::as_str).join(", ")
}

/// Reads a table. `skip` names columns that do not matter; `separator` is found out where it is not given.
pub fn read(bytes: &[u8], skip: &[String], separator: Option<u8>) -> Result<Table, TableError> {
    if bytes.len() > LARGEST {
        return Err(TableError::TooLarge);
    }
    let bytes = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(TableError::Encoding("UTF-16")),
        [b'P', b'K', 3, 4, ..] => return Err(TableError::Encoding("a spreadsheet file or an archive")),
        [0xef, 0xbb, 0xbf, rest @ ..] => rest,
        all => all,
    };
    let separator = separator.unwrap_or_else(|| separator_of(bytes));
    let mut reader =
        csv::ReaderBuilder::new().delimiter(separator).flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let heading = reader.byte_headers().map_err(|e| TableError::Heading(e.to_string()))?.clone();
    if heading.iter().all(<[u8]>::is_empty) {
        return Err(TableError::Empty);
    }
    let places = columns(&heading, skip)?;
    let mut table = Table { columns: places.iter().flatten().copied().collect(), ..Table::default() };
    if !table.columns.contains(&Column::Username) {
        return Err(TableError::NoUsername);
    }
    let mut record = csv::ByteRecord::new();
    let mut lines = Lines { bytes, at: 0, line: 1 };
    loop {
        let begin = reader.position().byte();
        let line = lines.of(begin);
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(table),
            Ok(true) => {}
            Err(error) => {
                let remedy = "see to the quotes of this line and the one before";
                table.refused.push(Refusal::new(line, "line", format!("cannot be read: {error}"), remedy));
                continue;
            }
        }
        if record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        match row(line, &record, &places) {
            Ok(row) => table.rows.push(row),
            Err(refusal) => table.refused.push(refusal),
        }
    }
}

/// Tells the line of a place; places come in their order.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the first text at or after this place: the reader says where the line before has ended.
    fn of(&mut self, place: u64) -> u64 {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        while let Some(byte) = self.bytes.get(self.at) {
            let end = matches!(byte, b'\n' | b'\r');
            if self.at >= place && !end {
                break;
            }
            // Of a pair the second one counts.
            if end && !(*byte == b'\r' && self.bytes.get(self.at + 1) == Some(&b'\n')) {
                self.line += 1;
            }
            self.at += 1;
        }
        self.line
    }
}

/// The one of the three that stands in the heading most often.
fn separator_of(bytes: &[u8]) -> u8 {
    let heading = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let count = |separator: u8| heading.split(|b| *b == separator).count();
    // Of equals the last one counts: a comma.
    [b'\t', b';', b','].into_iter().max_by_key(|s| count(*s)).unwrap_or(b',')
}

fn columns(heading: &csv::ByteRecord, skip: &[String]) -> Result<Vec<Option<Column>>, TableError> {
    let mut places = Vec::new();
    for name in heading {
        let name = String::from_utf8_lossy(name).into_owned();
        if name.is_empty() || skip.iter().any(|s| plain(s) == plain(&name)) {
            places.push(None);
            continue;
        }
        let Some(column) = Column::by_heading(&name) else {
            let hint = sotto_operator::local::manifests::did_you_mean(&name, Column::ALL.map(Column::as_str));
            return Err(TableError::Unknown { name, hint });
        };
        if places.contains(&Some(column)) {
            return Err(TableError::Twice(column.as_str()));
        }
        places.push(Some(column));
    }
    Ok(places)
}

fn row(line: u64, record: &csv::ByteRecord, places: &[Option<Column>]) -> Result<Row, Refusal> {
    if record.len() != places.len() {
        let message = format!("has {} values, and the heading has {}", record.len(), places.len());
        return Err(Refusal::new(line, "line", message, "put values that hold a separator into quotes"));
    }
    let mut cells = BTreeMap::new();
    for (value, place) in record.iter().zip(places) {
        let Some(column) = place else { continue };
        let Ok(text) = std::str::from_utf8(value) else {
            return Err(Refusal::new(line, column.as_str(), "is not UTF-8 text", "save the file as `CSV UTF-8`"));
        };
        if text.chars().any(char::is_control) {
            let remedy = "take line ends and other control characters out of the value";
            return Err(Refusal::new(line, column.as_str(), "holds a control character", remedy));
        }
        let text = text.trim();
        if !text.is_empty() {
            cells.insert(*column, text.to_owned());
        }
    }
    Ok(Row { line, cells })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Table {
        read(text.as_bytes(), &[], None).unwrap()
    }

    #[test]
    fn headings_are_found_whatever_their_order_case_and_separator() {
        for text in [
            "username,firstName,securityGroup\nalice,Alice,staff\n",
            "\u{feff}Security Group;First name;USERNAME\r\nstaff;Alice;alice\r\n",
            "first_name\tusername\tsecurity-group\nAlice\talice\tstaff",
        ] {
            let table = rows(text);
            assert_eq!(table.rows.len(), 1, "{text}");
            let row = &table.rows[0];
            assert_eq!((row.line, row.cells[&Column::Username].as_str()), (2, "alice"), "{text}");
            assert_eq!(row.cells[&Column::SecurityGroup], "staff");
        }
    }

    #[test]
    fn quotes_empty_lines_and_empty_cells() {
        let table = rows("username,lastName\n\n\"alice\",\"Adams, \"\"A\"\"\"\n , \nbob,\n");
        assert_eq!(table.refused, []);
        assert_eq!(table.rows[0].cells[&Column::LastName], "Adams, \"A\"");
        assert_eq!((table.rows[0].line, table.rows[1].line), (3, 5));
        assert!(!table.rows[1].cells.contains_key(&Column::LastName));
    }

    #[test]
    fn a_line_that_is_broken_is_refused_and_the_others_go_on() {
        let table = rows("username,lastName\nalice,Adams,extra\nbob,Brown\ncarol,\"a\nb\"\n");
        let lines: Vec<_> = table.refused.iter().map(|r| (r.line, r.field.as_str())).collect();
        assert_eq!(lines, [(2, "line"), (4, "lastName")]);
        assert_eq!(table.rows.len(), 1);
        let table = read(b"username,lastName\nalice,\xe9\n", &[], None).unwrap();
        assert!(table.refused[0].remedy.contains("UTF-8"));
    }

    #[test]
    fn a_heading_that_nobody_knows_is_named() {
        let said = |text: &str| read(text.as_bytes(), &[], None).unwrap_err().to_string();
        let text = said("username,suspnded\n");
        assert!(
            text.contains("suspnded") && text.contains("did you mean `suspended`?") && text.contains("--skip-columns")
        );
        assert!(said("username,Username\n").contains("twice"));
        assert!(said("email\n").contains("username"));
        assert!(said("").contains("empty"));
        let skipped = read(b"username,Cost Center\nalice,7\n", &["costcenter".into()], None).unwrap();
        assert_eq!(skipped.rows[0].cells.len(), 1);
    }

    #[test]
    fn what_is_no_text_is_said() {
        assert_eq!(read(&[0xff, 0xfe, 1], &[], None), Err(TableError::Encoding("UTF-16")));
        assert!(matches!(read(b"PK\x03\x04", &[], None), Err(TableError::Encoding(_))));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = read(&bytes, &[], None);
            let with = [b"username,email\n".as_slice(), &bytes].concat();
            let _ = read(&with, &[], None);
        }
    }
}
