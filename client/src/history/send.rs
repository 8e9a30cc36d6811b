//! The device that has the history.

use std::path::PathBuf;

use sotto_crypto::{
    AttachmentKey, HistoryAnswer, LinkCode, LinkKeys, LinkOffer, LinkPurpose, SUITE, Signed, SystemRng, VERSION,
};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use zeroize::Zeroizing;

use super::{
    ACCEPT, ANSWER, DONE, History, LINKS_AHEAD, MAX_LINKS, OFFER, OtherDevice, PIECE, SLOTS_A_LINK, Transferred, file,
    link, place, received, wait_for, wait_for_note,
};
use crate::core::error::{AttachmentError, Error, Refusal, StoreError};
use crate::core::platform::{files, fs};
use crate::core::task::blocking;
use crate::core::text::clean_label;
use crate::store::HistoryOut;
use crate::store::profile::Lock;

/// The sending side of a transfer.
pub struct HistorySender {
    history: History,
    code: LinkCode,
    keys: LinkKeys,
    state: HistoryOut,
    offer: Option<LinkOffer>,
    resumed: bool,
    _lock: Lock,
}

impl History {
    /// Starts to send the history, or goes on where it was interrupted: with the code that the other device shows, or with a
    /// new one, or with the one of before where none is given and one was begun.
    pub async fn send(&self, code: Option<LinkCode>) -> Result<HistorySender, Error> {
        let trust = &self.trust;
        let lock = trust.profile.lock_for_history()?;
        let begun = trust.store.run(|tx| tx.get::<HistoryOut>(&[])).await?;
        let path = self.outgoing()?;
        let same = |state: &HistoryOut| match &code {
            Some(code) => *code.to_text() == state.code,
            None => true,
        };
        let (state, resumed) = if let Some(state) = begun.filter(|state| same(state) && fs::exists(&path)) {
            (state, true)
        } else {
            let code = code.unwrap_or_else(|| LinkCode::generate(&mut SystemRng));
            let store = trust.store.clone();
            let sealed = blocking(move || file::seal(&store, &path)).await?;
            if sealed.size.div_ceil(PIECE) > MAX_LINKS * SLOTS_A_LINK {
                return Err(Refusal::HistoryTooLarge.into());
            }
            let state = HistoryOut {
                code: code.to_text().to_string(),
                key: sealed.key.to_bytes().to_vec(),
                size: sealed.size,
                digest: sealed.digest,
                records: sealed.records,
                answered: None,
                uploaded: 0,
            };
            let record = state.clone();
            trust.store.run(move |tx| tx.put(&record)).await?;
            (state, false)
        };
        let code = LinkCode::parse(&state.code)
            .map_err(|e| StoreError::Value { table: "history out", reason: e.to_string() })?;
        let keys = LinkKeys::new(&code, LinkPurpose::History);
        Ok(HistorySender { history: self.clone(), code, keys, state, offer: None, resumed, _lock: lock })
    }

    /// Leaves a transfer that was begun, on either side.
    pub async fn cancel(&self) -> Result<bool, Error> {
        let _lock = self.trust.profile.lock_for_history()?;
        let (out, incoming) = (self.outgoing()?, self.incoming()?);
        let begun = self
            .trust
            .store
            .run(|tx| {
                let out = tx.get::<HistoryOut>(&[])?.map(|state| state.code.clone());
                let incoming = tx.get::<crate::store::HistoryIn>(&[])?.map(|state| state.code.clone());
                tx.delete::<HistoryOut>(&[])?;
                tx.delete::<crate::store::HistoryIn>(&[])?;
                Ok(out.into_iter().chain(incoming).map(Zeroizing::new).collect::<Vec<_>>())
            })
            .await?;
        for code in &begun {
            if let Ok(code) = LinkCode::parse(code) {
                let keys = LinkKeys::new(&code, LinkPurpose::History);
                if let Err(error) = self.trust.api.delete_link(keys.id()).await {
                    tracing::debug!(%error, "the link stays at the relay until its time is over");
                }
            }
        }
        for path in [out, incoming] {
            let _ = fs::remove_file(path);
        }
        Ok(!begun.is_empty())
    }

    pub(super) fn outgoing(&self) -> Result<PathBuf, Error> {
        Ok(self.trust.profile.transfer()?.join("history.out"))
    }

    pub(super) fn incoming(&self) -> Result<PathBuf, Error> {
        Ok(self.trust.profile.transfer()?.join("history.in"))
    }
}

impl HistorySender {
    /// The code, to type or scan on the other device.
    pub fn code(&self) -> Zeroizing<String> {
        self.code.to_text()
    }

