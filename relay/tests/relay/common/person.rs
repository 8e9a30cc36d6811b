//! People and their devices: the least that a client has to do.

use std::collections::HashMap;

use opaque_ke::argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::rand::{CryptoRng, Error as RandError, RngCore};
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, Identifiers, RegistrationResponse, Ristretto255, TripleDh,
};
use sotto_crypto::rand_core::Rng as _;
use sotto_crypto::{
    Address, BatchId, DeviceCertificate, DeviceId, DeviceKey, DeviceList, IdentityKey, ListedDevice, MessageId,
    PrekeyBatch, PrekeyKind, PrekeyRef, PrekeySecret, SealedHeader, Sender, Signed, SystemRng, Voucher, WrappedKey,
    decode_strict, encode, generate_prekeys, open, seal, verify_devices,
};
use sotto_wire::api::{
    Challenge, Delivery, Envelope, FetchRecipients, LoggedIn, LoginFinish, LoginStart, LoginStarted, OpenSession,
    OwnDevices, PasswordFinish, PasswordStart, PasswordStarted, PutDevices, Recipients, RegisterDevice, RegisterFinish,
    RegisterStart, RegisterStarted, SESSION_LABEL, Session, SessionChallenge, Signal,
};
use sotto_wire::password::CONTEXT;

use super::http::{Answer, Http};
use super::socket::Socket;
use super::{World, invite_key};

pub(crate) struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_opaque::Sha512>;
    type Ksf = Argon2<'static>;
}

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

/// Weak on purpose: what is tested is not the stretching.
fn ksf() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap())
}

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct Person {
    pub(crate) address: Address,
    pub(crate) identity: IdentityKey,
}

pub(crate) struct Device {
    pub(crate) address: Address,
    pub(crate) identity: sotto_crypto::IdentityPublic,
    pub(crate) id: DeviceId,
    pub(crate) key: DeviceKey,
    pub(crate) certificate: Signed<DeviceCertificate>,
    secrets: HashMap<(BatchId, u32), PrekeySecret>,
    pub(crate) http: Http,
}

impl Person {
    /// With an invite, registered.
    pub(crate) async fn join(world: &World, local: &str) -> Self {
        world.put_user(local, &world.wanted(local)).await;
        Self::register(world, local, local).await
    }

    /// By the invite with this code.
    pub(crate) async fn register(world: &World, local: &str, code: &str) -> Self {
        let identity = IdentityKey::generate(&mut SystemRng);
        let person = Self { address: world.address(local), identity };
        person.try_register(&world.public(), code).await.unwrap().done();
        person
    }

    /// The answer to the second step, or the refusal of the first.
    pub(crate) async fn try_register(&self, http: &Http, code: &str) -> Result<Answer, Answer> {
        self.register_with(http, code, None).await
    }

    /// With a password vault.
    pub(crate) async fn register_with(
        &self,
        http: &Http,
        code: &str,
        vault: Option<Vec<u8>>,
    ) -> Result<Answer, Answer> {
        self.register_by(http, code, vault, Some(self.voucher())).await
    }

    /// With any voucher.
    pub(crate) async fn register_by(
        &self,
        http: &Http,
        code: &str,
        vault: Option<Vec<u8>>,
        voucher: Option<Signed<Voucher>>,
    ) -> Result<Answer, Answer> {
        let start = ClientRegistration::<Suite>::start(&mut OldRng, PASSWORD.as_bytes()).unwrap();
        let request = start.message.serialize().to_vec();
        let step = RegisterStart { address: self.address.clone(), invite: code.into(), request };
        let answer = http.post("/v1/register/start", &step).await;
        if answer.status != 200 {
            return Err(answer);
        }
        let started: RegisterStarted = answer.ok();
        let finish = start
            .state
            .finish(
                &mut OldRng,
                PASSWORD.as_bytes(),
                RegistrationResponse::deserialize(&started.response).unwrap(),
                ClientRegistrationFinishParameters::new(self.ids(), Some(&ksf())),
            )
            .unwrap();
        let step = RegisterFinish {
            address: self.address.clone(),
            invite: code.into(),
            record: finish.message.serialize().to_vec(),
            identity: self.identity.verifying_key(),
            vault,
            voucher,
        };
        Ok(http.post("/v1/register/finish", &step).await)
    }

