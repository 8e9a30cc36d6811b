//! Suite 1 once more, from `docs/protocol.md` with the RustCrypto crates alone and without the library, so that the vectors
//! say what the protocol is and not what the library does. Everything is repeatable: keys come from names, signatures are
//! deterministic (RFC 6979). And every step can be done wrongly, which is how the refusals are made.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::{Hkdf, HkdfExtract};
use p521::ecdsa::signature::Signer;
use p521::elliptic_curve::sec1::ToSec1Point;
use sha2::{Digest, Sha512, Sha512_256};

pub type Id = [u8; 16];
/// Users with their devices.
pub type List = Vec<(String, Vec<Id>)>;

pub fn sha512(parts: &[&[u8]]) -> Vec<u8> {
    Sha512::digest(parts.concat()).to_vec()
}

pub fn sha512_256(parts: &[&[u8]]) -> [u8; 32] {
    Sha512_256::digest(parts.concat()).into()
}

/// The first bytes of SHA-512 over a name: all randomness of the vectors.
pub fn bytes<const N: usize>(name: &str) -> [u8; N] {
    sha512(&[b"sotto vectors: ", name.as_bytes()])[..N].try_into().unwrap()
}

/// A key pair from a name: the scalar is two zero bytes and SHA-512 over the name.
#[derive(Clone)]
pub struct Pair {
    pub secret: [u8; 66],
    pub point: [u8; 133],
}

impl Pair {
    pub fn named(name: &str) -> Self {
        let mut secret = [0; 66];
        secret[2..].copy_from_slice(&bytes::<64>(name));
        let key = p521::SecretKey::from_slice(&secret).unwrap();
        Self { secret, point: key.public_key().to_sec1_point(false).as_bytes().try_into().unwrap() }
    }

    pub fn agree(&self, point: &[u8; 133]) -> Vec<u8> {
        let key = p521::SecretKey::from_slice(&self.secret).unwrap();
        key.diffie_hellman(&p521::PublicKey::from_sec1_bytes(point).unwrap()).raw_secret_bytes().to_vec()
    }

    /// Over `label || 0x00 || message`.
    pub fn sign(&self, label: &str, message: &[u8]) -> [u8; 132] {
        let key = p521::ecdsa::SigningKey::from_slice(&self.secret).unwrap();
        let signature: p521::ecdsa::Signature = key.sign(&[label.as_bytes(), &[0], message].concat());
        signature.to_bytes().into()
    }
}

// --- CBOR: what there is of it ------------------------------------------------------------------------------------------

fn head(major: u8, value: usize) -> Vec<u8> {
    let value = u64::try_from(value).unwrap();
    let major = major << 5;
    match value {
        0..24 => vec![major | u8::try_from(value).unwrap()],
        24..0x100 => vec![major | 0x18, u8::try_from(value).unwrap()],
        0x100..0x1_0000 => [&[major | 0x19], u16::try_from(value).unwrap().to_be_bytes().as_slice()].concat(),
        0x1_0000..0x1_0000_0000 => [&[major | 0x1a], u32::try_from(value).unwrap().to_be_bytes().as_slice()].concat(),
        _ => [&[major | 0x1b], value.to_be_bytes().as_slice()].concat(),
    }
}

pub fn int(value: u64) -> Vec<u8> {
    head(0, usize::try_from(value).unwrap())
}

pub fn blob(value: &[u8]) -> Vec<u8> {
    [head(2, value.len()), value.to_vec()].concat()
}

pub fn text(value: &str) -> Vec<u8> {
    [head(3, value.len()), value.as_bytes().to_vec()].concat()
}

/// An array of encoded items.
pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len()), items.concat()].concat()
}

pub fn list(list: &List) -> Vec<u8> {
    let devices = |devices: &Vec<Id>| array(&devices.iter().map(|id| blob(id)).collect::<Vec<_>>());
    array(&list.iter().map(|(address, ids)| array(&[text(address), devices(ids)])).collect::<Vec<_>>())
}

// --- derivations --------------------------------------------------------------------------------------------------------

pub fn expand(prk: &[u8], info: &[u8], length: usize) -> Vec<u8> {
    let mut output = vec![0; length];
    Hkdf::<Sha512>::from_prk(prk).unwrap().expand(info, &mut output).unwrap();
    output
}

fn labeled_extract(suite: &[u8], salt: &[u8], label: &str, ikm: &[u8]) -> Vec<u8> {
    let mut extract = HkdfExtract::<Sha512>::new(Some(salt));
    extract.input_ikm(&[b"HPKE-v1", suite, label.as_bytes(), ikm].concat());
    extract.finalize().0.to_vec()
}

fn labeled_expand(suite: &[u8], prk: &[u8], label: &str, info: &[u8], length: u16) -> Vec<u8> {
    let info = [&length.to_be_bytes(), b"HPKE-v1".as_slice(), suite, label.as_bytes(), info].concat();
    expand(prk, &info, length.into())
}

pub fn gcm(key: &[u8], nonce: &[u8], aad: &[u8], clear: &[u8]) -> Vec<u8> {
    let cipher = Aes256Gcm::new_from_slice(key).unwrap();
    cipher.encrypt(nonce.try_into().unwrap(), Payload { msg: clear, aad }).unwrap()
}

/// The commitment to a content key.
pub fn commitment(content_key: &[u8; 32]) -> Vec<u8> {
    expand(&[content_key.as_slice(), &[0; 32]].concat(), b"sotto/2 commitment", 32)
}

