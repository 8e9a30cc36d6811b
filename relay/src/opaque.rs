//! OPAQUE (RFC 9807) on the relay's side. Its long-term keys come from the relay's secret; the state between the two
//! steps of a log-in travels with the client, sealed, so that any replica can answer the second step.

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use minicbor::{Decode, Encode};
use opaque_ke::keypair::PrivateKey;
use opaque_ke::rand::{CryptoRng, Error as RandError, RngCore};
use opaque_ke::{
    CipherSuite, CredentialFinalization, CredentialRequest, Identifiers, RegistrationRequest, RegistrationUpload,
    Ristretto255, ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup, TripleDh,
};
use sotto_crypto::rand_core::Rng as _;
use sotto_crypto::{Address, Domain, SystemRng, decode_strict, digest, encode};
use sotto_wire::password::CONTEXT;
use zeroize::Zeroizing;

use crate::secrets::Secret;
use crate::store::Origin;

/// The cipher suite of [`sotto_wire::password`]. Only clients stretch passwords.
pub(crate) struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_opaque::Sha512>;
    type Ksf = opaque_ke::argon2::Argon2<'static>;
}

/// The operating system's random numbers for the generation of `rand` that opaque-ke is made with.
struct OldRng;

impl RngCore for OldRng {
    fn next_u32(&mut self) -> u32 {
        SystemRng.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        SystemRng.next_u64()
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        SystemRng.fill_bytes(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), RandError> {
        SystemRng.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for OldRng {}

/// A message that cannot be used, or a password that is wrong: which of them is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

const NONCE_LEN: usize = 12;
const ATTEMPT_AAD: &[u8] = b"sotto/2 log-in attempt";

/// What is remembered between the steps of a log-in.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Attempt {
    #[cbor(n(0), with = "minicbor::bytes")]
    state: Vec<u8>,
    #[n(1)]
    address: Address,
    #[n(2)]
    expires_at_ms: u64,
    /// Of the password file that it was begun with.
    #[cbor(n(3), with = "minicbor::bytes")]
    file: [u8; 32],
    /// Where it was begun.
    #[n(4)]
    origin: Origin,
}

/// Who has proven a password.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    pub(crate) address: Address,
    /// By which password file ([`file_digest`]).
    pub(crate) file: [u8; 32],
    /// Where the attempt was begun.
    pub(crate) origin: Origin,
}

/// By which a password file is known: an attempt that began before a new password must not end after it.
pub(crate) fn file_digest(password_file: Option<&[u8]>) -> [u8; 32] {
    digest(password_file.unwrap_or_default())
}

/// The relay's side of OPAQUE.
pub(crate) struct Opaque {
    setup: ServerSetup<Suite>,
    attempts: Aes256Gcm,
    domain: Domain,
}

/// Answers to the first step of a log-in.
pub(crate) struct Started {
    /// The sealed state.
    pub(crate) attempt: Vec<u8>,
    /// KE2.
    pub(crate) response: Vec<u8>,
}

impl Opaque {
    /// With the keys of this secret.
    #[expect(clippy::expect_used, reason = "the bytes are made below so that they are a valid setup")]
    pub(crate) fn new(secret: &Secret, domain: &Domain) -> Self {
        // The layout of a serialised setup: OPRF seed, private key, public key for users who do not exist.
        let mut bytes = Zeroizing::new(Vec::with_capacity(128));
        bytes.extend_from_slice(secret.derive::<64>("opaque oprf seed").as_slice());
        bytes.extend_from_slice(scalar(secret, "opaque private key").as_slice());
        let stranger = PrivateKey::<Ristretto255>::deserialize(scalar(secret, "opaque stranger").as_slice())
            .expect("a scalar below the group order");
        bytes.extend_from_slice(&stranger.public_key().serialize());
        let setup = ServerSetup::deserialize(&bytes).expect("seed, scalar and point of the right lengths");
        let attempts = Aes256Gcm::new((&*secret.derive::<32>("log-in attempt")).into());
        Self { setup, attempts, domain: domain.clone() }
    }