    /// The answer to the first step.
    pub(crate) async fn start_registration(&self, http: &Http, code: &str) -> Result<RegisterStarted, Answer> {
        let start = ClientRegistration::<Suite>::start(&mut OldRng, PASSWORD.as_bytes()).unwrap();
        let request = start.message.serialize().to_vec();
        let step = RegisterStart { address: self.address.clone(), invite: code.into(), request };
        let answer = http.post("/v1/register/start", &step).await;
        if answer.status == 200 { Ok(answer.ok()) } else { Err(answer) }
    }

    pub(crate) fn voucher(&self) -> Signed<Voucher> {
        Signed::sign(&Voucher::new(self.address.clone(), self.identity.verifying_key()), invite_key())
    }

    fn ids(&self) -> Identifiers<'_> {
        let (_, domain) = self.address.as_str().split_once('@').unwrap();
        Identifiers { client: Some(self.address.as_str().as_bytes()), server: Some(domain.as_bytes()) }
    }

    /// A new password, by who has this log-in token.
    pub(crate) async fn change_password(
        &self,
        http: &Http,
        password: &str,
        vault: Option<Vec<u8>>,
    ) -> Result<Answer, Answer> {
        let start = ClientRegistration::<Suite>::start(&mut OldRng, password.as_bytes()).unwrap();
        let answer =
            http.post("/v1/password/start", &PasswordStart { request: start.message.serialize().to_vec() }).await;
        if answer.status != 200 {
            return Err(answer);
        }
        let started: PasswordStarted = answer.ok();
        let finish = start
            .state
            .finish(
                &mut OldRng,
                password.as_bytes(),
                RegistrationResponse::deserialize(&started.response).unwrap(),
                ClientRegistrationFinishParameters::new(self.ids(), Some(&ksf())),
            )
            .unwrap();
        let step = PasswordFinish { record: finish.message.serialize().to_vec(), vault };
        Ok(http.post("/v1/password/finish", &step).await)
    }

    /// The first step of a log-in; the second is what the answer does.
    pub(crate) async fn begin_login(&self, http: &Http, password: &str) -> Result<Option<LoginFinish>, Answer> {
        let start = ClientLogin::<Suite>::start(&mut OldRng, password.as_bytes()).unwrap();
        let request = start.message.serialize().to_vec();
        let answer = http.post("/v1/login/start", &LoginStart { address: self.address.clone(), request }).await;
        if answer.status != 200 {
            return Err(answer);
        }
        let started: LoginStarted = answer.ok();
        let finish = start.state.finish(
            &mut OldRng,
            password.as_bytes(),
            CredentialResponse::deserialize(&started.response).unwrap(),
            ClientLoginFinishParameters::new(Some(CONTEXT), self.ids(), Some(&ksf())),
        );
        let finalization = finish.ok().map(|finish| finish.message.serialize().to_vec());
        Ok(finalization.map(|finalization| LoginFinish { attempt: started.attempt, finalization }))
    }

    /// `Ok(None)`: the password is wrong, as the client sees for itself.
    pub(crate) async fn try_login(&self, http: &Http, password: &str) -> Result<Option<LoggedIn>, Answer> {
        let Some(finish) = self.begin_login(http, password).await? else { return Ok(None) };
        let answer = http.post("/v1/login/finish", &finish).await;
        if answer.status == 200 { Ok(Some(answer.ok())) } else { Err(answer) }
    }

    pub(crate) async fn login(&self, world: &World) -> String {
        let logged_in = self.try_login(&world.public(), PASSWORD).await.ok().flatten().expect("logged in");
        assert_eq!(logged_in.identity, self.identity.verifying_key());
        logged_in.token
    }

    /// Keys and what to upload for a first device.
    pub(crate) fn new_device(&self, world: &World, one_time: u32) -> (Device, RegisterDevice) {
        self.another_device(world, None, one_time)
    }

    /// The same, beside those of a list.
    pub(crate) fn another_device(
        &self,
        world: &World,
        before: Option<&Signed<DeviceList>>,
        one_time: u32,
    ) -> (Device, RegisterDevice) {
        let key = DeviceKey::generate(&mut SystemRng);
        let device = DeviceId::generate(&mut SystemRng);
        let now_ms = world.now_ms();
        let certificate = DeviceCertificate::new(self.address.clone(), device, key.verifying_key(), now_ms);
        let certificate = Signed::sign(&certificate, &self.identity);
        let mut made = Device {
            address: self.address.clone(),
            identity: self.identity.verifying_key(),
            id: device,
            key,
            certificate: certificate.clone(),
            secrets: HashMap::new(),
            http: world.public(),
        };
        let one_time = made.prekeys(world, PrekeyKind::OneTime, one_time);
        let medium_term = made.prekeys(world, PrekeyKind::MediumTerm, 1);
        let before = before.map(|list| list.unverified().unwrap());
        let mut devices = before.as_ref().map(|list| list.devices.clone()).unwrap_or_default();
        devices.push(ListedDevice { device, key: made.key.verifying_key(), since_ms: now_ms });
        let PutDevices { list, before } = self.list(world, before.map(|list| list.serial), devices);
        (made, RegisterDevice { device, list, label: "laptop".into(), one_time, medium_term, before })
    }

    /// A list of devices that is made from the one with the serial `before`.
    pub(crate) fn list(&self, world: &World, before: Option<u64>, devices: Vec<ListedDevice>) -> PutDevices {
        let now_ms = world.now_ms();
        let serial = before.map_or(now_ms, |before| now_ms.max(before + 1));
        let list = DeviceList::new(self.address.clone(), serial, now_ms + 90 * 24 * 3_600_000, devices);
        PutDevices { list: Signed::sign(&list, &self.identity), before }
    }

    /// One of the devices puts a list without some of them.
    pub(crate) async fn remove(&self, world: &World, by: &Device, gone: &[DeviceId]) -> Answer {
        let OwnDevices { list, .. } = by.http.get("/v1/devices").await.ok();
        let list = list.unwrap().unverified().unwrap();
        let kept = list.devices.into_iter().filter(|listed| !gone.contains(&listed.device)).collect();
        by.http.put_cbor("/v1/devices", &self.list(world, Some(list.serial), kept)).await
    }

    /// A registered device with a session.
    pub(crate) async fn device(&self, world: &World, one_time: u32) -> Device {
        let token = self.login(world).await;
        let there: OwnDevices = world.public().with_token(&token).get("/v1/devices").await.ok();
        let (mut device, register) = self.another_device(world, there.list.as_ref(), one_time);
        world.public().with_token(&token).post("/v1/devices", &register).await.done();
        device.open_session(world).await;
        device
    }

    /// Joined, with one device.
    pub(crate) async fn ready(world: &World, local: &str) -> Device {
        Self::join(world, local).await.device(world, 20).await
    }
}

