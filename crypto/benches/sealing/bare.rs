//! The bare operations, by the library that this build of `sotto-crypto` uses.

#[cfg(not(feature = "rustcrypto"))]
pub use aws_lc::{Cipher, Keys, NAME};
#[cfg(feature = "rustcrypto")]
pub use rustcrypto::{Cipher, Keys, NAME};

/// A signature with what it is over.
pub struct SignedMessage {
    point: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

#[cfg(not(feature = "rustcrypto"))]
mod aws_lc {
    use std::hint::black_box;

    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use aws_lc_rs::agreement::{self, ECDH_P521, PrivateKey};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    };

    use super::SignedMessage;

    pub const NAME: &str = "AWS-LC";

    pub struct Keys {
        secret: PrivateKey,
        signing: EcdsaKeyPair,
        points: Vec<[u8; 133]>,
    }

    impl Keys {
        pub fn new(points: Vec<[u8; 133]>) -> Self {
            let signing = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
            Self { secret: PrivateKey::generate(&ECDH_P521).unwrap(), signing, points }
        }

        fn agree(&self, secret: &PrivateKey, place: usize) {
            let peer = agreement::UnparsedPublicKey::new(&ECDH_P521, &self.points[place]);
            agreement::agree(secret, peer, (), |shared| {
                black_box(shared);
                Ok(())
            })
            .unwrap();
        }

        pub fn agreements_keygen_and_signature(&self, count: usize, message: &[u8]) {
            let secret = PrivateKey::generate(&ECDH_P521).unwrap();
            (0..count).for_each(|place| self.agree(&secret, place));
            black_box(self.signing.sign(&SystemRandom::new(), message).unwrap());
        }

        pub fn signed(&self, message: &[u8]) -> SignedMessage {
            let signature = self.signing.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
            SignedMessage { point: self.signing.public_key().as_ref().to_vec(), message: message.to_vec(), signature }
        }

        #[allow(clippy::unused_self, reason = "the other library needs it")]
        pub fn verifications(&self, signed: &SignedMessage, count: usize) {
            for _ in 0..count {
                let key = UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, &signed.point);
                key.verify(&signed.message, &signed.signature).unwrap();
            }
        }

        pub fn agreement_and_verifications(&self, signed: &SignedMessage, count: usize) {
            self.agree(&self.secret, 0);
            self.verifications(signed, count);
        }
    }

    pub struct Cipher(LessSafeKey);

    impl Cipher {
        pub fn new() -> Self {
            Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[9; 32]).unwrap()))
        }

        fn nonce() -> Nonce {
            Nonce::assume_unique_for_key([0; 12])
        }

        /// Seals all but the last 16 bytes.
        pub fn seal(&self, buffer: &mut [u8]) {
            let length = buffer.len() - 16;
            let tag = self.0.seal_in_place_separate_tag(Self::nonce(), Aad::empty(), &mut buffer[..length]).unwrap();
            black_box(tag.as_ref());
        }

        pub fn sealed(&self, clear: &[u8]) -> Vec<u8> {
            let mut buffer = clear.to_vec();
            self.0.seal_in_place_append_tag(Self::nonce(), Aad::empty(), &mut buffer).unwrap();
            buffer
        }

        pub fn open(&self, buffer: &mut [u8]) {
            black_box(self.0.open_in_place(Self::nonce(), Aad::empty(), buffer).unwrap());
        }
    }
}

#[cfg(feature = "rustcrypto")]
mod rustcrypto {
    use std::hint::black_box;

    use aes_gcm::aead::AeadInOut;
    use aes_gcm::{Aes256Gcm, KeyInit};
    use p521::ecdsa::signature::{Signer, Verifier};
    use p521::elliptic_curve::Generate;
    use p521::elliptic_curve::sec1::ToSec1Point;
    use sotto_crypto::SystemRng;

    use super::SignedMessage;

    pub const NAME: &str = "RustCrypto";

    pub struct Keys {
        secret: p521::SecretKey,
        signing: p521::ecdsa::SigningKey,
        points: Vec<[u8; 133]>,
    }

    impl Keys {
        pub fn new(points: Vec<[u8; 133]>) -> Self {
            let secret = p521::SecretKey::generate_from_rng(&mut SystemRng);
            Self { secret, signing: p521::ecdsa::SigningKey::generate_from_rng(&mut SystemRng), points }
        }

        fn agree(&self, secret: &p521::SecretKey, place: usize) {
            let peer = p521::PublicKey::from_sec1_bytes(&self.points[place]).unwrap();
            black_box(secret.diffie_hellman(&peer).raw_secret_bytes());
        }

        pub fn agreements_keygen_and_signature(&self, count: usize, message: &[u8]) {
            let secret = p521::SecretKey::generate_from_rng(&mut SystemRng);
            black_box(secret.public_key());
            (0..count).for_each(|place| self.agree(&secret, place));
            let signature: p521::ecdsa::Signature = self.signing.sign(message);
            black_box(signature);
        }

        pub fn signed(&self, message: &[u8]) -> SignedMessage {
            let signature: p521::ecdsa::Signature = self.signing.sign(message);
            let point = self.signing.verifying_key().to_sec1_point(false).as_bytes().to_vec();
            SignedMessage { point, message: message.to_vec(), signature: signature.to_bytes().to_vec() }
        }

        #[allow(clippy::unused_self, reason = "as the other library")]
        pub fn verifications(&self, signed: &SignedMessage, count: usize) {
            for _ in 0..count {
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(&signed.point).unwrap();
                let signature = p521::ecdsa::Signature::from_slice(&signed.signature).unwrap();
                key.verify(&signed.message, &signature).unwrap();
            }
        }

        pub fn agreement_and_verifications(&self, signed: &SignedMessage, count: usize) {
            self.agree(&self.secret, 0);
            self.verifications(signed, count);
        }
    }

    pub struct Cipher(Aes256Gcm);

    impl Cipher {
        pub fn new() -> Self {
            Self(Aes256Gcm::new(&[9; 32].into()))
        }

        /// Seals all but the last 16 bytes.
        pub fn seal(&self, buffer: &mut [u8]) {
            let length = buffer.len() - 16;
            black_box(self.0.encrypt_inout_detached(&[0; 12].into(), b"", (&mut buffer[..length]).into()).unwrap());
        }

        pub fn sealed(&self, clear: &[u8]) -> Vec<u8> {
            let mut buffer = clear.to_vec();
            self.0.encrypt_in_place(&[0; 12].into(), b"", &mut buffer).unwrap();
            buffer
        }

        pub fn open(&self, buffer: &mut [u8]) {
            let (clear, tag) = buffer.split_last_chunk_mut::<16>().unwrap();
            self.0.decrypt_inout_detached(&[0; 12].into(), b"", clear.into(), &(*tag).into()).unwrap();
        }
    }
}