/// All that is between two keys and a wrap.
pub struct Wrapped {
    pub dh: Vec<u8>,
    pub eae_prk: Vec<u8>,
    pub shared_secret: Vec<u8>,
    pub psk_id_hash: Vec<u8>,
    pub info_hash: Vec<u8>,
    pub secret: Vec<u8>,
    pub key: Vec<u8>,
    pub base_nonce: Vec<u8>,
    pub wrap: Vec<u8>,
}

pub fn wrap(ephemeral: &Pair, recipient: &[u8; 133], info: &[u8], content_key: &[u8]) -> Wrapped {
    let kem = b"KEM\x00\x12".as_slice();
    let suite = b"HPKE\x00\x12\x00\x03\x00\x02".as_slice();
    let dh = ephemeral.agree(recipient);
    let eae_prk = labeled_extract(kem, b"", "eae_prk", &dh);
    let context = [ephemeral.point.as_slice(), recipient].concat();
    let shared_secret = labeled_expand(kem, &eae_prk, "shared_secret", &context, 64);
    let psk_id_hash = labeled_extract(suite, b"", "psk_id_hash", b"");
    let info_hash = labeled_extract(suite, b"", "info_hash", info);
    let context = [&[0], psk_id_hash.as_slice(), &info_hash].concat();
    let secret = labeled_extract(suite, &shared_secret, "secret", b"");
    let key = labeled_expand(suite, &secret, "key", &context, 32);
    let base_nonce = labeled_expand(suite, &secret, "base_nonce", &context, 12);
    let wrap = gcm(&key, &base_nonce, b"", content_key);
    Wrapped { dh, eae_prk, shared_secret, psk_id_hash, info_hash, secret, key, base_nonce, wrap }
}

/// What is handed over by HPKE in mode_psk, single-shot.
pub fn wrap_psk(
    ephemeral: &Pair,
    recipient: &[u8; 133],
    info: &[u8],
    psk: &[u8],
    psk_id: &[u8],
    clear: &[u8],
) -> Vec<u8> {
    let kem = b"KEM\x00\x12".as_slice();
    let suite = b"HPKE\x00\x12\x00\x03\x00\x02".as_slice();
    let eae_prk = labeled_extract(kem, b"", "eae_prk", &ephemeral.agree(recipient));
    let context = [ephemeral.point.as_slice(), recipient].concat();
    let shared_secret = labeled_expand(kem, &eae_prk, "shared_secret", &context, 64);
    let psk_id_hash = labeled_extract(suite, b"", "psk_id_hash", psk_id);
    let info_hash = labeled_extract(suite, b"", "info_hash", info);
    let context = [&[1], psk_id_hash.as_slice(), &info_hash].concat();
    let secret = labeled_extract(suite, &shared_secret, "secret", psk);
    let key = labeled_expand(suite, &secret, "key", &context, 32);
    let base_nonce = labeled_expand(suite, &secret, "base_nonce", &context, 12);
    gcm(&key, &base_nonce, b"", clear)
}

pub fn padme(length: usize) -> usize {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let significant = if exponent == 0 { 0 } else { exponent.ilog2() + 1 };
    let unit = 1 << exponent.saturating_sub(significant);
    length.div_ceil(unit) * unit
}

pub fn pad(body: &[u8]) -> Vec<u8> {
    let mut padded = [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat();
    padded.resize(padme(padded.len()), 0);
    padded
}

// --- messages -----------------------------------------------------------------------------------------------------------

/// A message in the making: every field can be set wrongly.
#[derive(Clone)]
pub struct Draft {
    pub version: u64,
    pub suite: u64,
    pub network: String,
    pub message: Id,
    pub sender: String,
    pub device: Id,
    pub ephemeral: Pair,
    pub content_key: [u8; 32],
    pub commitment: Vec<u8>,
    pub content: Vec<u8>,
    pub recipients: List,
    pub identity: [u8; 133],
    /// Encoded.
    pub certificate: Vec<u8>,
    pub signer: Pair,
}

impl Draft {
    pub fn header(&self) -> Vec<u8> {
        array(&[
            int(self.version),
            int(self.suite),
            text(&self.network),
            blob(&self.message),
            text(&self.sender),
            blob(&self.device),
            blob(&self.ephemeral.point),
            blob(&self.commitment),
        ])
    }

    pub fn transcript(&self) -> Vec<u8> {
        array(&[
            int(self.suite),
            text(&self.network),
            blob(&self.message),
            text(&self.sender),
            blob(&self.device),
            blob(&self.ephemeral.point),
            blob(&self.commitment),
            blob(&sha512(&[&list(&self.recipients)])),
            blob(&sha512(&[&self.content])),
        ])
    }

    pub fn signature(&self) -> [u8; 132] {
        self.signer.sign("sotto/2 message", &self.transcript())
    }

    pub fn body(&self, signature: &[u8]) -> Vec<u8> {
        array(&[
            blob(&self.content),
            list(&self.recipients),
            blob(&self.identity),
            self.certificate.clone(),
            blob(signature),
        ])
    }

    /// Seals the body as it ought to be.
    pub fn sealed(&self) -> Vec<u8> {
        self.sealed_as(&pad(&self.body(&self.signature())))
    }

    /// Seals any clear text.
    pub fn sealed_as(&self, padded: &[u8]) -> Vec<u8> {
        gcm(&self.content_key, &[0; 12], &self.header(), padded)
    }

    pub fn info(&self, recipient: &str, device: &Id, batch: &Id, index: u64) -> Vec<u8> {
        array(&[
            text("sotto/2 wrap"),
            int(self.suite),
            text(&self.network),
            blob(&self.message),
            text(&self.sender),
            blob(&self.device),
            text(recipient),
            blob(device),
            array(&[blob(batch), int(index)]),
        ])
    }
}