impl Device {
    pub(crate) fn prekeys(&mut self, world: &World, kind: PrekeyKind, count: u32) -> PrekeyBatch {
        let now_ms = world.now_ms();
        let end = now_ms + 90 * 24 * 3_600_000;
        let (batch, secrets) = generate_prekeys(&mut SystemRng, &self.key, self.id, kind, count, now_ms, end);
        let id = batch.header.unverified().unwrap().batch;
        self.secrets.extend((0..).zip(secrets).map(|(index, secret)| ((id, index), secret)));
        batch
    }

    pub(crate) async fn try_session(&self, world: &World) -> Answer {
        let http = world.public();
        let ask = SessionChallenge { address: self.address.clone(), device: self.id };
        let Challenge { challenge } = http.post("/v1/session/challenge", &ask).await.ok();
        let signature = self.key.sign(SESSION_LABEL, &challenge);
        http.post("/v1/session", &OpenSession { challenge, signature }).await
    }

    pub(crate) async fn open_session(&mut self, world: &World) {
        let session: Session = self.try_session(world).await.ok();
        assert!(session.expires_at_ms > world.now_ms());
        self.http = world.public().with_token(&session.token);
    }

    pub(crate) async fn recipients(&self, addresses: &[&Address]) -> Recipients {
        let addresses = addresses.iter().map(|address| (*address).clone()).collect();
        self.http.post("/v1/recipients", &FetchRecipients { addresses, signal: None }).await.ok()
    }

