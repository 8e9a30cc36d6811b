//! What every engine must do. A new engine is held to it by one test that calls [`run`].

mod accounts;
mod devices;
mod fixtures;
mod links;
mod mailboxes;
mod outbox;

use std::sync::Arc;

use fixtures::Recorder;
pub(crate) use mailboxes::{find_it_again, leave_something};

use super::{Store, Wake};

/// Runs the suite. `open` opens the same storage every time, which is empty at first.
pub(crate) async fn run<S: Store + 'static>(open: impl Fn(Arc<dyn Wake>) -> Arc<S>) {
    let recorder = Arc::new(Recorder::default());
    let store = open(Arc::clone(&recorder) as Arc<dyn Wake>);
    accounts::policies(&*store).await;
    accounts::directory(&*store).await;
    accounts::registration(&*store).await;
    accounts::registered_again(&*store).await;
    accounts::resets(&*store).await;
    accounts::lockout(&*store).await;
    accounts::lockout_by_origin(&*store).await;
    accounts::summaries(&*store).await;
    accounts::blobs(&*store).await;
    links::links(&*store).await;
    links::passwords_and_vaults(&*store).await;
    devices::lifecycle(&*store).await;
    devices::lists(&*store).await;
    devices::directory(&*store).await;
    devices::prekeys_run_out(&*store).await;
    devices::prekeys_are_replaced(&*store).await;
    devices::prekeys_exactly_once(Arc::clone(&store)).await;
    mailboxes::delivery(&*store, &recorder).await;
    mailboxes::refusals_leave_nothing(&*store).await;
    mailboxes::bounds(&*store).await;
    mailboxes::expiry(&*store).await;
    mailboxes::removal(&*store).await;
    mailboxes::many_at_once(Arc::clone(&store)).await;
    outbox::journey(&*store, &recorder).await;
    outbox::refusal_and_expiry(&*store).await;
    outbox::bounded(&*store).await;

    let before = mailboxes::leave_something(&*store).await;
    store.close().await.expect("closes");
    drop(store);
    let store = open(recorder);
    mailboxes::find_it_again(&*store, before).await;
    store.close().await.expect("closes");
}