    /// First step of registration.
    pub(crate) fn start_registration(&self, address: &Address, request: &[u8]) -> Result<Vec<u8>, Refused> {
        let request = RegistrationRequest::<Suite>::deserialize(request).map_err(|_| Refused)?;
        let started = ServerRegistration::<Suite>::start(&self.setup, request, address.as_str().as_bytes())
            .map_err(|_| Refused)?;
        Ok(started.message.serialize().to_vec())
    }

    /// Second step: the password file to store.
    pub(crate) fn finish_registration(record: &[u8]) -> Result<Vec<u8>, Refused> {
        let upload = RegistrationUpload::<Suite>::deserialize(record).map_err(|_| Refused)?;
        Ok(ServerRegistration::<Suite>::finish(upload).serialize().to_vec())
    }

    /// First step of log-in; without a password file the answer looks the same and leads nowhere.
    pub(crate) fn start_login(
        &self,
        address: &Address,
        password_file: Option<&[u8]>,
        request: &[u8],
        origin: &Origin,
        expires_at_ms: u64,
    ) -> Result<Started, Refused> {
        let request = CredentialRequest::<Suite>::deserialize(request).map_err(|_| Refused)?;
        let record = password_file.map(ServerRegistration::<Suite>::deserialize).transpose().map_err(|_| Refused)?;
        let started = ServerLogin::<Suite>::start(
            &mut OldRng,
            &self.setup,
            record,
            request,
            address.as_str().as_bytes(),
            self.parameters(address),
        )
        .map_err(|_| Refused)?;
        let state = started.state.serialize().to_vec();
        let attempt = self.seal(&Attempt {
            state,
            address: address.clone(),
            expires_at_ms,
            file: file_digest(password_file),
            origin: origin.clone(),
        })?;
        Ok(Started { attempt, response: started.message.serialize().to_vec() })
    }

    /// Second step of log-in: who has proven the password.
    pub(crate) fn finish_login(&self, attempt: &[u8], finalization: &[u8], now_ms: u64) -> Result<Proven, Refused> {
        let Attempt { state, address, expires_at_ms, file, origin } = self.open(attempt)?;
        let state = Zeroizing::new(state);
        if expires_at_ms <= now_ms {
            return Err(Refused);
        }
        let login = ServerLogin::<Suite>::deserialize(&state).map_err(|_| Refused)?;
        let finalization = CredentialFinalization::<Suite>::deserialize(finalization).map_err(|_| Refused)?;
        login.finish(finalization, self.parameters(&address)).map_err(|_| Refused)?;
        Ok(Proven { address, file, origin })
    }

    fn parameters<'a>(&'a self, address: &'a Address) -> ServerLoginParameters<'a, 'a> {
        ServerLoginParameters {
            context: Some(CONTEXT),
            identifiers: Identifiers {
                client: Some(address.as_str().as_bytes()),
                server: Some(self.domain.as_str().as_bytes()),
            },
        }
    }

    fn seal(&self, attempt: &Attempt) -> Result<Vec<u8>, Refused> {
        let mut nonce = [0; NONCE_LEN];
        SystemRng.fill_bytes(&mut nonce);
        let mut sealed = encode(attempt);
        self.attempts.encrypt_in_place((&nonce).into(), ATTEMPT_AAD, &mut sealed).map_err(|_| Refused)?;
        sealed.extend_from_slice(&nonce);
        Ok(sealed)
    }

    fn open(&self, sealed: &[u8]) -> Result<Attempt, Refused> {
        let (body, nonce) = sealed.split_last_chunk::<NONCE_LEN>().ok_or(Refused)?;
        let mut clear = Zeroizing::new(body.to_vec());
        self.attempts.decrypt_in_place(nonce.into(), ATTEMPT_AAD, &mut *clear).map_err(|_| Refused)?;
        decode_strict(&clear).map_err(|_| Refused)
    }
}

/// A scalar of ristretto255: 252 random bits, little endian. The group order is 2^252 and a little, so that this is
/// uniform up to 2^-127.
fn scalar(secret: &Secret, label: &str) -> Zeroizing<[u8; 32]> {
    let mut bytes = secret.derive::<32>(label);
    bytes[31] &= 0x0f;
    bytes
}

#[cfg(test)]
mod tests {
    use opaque_ke::argon2::{Algorithm, Argon2, Params, Version};
    use opaque_ke::{
        ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
        CredentialResponse, RegistrationResponse,
    };