    pub(crate) async fn ask_for_signal(&self, addresses: &[&Address]) -> Answer {
        let addresses = addresses.iter().map(|address| (*address).clone()).collect();
        self.http.post("/v1/recipients", &FetchRecipients { addresses, signal: Some(true) }).await
    }

    /// Verifies everybody and seals.
    pub(crate) fn seal(&self, world: &World, message: MessageId, text: &str, recipients: &Recipients) -> Envelope {
        let now_ms = world.now_ms();
        let sealed_to: Vec<_> = recipients
            .users
            .iter()
            .flat_map(|user| {
                let list = verify_devices(&user.identity, &user.devices).unwrap();
                assert_eq!(list.address(), &user.address);
                user.prekeys.iter().map(move |prekey| {
                    let device = list.device(prekey.header.unverified().unwrap().device).unwrap();
                    device.with_prekey(prekey, now_ms).unwrap()
                })
            })
            .collect();
        let sender = Sender {
            address: &self.address,
            device: self.id,
            key: &self.key,
            identity: &self.identity,
            certificate: &self.certificate,
        };
        let sealed = seal(&mut SystemRng, &sender, message, text.as_bytes(), &sealed_to).unwrap();
        Envelope { header: encode(&sealed.header), body: sealed.body, wraps: sealed.wraps, expires_in_s: None }
    }

    pub(crate) async fn envelope(&self, world: &World, text: &str, to: &[&Address]) -> Envelope {
        self.seal(world, MessageId::generate(&mut SystemRng), text, &self.recipients(to).await)
    }

    pub(crate) async fn post(&self, envelope: &Envelope) -> Answer {
        self.http.post("/v1/envelopes", envelope).await
    }

    /// Seals and posts.
    pub(crate) async fn send(&self, world: &World, text: &str, to: &[&Address]) -> Envelope {
        let envelope = self.envelope(world, text, to).await;
        let _: sotto_wire::api::Accepted = self.post(&envelope).await.ok();
        envelope
    }

    pub(crate) async fn socket(&self, world: &World) -> Socket {
        Socket::open(world.public_address(), &self.http).await.expect("a socket")
    }

    /// Opens what was delivered.
    pub(crate) fn open(&self, delivery: &Delivery) -> String {
        self.open_sealed(&delivery.header, &delivery.body, delivery.prekey, &delivery.key)
    }

    /// Opens a signal.
    pub(crate) fn open_signal(&self, signal: &Signal) -> String {
        self.open_sealed(&signal.header, &signal.body, signal.prekey, &signal.key)
    }

    fn open_sealed(&self, header: &[u8], body: &[u8], prekey: PrekeyRef, key: &WrappedKey) -> String {
        let header: SealedHeader = decode_strict(header).unwrap();
        let secret = &self.secrets[&(prekey.batch, prekey.index)];
        let opened = open(&header, body, (&self.address, self.id), prekey, secret, key).unwrap();
        String::from_utf8(opened.content.to_vec()).unwrap()
    }
}
