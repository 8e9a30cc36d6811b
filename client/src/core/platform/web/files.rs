//! The same files for tasks: nothing ever waits.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

use super::fs;

/// An open file.
pub(crate) struct File(fs::File);

/// How a file is opened.
pub(crate) struct OpenOptions(fs::OpenOptions);

impl OpenOptions {
    pub(crate) fn new() -> Self {
        Self(fs::OpenOptions::new())
    }

    pub(crate) fn write(&mut self, write: bool) -> &mut Self {
        self.0.write(write);
        self
    }

    pub(crate) fn create(&mut self, create: bool) -> &mut Self {
        self.0.create(create);
        self
    }

    pub(crate) fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.0.truncate(truncate);
        self
    }

    pub(crate) async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.0.open(path).map(File)
    }
}

impl File {
    pub(crate) async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        fs::File::open(path).map(Self)
    }

    pub(crate) async fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        fs::File::create(path).map(Self)
    }

    pub(crate) async fn metadata(&self) -> io::Result<fs::Metadata> {
        self.0.metadata()
    }

    pub(crate) async fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    pub(crate) async fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// What is known of a file.
pub(crate) async fn metadata(path: impl AsRef<Path>) -> io::Result<fs::Metadata> {
    fs::metadata(path)
}

impl AsyncRead for File {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.0.read(into.initialize_unfilled());
        Poll::Ready(read.map(|n| into.advance(n)))
    }
}

impl AsyncWrite for File {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        self.0.seek(to).map(drop)
    }

    fn poll_complete(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(self.0.stream_position())
    }
}