    use super::*;

    struct Person {
        address: Address,
        ksf: Argon2<'static>,
    }

    fn here() -> Origin {
        Origin { key: "here".to_owned(), known: true }
    }

    fn ids(address: &Address) -> Identifiers<'_> {
        Identifiers { client: Some(address.as_str().as_bytes()), server: Some(b"a.example") }
    }

    impl Person {
        fn new(address: &str) -> Self {
            // Weak on purpose: what is tested is not the stretching.
            let ksf = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
            Self { address: Address::parse(address).unwrap(), ksf }
        }

        fn register(&self, relay: &Opaque, password: &[u8]) -> Vec<u8> {
            let start = ClientRegistration::<Suite>::start(&mut OldRng, password).unwrap();
            let answer = relay.start_registration(&self.address, &start.message.serialize()).unwrap();
            let finish = start
                .state
                .finish(
                    &mut OldRng,
                    password,
                    RegistrationResponse::deserialize(&answer).unwrap(),
                    ClientRegistrationFinishParameters::new(ids(&self.address), Some(&self.ksf)),
                )
                .unwrap();
            Opaque::finish_registration(&finish.message.serialize()).unwrap()
        }

        fn log_in(&self, relay: &Opaque, file: Option<&[u8]>, password: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
            let start = ClientLogin::<Suite>::start(&mut OldRng, password).unwrap();
            let Started { attempt, response } =
                relay.start_login(&self.address, file, &start.message.serialize(), &here(), 1000).unwrap();
            let finish = start
                .state
                .finish(
                    &mut OldRng,
                    password,
                    CredentialResponse::deserialize(&response).unwrap(),
                    ClientLoginFinishParameters::new(Some(CONTEXT), ids(&self.address), Some(&self.ksf)),
                )
                .ok()?;
            Some((attempt, finish.message.serialize().to_vec()))
        }
    }

    fn relay() -> Opaque {
        let domain = Domain::parse("a.example").unwrap();
        Opaque::new(&Secret::new(&[9; 64], &domain), &domain)
    }

    #[test]
    fn the_right_password_logs_in_also_after_a_restart_and_the_wrong_one_does_not() {
        let alice = Person::new("alice@a.example");
        let file = alice.register(&relay(), b"correct horse");
        let (attempt, finalization) = alice.log_in(&relay(), Some(&file), b"correct horse").unwrap();
        assert_eq!(
            relay().finish_login(&attempt, &finalization, 999),
            Ok(Proven { address: alice.address.clone(), file: file_digest(Some(&file)), origin: here() })
        );
        assert_eq!(relay().finish_login(&attempt, &finalization, 1000), Err(Refused), "too late");
        assert!(alice.log_in(&relay(), Some(&file), b"wrong horse").is_none());
    }

    #[test]
    fn a_stranger_gets_answers_of_the_same_shape() {
        let alice = Person::new("alice@a.example");
        let file = alice.register(&relay(), b"p");
        let request = ClientLogin::<Suite>::start(&mut OldRng, b"p").unwrap().message.serialize();
        let known = relay().start_login(&alice.address, Some(&file), &request, &here(), 1).unwrap();
        let stranger = relay().start_login(&alice.address, None, &request, &here(), 1).unwrap();
        assert_eq!(known.response.len(), stranger.response.len());
        assert_eq!(known.attempt.len(), stranger.attempt.len());
        assert!(alice.log_in(&relay(), None, b"p").is_none());
    }

    #[test]
    fn an_attempt_serves_its_own_address_and_garbage_is_refused() {
        let alice = Person::new("alice@a.example");
        let file = alice.register(&relay(), b"p");
        let (mut attempt, finalization) = alice.log_in(&relay(), Some(&file), b"p").unwrap();
        attempt[3] ^= 1;
        assert_eq!(relay().finish_login(&attempt, &finalization, 0), Err(Refused));
        assert_eq!(relay().finish_login(&[], &finalization, 0), Err(Refused));
        assert!(relay().start_registration(&alice.address, b"garbage").is_err());
        assert!(relay().start_login(&alice.address, None, b"garbage", &here(), 0).is_err());
        assert!(Opaque::finish_registration(b"garbage").is_err());
    }
}
