//! One value of every binary message, with its decoder. Shared with the fuzz targets (`fuzz/`).

use std::sync::LazyLock;

use sotto_crypto::{
    Address, BatchId, BlobId, DeviceCertificate, DeviceId, DeviceKey, DeviceList, Domain, Identity, IdentityKey,
    InviteKey, ListedDevice, MessageId, PolicyKey, PrekeyKind, PrekeyRef, RetentionCertificate, Sender, Signed,
    SigningKey, SystemRng, Voucher, decode_strict, encode, generate_prekeys, seal, verify_device,
};
use sotto_wire::api::*;
use sotto_wire::content::{
    Body, Content, Conversation, File, FileKind, Forwarded, Link, MessageRef, Presence, ReceiptKind,
};
use sotto_wire::gateway::{PeerEnvelope, PeerIdentities, PeerRecipients};
use sotto_wire::policy::{
    Established, FederationRule, GroupDocument, GroupFederation, MembershipDocument, NetworkDocument, OpenInvite,
    PasswordRule, PeerRule, ReadReceipts, RetentionRule, Scope,
};
use sotto_wire::room::{Created, EventId, RoomChange, RoomEvent, RoomId, SignedRoomEvent};

/// One sample of a type: its bytes, and its decoder as "bytes in, canonical bytes out".
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) again: fn(&[u8]) -> Option<Vec<u8>>,
}

macro_rules! samples {
    ($($type:ty = $value:expr),* $(,)?) => {
        vec![$(Sample {
            name: stringify!($type),
            bytes: encode::<$type>(&$value),
            again: |bytes| decode_strict::<$type>(bytes).ok().map(|value| encode(&value)),
        }),*]
    };
}

