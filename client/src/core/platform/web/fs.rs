//! Files in memory: what the client uses of `std::fs`, with the same meaning. They are gone when the page is closed, as the
//! store is, which SQLite keeps in memory here as well; files that stay are the browser's OPFS, and take this place.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use std::fs::TryLockError;

use super::since_epoch;

thread_local! {
    /// Everything there is. A folder is there when it was made.
    static ALL: RefCell<BTreeMap<PathBuf, Arc<Mutex<Node>>>> = const { RefCell::new(BTreeMap::new()) };
}

#[derive(Default)]
struct Node {
    is_dir: bool,
    bytes: Vec<u8>,
    modified: Duration,
    locked: bool,
}

/// An open file.
pub(crate) struct File {
    node: Arc<Mutex<Node>>,
    place: u64,
    /// Whether it holds the file's lock.
    holds: Mutex<bool>,
}

/// How a file is opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenOptions {
    create: bool,
    truncate: bool,
}

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metadata {
    length: u64,
    is_dir: bool,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find(path: &Path) -> io::Result<Arc<Mutex<Node>>> {
    ALL.with_borrow(|all| all.get(path).cloned()).ok_or_else(|| ErrorKind::NotFound.into())
}

fn span(place: u64, length: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(place).ok()?;
    Some(start..start.checked_add(length)?)
}

impl Node {
    fn read_at(&self, into: &mut [u8], place: u64) -> usize {
        let rest = usize::try_from(place).ok().and_then(|start| self.bytes.get(start..)).unwrap_or_default();
        let n = rest.len().min(into.len());
        into.get_mut(..n).unwrap_or_default().copy_from_slice(rest.get(..n).unwrap_or_default());
        n
    }

    fn write_at(&mut self, bytes: &[u8], place: u64) -> io::Result<()> {
        let span = span(place, bytes.len()).ok_or(ErrorKind::FileTooLarge)?;
        if self.bytes.len() < span.end {
            self.bytes.resize(span.end, 0);
        }
        self.bytes.get_mut(span).unwrap_or_default().copy_from_slice(bytes);
        self.modified = since_epoch();
        Ok(())
    }
}

impl OpenOptions {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn read(&mut self, _: bool) -> &mut Self {
        self
    }

    pub(crate) fn write(&mut self, _: bool) -> &mut Self {
        self
    }

    pub(crate) fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    pub(crate) fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    pub(crate) fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        let node = match find(path) {
            Err(_) if self.create => {
                if !path.parent().is_some_and(is_dir) {
                    return Err(ErrorKind::NotFound.into());
                }
                let node = Arc::new(Mutex::new(Node { modified: since_epoch(), ..Node::default() }));
                ALL.with_borrow_mut(|all| all.insert(path.to_owned(), node.clone()));
                node
            }
            found => found?,
        };
        if self.truncate {
            lock(&node).bytes.clear();
        }
        Ok(File { node, place: 0, holds: Mutex::new(false) })
    }
}

impl File {
    pub(crate) fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path)
    }

    pub(crate) fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().create(true).truncate(true).write(true).open(path)
    }

    pub(crate) fn options() -> OpenOptions {
        OpenOptions::new()
    }

    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        let node = lock(&self.node);
        Ok(Metadata { length: node.bytes.len() as u64, is_dir: node.is_dir })
    }

    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| ErrorKind::FileTooLarge)?;
        lock(&self.node).bytes.resize(length, 0);
        Ok(())
    }

    pub(crate) fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    /// Takes the file's lock. Where another part of the page holds it, waiting would be for ever: an error.
    pub(crate) fn lock(&self) -> io::Result<()> {
        self.try_lock().map_err(io::Error::from)
    }

    pub(crate) fn try_lock(&self) -> Result<(), TryLockError> {
        let (mut holds, mut node) = (lock(&self.holds), lock(&self.node));
        if node.locked && !*holds {
            return Err(TryLockError::WouldBlock);
        }
        (node.locked, *holds) = (true, true);
        Ok(())
    }

    pub(crate) fn unlock(&self) -> io::Result<()> {
        if std::mem::take(&mut *lock(&self.holds)) {
            lock(&self.node).locked = false;
        }
        Ok(())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = self.unlock();
    }
}

