//! Logs of child processes, bounded: the file and one before it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::task::JoinHandle;

/// Bytes of one file.
const MAX: u64 = 4 * 1024 * 1024;
/// Bytes of last words.
const TAIL: usize = 400;

/// The log of one process run.
pub(super) struct Log {
    file: Arc<Mutex<Bounded>>,
    readers: Vec<JoinHandle<()>>,
}

impl Log {
    /// Copies both streams to the file at `path`, which goes on where it was.
    pub(super) fn start(path: &Path, out: Option<ChildStdout>, err: Option<ChildStderr>) -> Self {
        let file = Arc::new(Mutex::new(Bounded::open(path)));
        let mut readers = Vec::new();
        if let Some(out) = out {
            readers.push(tokio::spawn(copy(out, file.clone())));
        }
        if let Some(err) = err {
            readers.push(tokio::spawn(copy(err, file.clone())));
        }
        Self { file, readers }
    }

    /// Waits for the rest of the output; answers its last line.
    pub(super) async fn finish(self) -> String {
        for reader in self.readers {
            let _ = reader.await;
        }
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = String::from_utf8_lossy(&file.tail);
        tail.trim().lines().last().unwrap_or_default().trim().to_owned()
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, to: Arc<Mutex<Bounded>>) {
    let mut buffer = vec![0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        // A full disk must not stop the process: what cannot be written is dropped.
        let _ = to.lock().unwrap_or_else(PoisonError::into_inner).write(&buffer[..count], MAX);
    }
}

/// A file that is put aside when it is full.
struct Bounded {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    tail: Vec<u8>,
}

impl Bounded {
    fn open(path: &Path) -> Self {
        if let Some(dir) = path.parent() {
            let _ = super::folder::make_dir(dir);
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).ok();
        let length = file.as_ref().and_then(|f| f.metadata().ok()).map_or(0, |m| m.len());
        Self { path: path.to_owned(), file, length, tail: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8], max: u64) -> io::Result<()> {
        self.tail.extend_from_slice(bytes);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        if self.length + bytes.len() as u64 > max && self.length > 0 {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            fs::rename(&self.path, old)?;
            let tail = std::mem::take(&mut self.tail);
            *self = Self { tail, ..Self::open(&self.path) };
        }
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
            self.length += bytes.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bounded_files_and_the_newest_output_in_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/x.log");
        let mut log = Bounded::open(&path);
        for i in 0..10 {
            log.write(format!("line {i}\n").as_bytes(), 16).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "line 8\nline 9\n");
        assert_eq!(fs::read_to_string(dir.path().join("logs/x.log.1")).unwrap(), "line 6\nline 7\n");
        assert_eq!(Bounded::open(&path).length, 14);
    }
}