/// Samples of every type.
pub(crate) static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let rng = &mut SystemRng;
    let alice = Address::parse("alice@chat.acme.example").unwrap();
    let bob = Address::parse("bob@chat.globex.example").unwrap();
    let domain = Domain::parse("chat.acme.example").unwrap();
    let policy = PolicyKey::generate(rng);
    let identity: IdentityKey = SigningKey::<Identity>::generate(rng);
    let key = DeviceKey::generate(rng);
    let device = DeviceId::generate(rng);
    let certificate = Signed::sign(&DeviceCertificate::new(alice.clone(), device, key.verifying_key(), 1), &identity);
    let listed = ListedDevice { device, key: key.verifying_key(), since_ms: 1 };
    let list = Signed::sign(&DeviceList::new(alice.clone(), 2, 3, vec![listed]), &identity);
    let (batch, _) = generate_prekeys(rng, &key, device, PrekeyKind::OneTime, 5, 1, 2_000);
    let (medium, _) = generate_prekeys(rng, &key, device, PrekeyKind::MediumTerm, 1, 1, 2_000);
    let prekey = batch.prekey(3).unwrap();
    let verified = verify_device(&identity.verifying_key(), &certificate).unwrap();
    let public = identity.verifying_key();
    let sender = Sender { address: &alice, device, key: &key, identity: &public, certificate: &certificate };
    let message = MessageId::generate(rng);
    let sealed = seal(rng, &sender, message, b"hello", &[verified.with_prekey(&prekey, 5).unwrap()]).unwrap();
    let retention = Signed::sign(
        &RetentionCertificate {
            version: 1,
            suite: 1,
            network: domain.clone(),
            address: alice.clone(),
            identity: identity.verifying_key(),
            issued_at_ms: 1,
            expires_at_ms: 2,
        },
        &policy,
    );
    let network = Signed::sign(
        &NetworkDocument {
            version: 1,
            domain: domain.clone(),
            serial: 7,
            display_name: "Acme".into(),
            retention: vec![
                RetentionRule {
                    policy: "all".into(),
                    address: alice.clone(),
                    certificate: retention.clone(),
                    scope: Scope::AllUsers,
                    enabled: true,
                },
                RetentionRule {
                    policy: "some".into(),
                    address: alice.clone(),
                    certificate: retention,
                    scope: Scope::Groups(vec!["traders".into()]),
                    enabled: false,
                },
            ],
            federation: FederationRule {
                enabled: true,
                peers: vec![PeerRule { domain: bob.domain(), policy_key: policy.verifying_key().fingerprint() }],
            },
            read_receipts: ReadReceipts::ForceEnabled,
        },
        &policy,
    );
    let group = Signed::sign(
        &GroupDocument {
            version: 1,
            domain: domain.clone(),
            serial: 7,
            name: "staff".into(),
            lockout_threshold: 10,
            force_device_lockout: 5,
            password: PasswordRule { min_length: 8, lowercase: 1, uppercase: 1, numbers: 1, symbols: 0 },
            max_expiry_seconds: 86_400,
            max_burn_seconds: 0,
            federation: GroupFederation::Restricted(vec![bob.domain()]),
            files_enabled: true,
            file_download_enabled: true,
            forwarding_enabled: false,
            presence_enabled: true,
            device_approval: false,
            quick_responses: vec!["On my way".into()],
        },
        &policy,
    );
    let invite = InviteKey::generate(rng);
    let voucher = Signed::sign(&Voucher::new(bob.clone(), identity.verifying_key()), &invite);
    let member = MembershipDocument {
        version: 1,
        serial: 8,
        address: bob.clone(),
        group: "staff".into(),
        identity: Some(Established { invited_at_ms: 4, identity: identity.verifying_key().fingerprint() }),
        invite: Some(OpenInvite { invited_at_ms: 9, key: invite.verifying_key() }),
        devices_from_ms: 0,
        name: Some("Bob Baker".into()),
    };
    let membership = Signed::sign(&member, &policy);
    let info = NetworkInfo { policy_key: policy.verifying_key(), document: network.clone() };
    let envelope = Envelope {
        header: encode(&sealed.header),
        body: sealed.body.clone(),
        wraps: sealed.wraps.clone(),
        expires_in_s: Some(60),
    };
    let recipients = Recipients {
        users: vec![RecipientUser {
            address: bob.clone(),
            identity: identity.verifying_key(),
            role: RecipientRole::Retention,
            devices: list.clone(),
            prekeys: vec![prekey],
            membership: Some(membership.clone()),
            voucher: Some(voucher.clone()),
        }],
        networks: vec![info.clone()],
    };
    let content = |conversation, body| Content {
        expires_in_s: Some(3_600),
        ..Content::new(conversation, 1_700_000_000_000, body)
    };
    let target = MessageRef { sender: alice.clone(), device, message };
    let event = |room, parents, change| RoomEvent {
        version: 1,
        room,
        parents,
        author: alice.clone(),
        device,
        at_ms: 1_700_000_000_000,
        change,
    };
    let created = RoomChange::Create(Created {
        nonce: [9; 16],
        title: "Plans".into(),
        members: vec![bob.clone()],
        moderators: vec![bob.clone()],
        expires_in_s: Some(86_400),
        burn_after_read_s: None,
    });
    let room = RoomId::from_bytes([6; 32]);
    let parent = EventId::from_bytes([6; 32]);
    let signed_event = SignedRoomEvent {
        event: Signed::sign(&event(None, vec![], created.clone()), &key),
        certificate: certificate.clone(),
        identity: identity.verifying_key(),
    };
    let in_room = |body| Content { heads: Some(vec![parent]), ..content(Conversation::Room(room), body) };
    let voice = File {
        name: "note.ogg".into(),
        size: 4_000,
        media_type: "audio/ogg".into(),
        domain: domain.clone(),
        blob: BlobId::generate(rng),
        key: [5; 32],
        digest: [6; 32],
        caption: None,
        kind: Some(FileKind::Voice),
        duration_ms: Some(4_200),
        preview: Some(vec![0xff, 0xd8]),
    };
    let file = File {
        name: "plan.pdf".into(),
        size: 12,
        media_type: "application/pdf".into(),
        domain,
        blob: BlobId::generate(rng),
        key: [3; 32],
        digest: [4; 32],
        caption: None,
        kind: None,
        duration_ms: None,
        preview: None,
    };
    samples![
        NetworkInfo = info.clone(),
        RegisterStart = RegisterStart { address: alice.clone(), invite: "abcd".into(), request: vec![1; 32] },
        RegisterStarted =
            RegisterStarted { response: vec![1; 64], group: group.clone(), membership: membership.clone() },
        RegisterFinish = RegisterFinish {
            address: alice.clone(),
            invite: "abcd".into(),
            record: vec![2; 192],
            identity: identity.verifying_key(),
            vault: Some(vec![3; 98]),
            voucher: Some(voucher.clone()),
        },
        Voucher = Voucher::new(bob.clone(), identity.verifying_key()),
        LoginStart = LoginStart { address: alice.clone(), request: vec![3; 96] },
        LoginStarted = LoginStarted { attempt: vec![4; 16], response: vec![5; 320] },
        LoginFinish = LoginFinish { attempt: vec![4; 16], finalization: vec![6; 64] },
        LoggedIn = LoggedIn {
            token: "t".into(),
            identity: identity.verifying_key(),
            password_vault: None,
            recovery_vault: Some(vec![3; 98])
        },
        RegisterDevice = RegisterDevice {
            device,
            list: list.clone(),
            label: "laptop".into(),
            one_time: batch.clone(),
            medium_term: medium,
            before: Some(1),
        },
        SessionChallenge = SessionChallenge { address: alice.clone(), device },
        Challenge = Challenge { challenge: vec![7; 60] },
        OpenSession = OpenSession { challenge: vec![7; 60], signature: key.sign(SESSION_LABEL, &[7; 60]) },
        Session = Session { token: "t".into(), expires_at_ms: 9, now_ms: 8 },
        PolicyAnswer = PolicyAnswer { network, group: group.clone(), membership: membership.clone() },
        OwnDevices = OwnDevices {
            list: Some(list.clone()),
            devices: vec![DeviceEntry { device, label: "laptop".into(), last_seen_ms: None }],
            membership: membership.clone(),
        },
        PutDevices = PutDevices { list, before: None },
        PrekeyCount =
            PrekeyCount { one_time: 5, batches: vec![BatchLeft::new(BatchId::from_bytes([1; 16]), [0, 9, 63])] },
        UploadPrekeys = UploadPrekeys { batches: vec![batch], replace: true },
        FetchIdentities = FetchIdentities { addresses: vec![alice.clone(), bob.clone()] },
        Identities = Identities {
            identities: vec![FoundIdentity {
                address: bob.clone(),
                identity: identity.verifying_key(),
                membership: Some(membership.clone()),
                voucher: Some(voucher),
            }],
            networks: vec![info.clone()],
        },
        FetchRecipients = FetchRecipients { addresses: vec![bob.clone()], signal: None },
        Recipients = recipients,
        Envelope = envelope.clone(),
        PeerEnvelope = PeerEnvelope { envelope: envelope.clone() },
        PeerRecipients = PeerRecipients { from: alice.clone(), addresses: vec![bob.clone()] },
        PeerIdentities = PeerIdentities { from: alice.clone(), addresses: vec![bob.clone()] },
        Accepted = Accepted { accepted_at_ms: 5 },
        BlobStored = BlobStored { blob: BlobId::generate(rng) },
        ServerFrame = ServerFrame::Delivery(Delivery {
            seq: 1,
            header: envelope.header.clone(),
            body: envelope.body.clone(),
            prekey: PrekeyRef { batch: BatchId::generate(rng), index: 3 },
            key: envelope.wraps[0].key.clone(),
            accepted_at_ms: 1,
            expires_at_ms: 2,
        }),
        ServerFrame = ServerFrame::Notice(Notice {
            seq: 2,
            message: MessageId::generate(rng),
            domain: bob.domain(),
            code: "federation_denied".into(),
            reason: "…".into()
        }),
        ServerFrame = ServerFrame::CaughtUp,
        ClientFrame = ClientFrame::Ack(vec![1, 2, 300_000]),
        Content = content(Conversation::of([alice.clone(), bob.clone()]).unwrap(), Body::Text("hello".into())),
        MembershipDocument = member,
        PutVault = PutVault { kind: VaultKind::Recovery, vault: Some(vec![1; 98]) },
        PutVault = PutVault { kind: VaultKind::Password, vault: None },
        PasswordStart = PasswordStart { request: vec![1; 32] },
        PasswordStarted = PasswordStarted { response: vec![1; 64], group },
        PasswordFinish = PasswordFinish { record: vec![2; 192], vault: Some(vec![3; 98]) },
        FetchRecipients = FetchRecipients { addresses: vec![], signal: Some(true) },
        ServerFrame = ServerFrame::Signal(Signal {
            header: envelope.header.clone(),
            body: envelope.body.clone(),
            prekey: PrekeyRef { batch: BatchId::generate(rng), index: 0 },
            key: envelope.wraps[0].key.clone(),
            accepted_at_ms: 1,
        }),
        RoomEvent = event(None, vec![], created),
        RoomEvent = event(Some(room), vec![parent], RoomChange::Add(vec![bob.clone()])),
        RoomEvent = event(Some(room), vec![parent], RoomChange::Remove(vec![bob.clone()])),
        RoomEvent = event(Some(room), vec![parent], RoomChange::Leave),
        RoomEvent = event(Some(room), vec![parent], RoomChange::Moderator(bob.clone(), true)),
        RoomEvent = event(Some(room), vec![parent], RoomChange::Title("New plans".into())),
        RoomEvent = event(Some(room), vec![parent], RoomChange::Description("What we do".into())),
        RoomEvent = event(Some(room), vec![parent], RoomChange::Expiry(Some(60))),
        RoomEvent = event(Some(room), vec![parent], RoomChange::Burn(None)),
        RoomEvent = event(Some(room), vec![parent], RoomChange::Close),
        Content = in_room(Body::Room(vec![signed_event])),
        Content = in_room(Body::RoomAsk(vec![parent])),
        Content = in_room(Body::Edit(target.clone(), "better words".into())),
        Content = in_room(Body::Delete(target.clone())),
        Content = in_room(Body::React(target.clone(), "👍".into(), true)),
        Content = in_room(Body::Receipt(ReceiptKind::Read, vec![target.clone()])),
        Content = in_room(Body::Pin(target.clone(), false)),
        Content = content(
            Conversation::of([alice.clone(), bob.clone()]).unwrap(),
            Body::Resend("ab".into(), device, vec![3, 4])
        ),
        Content = content(Conversation::of([alice.clone(), bob.clone()]).unwrap(), Body::Again(message, vec![1, 2])),
        Content =
            content(Conversation::of([alice.clone(), bob.clone()]).unwrap(), Body::Gone("ab".into(), vec![3], vec![])),
        Content = content(
            Conversation::of([alice.clone(), bob.clone()]).unwrap(),
            Body::ResendById(device, vec![message, MessageId::from_bytes([9; 16])])
        ),
        Content = content(
            Conversation::of([alice.clone(), bob.clone()]).unwrap(),
            Body::GoneById(vec![message], vec![MessageId::from_bytes([9; 16])])
        ),
        Content = in_room(Body::Head(Link { index: 8, since: 3, previous: [8; 32] })),
        Content = in_room(Body::Typing(true)),
        Content = in_room(Body::Presence(Presence::Away)),
        Content = in_room(Body::File(voice)),
        Content = Content {
            link: Some(Link { index: 7, since: 3, previous: [8; 32] }),
            ..content(Conversation::of([alice.clone(), bob.clone()]).unwrap(), Body::Text("the eighth".into()))
        },
        Content = Content {
            reply_to: Some(target),
            mentions: Some(vec![bob.clone()]),
            forwarded: Some(Forwarded { from: bob.clone(), sent_at_ms: 1 }),
            ..content(Conversation::of([alice.clone(), bob.clone()]).unwrap(), Body::Text("@bob hello".into()))
        },
        Content = content(
            Conversation::of([alice, bob, Address::parse("carol@chat.acme.example").unwrap()]).unwrap(),
            Body::File(file)
        ),
    ]
});
