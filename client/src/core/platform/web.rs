//! In a browser: one thread, the browser's timers and clock, and files in memory.

pub(crate) mod files;
pub(crate) mod fs;
mod time;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{AbortHandle, abortable};

pub(crate) use futures::future::LocalBoxFuture as BoxFuture;
pub(crate) use time::{Instant, interval, since_epoch, sleep, timeout, timeout_at};

use super::CutOff;

/// What a task has to be: nothing, for there is one thread.
pub(crate) trait MaybeSend {}
impl<T> MaybeSend for T {}

/// A future whose type is not told.
pub(crate) fn boxed<'a, T>(future: impl Future<Output = T> + 'a) -> BoxFuture<'a, T> {
    future.boxed_local()
}

/// A task that goes on by itself. As natively, it does so when this is dropped.
pub(crate) struct JoinHandle<T> {
    end: oneshot::Receiver<T>,
    abort: AbortHandle,
    ended: Rc<Cell<bool>>,
}

/// Starts a task.
pub(crate) fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    let (leave, end) = oneshot::channel();
    let (task, abort) = abortable(task);
    let ended = Rc::new(Cell::new(false));
    let here = ended.clone();
    wasm_bindgen_futures::spawn_local(async move {
        let value = task.await;
        here.set(true);
        if let Ok(value) = value {
            let _ = leave.send(value);
        }
    });
    JoinHandle { end, abort, ended }
}

impl<T> JoinHandle<T> {
    /// Ends the task where it next waits.
    pub(crate) fn abort(&self) {
        self.abort.abort();
    }

    /// Whether it has come to an end.
    pub(crate) fn is_finished(&self) -> bool {
        self.ended.get()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, CutOff>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.end.poll_unpin(context).map_err(|_| CutOff)
    }
}

/// How many threads can work at the same time.
pub(crate) fn processors() -> usize {
    1
}

/// Runs work that keeps the processor busy: here and now, for there is no other thread. The page waits.
pub(crate) async fn blocking<T: 'static>(work: impl FnOnce() -> T + 'static) -> Result<T, CutOff> {
    Ok(work())
}

/// Runs a task to its end. A panic ends the whole program here, so there is none to tell of.
pub(crate) async fn life(work: impl Future<Output = ()> + 'static) -> Result<(), CutOff> {
    work.await;
    Ok(())
}
