//! Acknowledgements, many at a time: each is a transaction that is on disk before the relay hears of it.

use sotto_client::{Acker, Error, Receipt, Receiver};

/// As many as the relay delivers before it hears of one.
const MOST: usize = 64;

/// Receipts of what was handled and is not acknowledged yet. What is dropped here comes again.
pub(crate) struct Acks {
    acker: Acker,
    receipts: Vec<Receipt>,
}

impl Acks {
    /// For what this receiver gives out.
    pub(crate) fn of(receiver: &Receiver) -> Self {
        Self { acker: receiver.acker(), receipts: Vec::new() }
    }

    /// Was handled.
    pub(crate) fn add(&mut self, receipt: Receipt) {
        self.receipts.push(receipt);
    }

    /// Whether the relay waits for them.
    pub(crate) fn is_full(&self) -> bool {
        self.receipts.len() >= MOST
    }

    /// Acknowledges all of them.
    pub(crate) async fn send(&mut self) -> Result<(), Error> {
        if self.receipts.is_empty() {
            return Ok(());
        }
        self.acker.ack(std::mem::take(&mut self.receipts)).await
    }
}