impl Read for File {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = lock(&self.node).read_at(into, self.place);
        self.place += n as u64;
        Ok(n)
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.node).write_at(bytes, self.place)?;
        self.place += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.place.checked_add_signed(by),
            SeekFrom::End(by) => self.metadata()?.len().checked_add_signed(by),
        };
        self.place = place.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.place)
    }
}

/// Reading and writing at a place.
pub(crate) trait FileExt {
    fn read_exact_at(&self, into: &mut [u8], place: u64) -> io::Result<()>;
    fn write_all_at(&self, bytes: &[u8], place: u64) -> io::Result<()>;
}

impl FileExt for File {
    fn read_exact_at(&self, into: &mut [u8], place: u64) -> io::Result<()> {
        let n = lock(&self.node).read_at(into, place);
        if n == into.len() { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    fn write_all_at(&self, bytes: &[u8], place: u64) -> io::Result<()> {
        lock(&self.node).write_at(bytes, place)
    }
}

impl Metadata {
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.is_dir
    }
}

/// How a file is opened that its owner alone may read: here nobody else can.
pub(crate) fn private() -> OpenOptions {
    OpenOptions::new()
}

/// Makes a folder, and those above it.
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    ALL.with_borrow_mut(|all| {
        for dir in dir.ancestors() {
            let made = all.entry(dir.to_owned()).or_insert_with(|| {
                Arc::new(Mutex::new(Node { is_dir: true, modified: since_epoch(), ..Node::default() }))
            });
            if !lock(made).is_dir {
                return Err(ErrorKind::AlreadyExists.into());
            }
        }
        Ok(())
    })
}

pub(crate) fn exists(path: &Path) -> bool {
    find(path).is_ok()
}

pub(crate) fn is_dir(path: &Path) -> bool {
    // As in a process: the folder that one is in is always there.
    path.as_os_str().is_empty() || find(path).is_ok_and(|node| lock(&node).is_dir)
}

pub(crate) fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    File::open(path)?.metadata()
}

pub(crate) fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    find(path.as_ref()).map(|node| lock(&node).bytes.clone())
}

pub(crate) fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|e| Error::new(ErrorKind::InvalidData, e))
}

pub(crate) fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    ALL.with_borrow_mut(|all| all.remove(path.as_ref())).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
}

pub(crate) fn remove_dir_all(dir: impl AsRef<Path>) -> io::Result<()> {
    find(dir.as_ref())?;
    ALL.with_borrow_mut(|all| all.retain(|path, _| !path.starts_with(dir.as_ref())));
    Ok(())
}

/// A file takes the place of another; a folder goes with all that is in it.
pub(crate) fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    find(from)?;
    ALL.with_borrow_mut(|all| {
        let moved: Vec<PathBuf> = all.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in moved {
            let Ok(rest) = path.strip_prefix(from) else { continue };
            let place = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            if let Some(node) = all.remove(&path) {
                all.insert(place, node);
            }
        }
    });
    Ok(())
}

/// The files in a folder that nobody has written to for this long.
pub(crate) fn older_than(dir: &Path, age: Duration) -> io::Result<Vec<PathBuf>> {
    find(dir)?;
    let now = since_epoch();
    Ok(ALL.with_borrow(|all| {
        let old = |node: &Arc<Mutex<Node>>| now.saturating_sub(lock(node).modified) > age;
        all.iter()
            .filter(|(path, node)| path.parent() == Some(dir) && old(node))
            .map(|(path, _)| path.clone())
            .collect()
    }))
}