    /// Whether it goes on with what was begun before.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.state.records
    }

    /// Waits for the other device. It is one of this user's, and has the code.
    pub async fn other_device(&mut self) -> Result<OtherDevice, Error> {
        let trust = &self.history.trust;
        let offer = self.keys.open_offer(&wait_for(trust, self.keys.id(), OFFER).await?)?;
        offer.certified(&trust.account.identity)?;
        if offer.address != trust.account.address || offer.device == trust.account.device {
            return Err(sotto_crypto::LinkError::Forged.into());
        }
        let label = clean_label(&offer.label);
        let other = OtherDevice { device: offer.device, label, fingerprint: offer.key.fingerprint() };
        self.offer = Some(offer);
        Ok(other)
    }

    /// Whether the other device was confirmed before, by an attempt that was interrupted.
    pub fn confirmed(&self) -> bool {
        self.state.answered.is_some()
    }

    /// Sends, after the user has confirmed the other device: the key, and when the other side has confirmed too, the
    /// history. Returns when the other side has imported all.
    pub async fn run(mut self, progress: impl Fn(u64, u64) + Send + Sync) -> Result<Transferred, Error> {
        self.answer().await?;
        let trust = self.history.trust.clone();
        if wait_for_note(&trust, &self.keys, ACCEPT).await? != 1 {
            self.finish().await?;
            return Err(Refusal::HistoryDeclined.into());
        }
        self.upload(&progress).await?;
        wait_for_note(&trust, &self.keys, DONE).await?;
        let done = Transferred { records: self.state.records, new: 0, bytes: self.state.size };
        self.finish().await?;
        Ok(done)
    }

    /// Hands the key over, in the same bytes whenever it is run again.
    async fn answer(&mut self) -> Result<(), Error> {
        let trust = self.history.trust.clone();
        let account = &trust.account;
        if self.state.answered.is_none() {
            let offer = self.offer.as_ref().ok_or(Error::Internal("the other device was not asked for"))?;
            let answer = HistoryAnswer {
                version: VERSION,
                suite: SUITE,
                link: self.keys.id(),
                address: account.address.clone(),
                device: account.device,
                certificate: account.certificate.clone(),
                label: account.label.clone(),
                size: self.state.size,
                digest: self.state.digest,
                records: self.state.records,
            };
            let key = AttachmentKey::from_bytes(&self.state.key)
                .map_err(|e| StoreError::Value { table: "history out", reason: e.to_string() })?;
            let signed = Signed::sign(&answer, &account.device_key);
            self.state.answered = Some(self.keys.answer_history(&mut SystemRng, offer, &key, signed)?);
            self.store_state().await?;
        }
        let answer = self.state.answered.clone().unwrap_or_default();
        trust.api.put_slot_once(self.keys.id(), ANSWER, &answer).await
    }

    /// Uploads what the relay does not have, at most so many links ahead of the receiver.
    async fn upload(&mut self, progress: &(impl Fn(u64, u64) + Send + Sync)) -> Result<(), Error> {
        let trust = self.history.trust.clone();
        let pieces = self.state.size.div_ceil(PIECE);
        let mut input = files::File::open(self.history.outgoing()?).await.map_err(AttachmentError::Io)?;
        let first = self.state.uploaded;
        input.seek(std::io::SeekFrom::Start(first * PIECE)).await.map_err(AttachmentError::Io)?;
        for piece in first..pieces {
            let (number, slot) = place(piece);
            if slot == 0 && number > LINKS_AHEAD {
                // What the receiver has makes room.
                let old = number - LINKS_AHEAD;
                wait_for_note(&trust, &self.keys, received(old)).await?;
                trust.api.delete_link(link(&self.keys, old)).await?;
            }
            let mut bytes = Vec::with_capacity(usize::try_from(PIECE).unwrap_or_default());
            (&mut input).take(PIECE).read_to_end(&mut bytes).await.map_err(AttachmentError::Io)?;
            trust.api.put_slot(link(&self.keys, number), slot, &bytes).await?;
            progress((piece * PIECE + bytes.len() as u64).min(self.state.size), self.state.size);
            self.state.uploaded = piece + 1;
            // Not after each: what is put again has the same bytes.
            if piece % 16 == 15 {
                self.store_state().await?;
            }
        }
        self.store_state().await
    }

    async fn store_state(&self) -> Result<(), Error> {
        let state = self.state.clone();
        self.history.trust.store.run(move |tx| tx.put(&state)).await
    }

    /// Forgets the transfer, here and at the relay, which would do so by itself in a day.
    async fn finish(&self) -> Result<(), Error> {
        let trust = &self.history.trust;
        // First what says that there is one: what is left then is forgotten by itself, and by the next transfer.
        trust.store.run(|tx| tx.delete::<HistoryOut>(&[])).await?;
        let _ = fs::remove_file(self.history.outgoing()?);
        let (last, _) = place(self.state.size.div_ceil(PIECE).saturating_sub(1));
        let numbers = last.saturating_sub(LINKS_AHEAD)..=last;
        let links = numbers.filter(|n| *n > 0).map(|n| link(&self.keys, n)).chain([self.keys.id()]);
        for link in links {
            if let Err(error) = trust.api.delete_link(link).await {
                tracing::debug!(%error, "the link stays at the relay until its time is over");
            }
        }
        Ok(())
    }
}
