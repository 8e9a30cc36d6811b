//! The password exchange (OPAQUE, RFC 9807): the relay never sees the password, nor anything that it could be guessed
//! from without asking. What goes over the wire is opaque bytes; `registration.rs` carries them.

use opaque_ke::argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::rand::{self, CryptoRng, RngCore};
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, Identifiers, RegistrationResponse, errors::ProtocolError,
};
use sotto_crypto::rand_core::Rng as _;
use sotto_crypto::{Address, SystemRng};
use sotto_wire::password;
use zeroize::Zeroizing;

use crate::core::secret::Password;

/// The suite that `sotto_wire::password` describes; the relay has the same.
struct Suite;

impl opaque_ke::CipherSuite for Suite {
    type OprfCs = opaque_ke::Ristretto255;
    type KeyExchange = opaque_ke::TripleDh<opaque_ke::Ristretto255, sha2_opaque::Sha512>;
    type Ksf = Argon2<'static>;
}

/// The system's randomness in the form that OPAQUE's generation of traits asks for.
struct OldRng;

impl RngCore for OldRng {
    fn next_u32(&mut self) -> u32 {
        SystemRng.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        SystemRng.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        SystemRng.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for OldRng {}

/// Why an exchange fails.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ExchangeError {
    /// The password is not the one that was registered.
    WrongPassword,
    /// The relay's part cannot be used.
    Answer(String),
}

impl From<ProtocolError> for ExchangeError {
    fn from(error: ProtocolError) -> Self {
        match error {
            ProtocolError::InvalidLoginError => Self::WrongPassword,
            other => Self::Answer(other.to_string()),
        }
    }
}

/// What only who knows the password can have, and the same after every log-in until the next registration.
pub(crate) type ExportKey = Zeroizing<[u8; 64]>;

fn export_key(bytes: &[u8]) -> Result<ExportKey, ExchangeError> {
    let mut key = Zeroizing::new([0; 64]);
    if bytes.len() != key.len() {
        return Err(ExchangeError::Answer("an export key of another length".to_owned()));
    }
    key.copy_from_slice(bytes);
    Ok(key)
}

/// A registration after its first step.
pub(crate) struct Registration {
    state: ClientRegistration<Suite>,
}

/// A log-in after its first step.
pub(crate) struct Login {
    state: ClientLogin<Suite>,
}

impl Registration {
    /// First step, and the request for the relay.
    pub(crate) fn start(password: &Password) -> Result<(Self, Vec<u8>), ExchangeError> {
        let started = ClientRegistration::<Suite>::start(&mut OldRng, password.expose().as_bytes())?;
        Ok((Self { state: started.state }, started.message.serialize().to_vec()))
    }

    /// Second step: the record for the relay, and the export key. Takes the time of the key stretching.
    pub(crate) fn finish(
        self,
        password: &Password,
        address: &Address,
        response: &[u8],
    ) -> Result<(Vec<u8>, ExportKey), ExchangeError> {
        let domain = address.domain();
        let stretching = stretching()?;
        let finished = self.state.finish(
            &mut OldRng,
            password.expose().as_bytes(),
            RegistrationResponse::deserialize(response)?,
            ClientRegistrationFinishParameters::new(
                Identifiers { client: Some(address.as_str().as_bytes()), server: Some(domain.as_str().as_bytes()) },
                Some(&stretching),
            ),
        )?;
        Ok((finished.message.serialize().to_vec(), export_key(&finished.export_key)?))
    }
}

impl Login {
    /// First step, and the request for the relay.
    pub(crate) fn start(password: &Password) -> Result<(Self, Vec<u8>), ExchangeError> {
        let started = ClientLogin::<Suite>::start(&mut OldRng, password.expose().as_bytes())?;
        Ok((Self { state: started.state }, started.message.serialize().to_vec()))
    }

    /// Second step: the proof for the relay, and the export key. A wrong password shows here. Takes the time of the key stretching.
    pub(crate) fn finish(
        self,
        password: &Password,
        address: &Address,
        response: &[u8],
    ) -> Result<(Vec<u8>, ExportKey), ExchangeError> {
        let domain = address.domain();
        let stretching = stretching()?;
        let finished = self.state.finish(
            &mut OldRng,
            password.expose().as_bytes(),
            CredentialResponse::deserialize(response)?,
            ClientLoginFinishParameters::new(
                Some(password::CONTEXT),
                Identifiers { client: Some(address.as_str().as_bytes()), server: Some(domain.as_str().as_bytes()) },
                Some(&stretching),
            ),
        )?;
        Ok((finished.message.serialize().to_vec(), export_key(&finished.export_key)?))
    }
}

fn stretching() -> Result<Argon2<'static>, ExchangeError> {
    let params = Params::new(password::ARGON2_MEMORY_KIB, password::ARGON2_PASSES, password::ARGON2_LANES, None)
        .map_err(|e| ExchangeError::Answer(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use opaque_ke::{
        CredentialFinalization, CredentialRequest, RegistrationRequest, RegistrationUpload, ServerLogin,
        ServerLoginParameters, ServerRegistration, ServerSetup,
    };

    use super::*;

    #[test]
    fn the_registered_password_logs_in_and_another_does_not() {
        let address = Address::parse("alice@chat.acme.example").unwrap();
        let setup = ServerSetup::<Suite>::new(&mut OldRng);
        let id = address.as_str().as_bytes();
        let (right, wrong) = (Password::new("right".into()), Password::new("wrong".into()));

        let (registration, request) = Registration::start(&right).unwrap();
        let request = RegistrationRequest::deserialize(&request).unwrap();
        let response = ServerRegistration::<Suite>::start(&setup, request, id).unwrap().message.serialize();
        let (record, registered) = registration.finish(&right, &address, &response).unwrap();
        let record = ServerRegistration::finish(RegistrationUpload::<Suite>::deserialize(&record).unwrap());

        let log_in = |password: &Password| {
            let (login, request) = Login::start(password).unwrap();
            let parameters = ServerLoginParameters {
                context: Some(password::CONTEXT),
                identifiers: Identifiers { client: Some(id), server: Some(b"chat.acme.example") },
            };
            let request = CredentialRequest::deserialize(&request).unwrap();
            let server =
                ServerLogin::start(&mut OldRng, &setup, Some(record.clone()), request, id, parameters).unwrap();
            let (proof, export_key) = login.finish(password, &address, &server.message.serialize())?;
            assert_eq!(export_key, registered);
            let parameters = ServerLoginParameters {
                context: Some(password::CONTEXT),
                identifiers: Identifiers { client: Some(id), server: Some(b"chat.acme.example") },
            };
            server.state.finish(CredentialFinalization::deserialize(&proof).unwrap(), parameters).unwrap();
            Ok::<(), ExchangeError>(())
        };
        assert_eq!(log_in(&right), Ok(()));
        assert_eq!(log_in(&wrong), Err(ExchangeError::WrongPassword));
    }
}
