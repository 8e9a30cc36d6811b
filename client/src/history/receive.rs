//! The device that gets the history.

use std::io::SeekFrom;
use std::path::Path;

use sotto_crypto::{
    AttachmentKey, LinkCode, LinkKeys, LinkOffer, LinkPurpose, LinkSecret, SUITE, Signed, SystemRng, VERSION,
};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::{
    ACCEPT, ANSWER, DONE, History, MAX_LINKS, OFFER, OtherDevice, PIECE, SLOTS_A_LINK, Transferred, file, link, place,
    received, wait_for,
};
use crate::core::error::{AttachmentError, Error, StoreError};
use crate::core::platform::{files, fs};
use crate::core::task::blocking;
use crate::core::text::clean_label;
use crate::store::profile::Lock;
use crate::store::{HistoryIn, HistoryOffered};

/// The receiving side of a transfer.
pub struct HistoryReceiver {
    history: History,
    code: LinkCode,
    keys: LinkKeys,
    state: HistoryIn,
    resumed: bool,
    _lock: Lock,
}

impl History {
    /// Starts to receive a history, or goes on where it was interrupted: with the code that the other device shows, or with
    /// a new one, or with the one of before where none is given and one was begun.
    pub async fn receive(&self, code: Option<LinkCode>) -> Result<HistoryReceiver, Error> {
        let trust = &self.trust;
        let lock = trust.profile.lock_for_history()?;
        let begun = trust.store.run(|tx| tx.get::<HistoryIn>(&[])).await?;
        let same = |state: &HistoryIn| match &code {
            Some(code) => *code.to_text() == state.code,
            None => true,
        };
        let (state, resumed) = if let Some(state) = begun.filter(same) {
            (state, true)
        } else {
            let _ = fs::remove_file(self.incoming()?);
            let code = code.unwrap_or_else(|| LinkCode::generate(&mut SystemRng));
            let secret = LinkSecret::generate(&mut SystemRng);
            let keys = LinkKeys::new(&code, LinkPurpose::History);
            let offer = Signed::sign(&self.history_offer(&keys, &secret), &trust.account.device_key);
            let state = HistoryIn {
                code: code.to_text().to_string(),
                secret: secret.to_bytes().to_vec(),
                offer: keys.seal_offer(&mut SystemRng, &offer),
                offered: None,
                accepted: false,
            };
            let record = state.clone();
            trust.store.run(move |tx| tx.put(&record)).await?;
            (state, false)
        };
        let code = LinkCode::parse(&state.code).map_err(|e| damaged(&e))?;
        let keys = LinkKeys::new(&code, LinkPurpose::History);
        if state.offered.is_none() {
            trust.api.put_slot(keys.id(), OFFER, &state.offer).await?;
        }
        Ok(HistoryReceiver { history: self.clone(), code, keys, state, resumed, _lock: lock })
    }

    fn history_offer(&self, keys: &LinkKeys, secret: &LinkSecret) -> LinkOffer {
        let account = &self.trust.account;
        LinkOffer {
            version: VERSION,
            suite: SUITE,
            purpose: LinkPurpose::History,
            link: keys.id(),
            address: account.address.clone(),
            device: account.device,
            key: account.device_key.verifying_key(),
            receiver: secret.public(),
            label: account.label.clone(),
            certificate: Some(account.certificate.clone()),
        }
    }
}

impl HistoryReceiver {
    /// The code, to type or scan on the other device.
    pub fn code(&self) -> Zeroizing<String> {
        self.code.to_text()
    }

    /// Whether it goes on with what was begun before.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// Whether the other device was confirmed before, by an attempt that was interrupted.
    pub fn confirmed(&self) -> bool {
        self.state.accepted
    }

    /// Waits for the other device, and gives it with how many records it offers. It is one of this user's, and has the code.
    pub async fn other_device(&mut self) -> Result<(OtherDevice, u64), Error> {
        if self.state.offered.is_none() {
            let trust = &self.history.trust;
            let answer = wait_for(trust, self.keys.id(), ANSWER).await?;
            let secret = LinkSecret::from_bytes(&self.state.secret).map_err(|e| damaged(&e))?;
            let offer = self.history.history_offer(&self.keys, &secret);
            let (key, answer) = self.keys.open_history(&secret, &offer, &trust.account.identity, &answer)?;
            if answer.size.div_ceil(PIECE) > MAX_LINKS * SLOTS_A_LINK || answer.device == trust.account.device {
                return Err(sotto_crypto::LinkError::Forged.into());
            }
            let certificate = answer.certificate.unverified().map_err(|_| sotto_crypto::LinkError::Forged)?;
            self.state.offered = Some(HistoryOffered {
                device: answer.device,
                label: clean_label(&answer.label),
                fingerprint: certificate.key.fingerprint(),
                key: key.to_bytes().to_vec(),
                size: answer.size,
                digest: answer.digest,
                records: answer.records,
            });
            self.store_state().await?;
        }
        let offered = self.offered()?;
        let other =
            OtherDevice { device: offered.device, label: offered.label.clone(), fingerprint: offered.fingerprint };
        Ok((other, offered.records))
    }

    /// Tells the other device that the user does not want its history, and forgets the transfer.
    pub async fn decline(self) -> Result<(), Error> {
        let note = self.keys.seal_note(&mut SystemRng, ACCEPT, 0);
        self.history.trust.api.put_slot_once(self.keys.id(), ACCEPT, &note).await?;
        self.finish().await
    }

    /// Receives, after the user has confirmed the other device, and imports.
    pub async fn run(mut self, progress: impl Fn(u64, u64) + Send + Sync + 'static) -> Result<Transferred, Error> {
        let trust = self.history.trust.clone();
        let note = self.keys.seal_note(&mut SystemRng, ACCEPT, 1);
        trust.api.put_slot_once(self.keys.id(), ACCEPT, &note).await?;
        self.state.accepted = true;
        self.store_state().await?;
        let path = self.history.incoming()?;
        self.download(&path, &progress).await?;
        let (size, digest, total, key) = {
            let offered = self.offered()?;
            let key = AttachmentKey::from_bytes(&offered.key).map_err(|e| damaged(&e))?;
            (offered.size, offered.digest, offered.records, key)
        };
        let store = trust.store.clone();
        let imported = blocking(move || {
            if file::digest(&path)? != digest {
                let _ = fs::remove_file(&path);
                let changed = "it is not what the other device has sealed; run this again to have it once more";
                return Err(AttachmentError::Unopenable(changed.into()).into());
            }
            file::import(&store, &path, &key, &|records| progress(records, total))
        });
        let (records, new) = imported.await?;
        let note = self.keys.seal_note(&mut SystemRng, DONE, records);
        trust.api.put_slot_once(self.keys.id(), DONE, &note).await?;
        self.finish().await?;
        Ok(Transferred { records, new, bytes: size })
    }

    /// Fetches the pieces that are not here yet. What is here is whole pieces, in order.
    async fn download(&self, path: &Path, progress: &(impl Fn(u64, u64) + Send + Sync)) -> Result<(), Error> {
        let trust = &self.history.trust;
        let size = self.offered()?.size;
        let mut output =
            files::OpenOptions::new().create(true).truncate(false).write(true).open(path).await.map_err(io)?;
        let here = output.metadata().await.map_err(io)?.len().min(size);
        let pieces = size.div_ceil(PIECE);
        let first = if here == size { pieces } else { here / PIECE };
        output.set_len(if here == size { size } else { first * PIECE }).await.map_err(io)?;
        output.seek(SeekFrom::End(0)).await.map_err(io)?;
        for piece in first..pieces {
            let (number, slot) = place(piece);
            if slot == 0 && number > 1 {
                // A note that an interrupted attempt has left out would keep the sender waiting.
                self.note_received(&mut output, number - 1).await?;
            }
            let bytes = wait_for(trust, link(&self.keys, number), slot).await?;
            if bytes.len() as u64 != PIECE.min(size - piece * PIECE) {
                return Err(AttachmentError::Unopenable("a piece has another length".into()).into());
            }
            output.write_all(&bytes).await.map_err(io)?;
            progress((piece + 1) * PIECE, size);
        }
        output.flush().await.map_err(io)?;
        output.sync_all().await.map_err(io)?;
        Ok(())
    }

    async fn note_received(&self, output: &mut files::File, number: u64) -> Result<(), Error> {
        // The sender removes it at the relay then.
        output.flush().await.map_err(io)?;
        output.sync_all().await.map_err(io)?;
        let slot = received(number);
        let note = self.keys.seal_note(&mut SystemRng, slot, 1);
        self.history.trust.api.put_slot_once(self.keys.id(), slot, &note).await
    }

    fn offered(&self) -> Result<&HistoryOffered, Error> {
        self.state.offered.as_ref().ok_or(Error::Internal("the other device was not asked for"))
    }

    async fn store_state(&self) -> Result<(), Error> {
        let state = self.state.clone();
        self.history.trust.store.run(move |tx| tx.put(&state)).await
    }

    async fn finish(&self) -> Result<(), Error> {
        self.history.trust.store.run(|tx| tx.delete::<HistoryIn>(&[])).await?;
        let _ = fs::remove_file(self.history.incoming()?);
        Ok(())
    }
}

fn io(error: std::io::Error) -> Error {
    AttachmentError::Io(error).into()
}

fn damaged(error: &dyn std::error::Error) -> Error {
    StoreError::Value { table: "history in", reason: error.to_string() }.into()
}
