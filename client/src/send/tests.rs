//! A message whose first answer did not come, and that is refused before it goes again.

use std::time::Duration;

use sotto_crypto::{IdentityKey, SystemRng};
use sotto_wire::content::MessageRef;

use crate::common::{Network, address};
use crate::store::{Change, Pin, SeenIn};
use crate::{Client, DeliveryState, Draft, Error, MessageView, Target, TrustError, ViewBody};

async fn view(client: &Client, key: &MessageRef) -> MessageView {
    client.conversations().message(key).await.unwrap().unwrap()
}

/// The relay may have it: it was posted, and no answer came.
async fn posted_without_an_answer(client: &Client, key: &MessageRef) {
    let (sending, named) = (client.outbox().sending.clone(), key.clone());
    let entry = sending.store.run(move |tx| tx.outbox_entry(&named)).await.unwrap();
    let mut entry = entry.unwrap();
    let posted = zeroize::Zeroizing::new(entry.content.clone());
    assert!(sending.mark_uncertain(&mut entry, Some(&posted)).await.unwrap());
}

/// Bob is verified, and has shown another identity since.
async fn bob_changes(client: &Client) {
    client.contacts().look_up(&address("bob")).await.unwrap();
    client
        .trust
        .store
        .run(|tx| {
            let pin: Pin = tx.get(&Pin::key_of(&address("bob")))?.unwrap();
            let other = IdentityKey::generate(&mut SystemRng).verifying_key();
            let change = Some(Change { other, since_ms: 1, seen_in: SeenIn::Lookup, established: None });
            tx.put(&Pin { verified: true, change, ..pin })
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_may_have_gone_out_nobody_says_that_it_did_not() {
    let network = Network::start(false).await;
    let (alice, _bob) = (network.member("alice").await, network.member("bob").await);
    let to = || Target::People(vec![address("bob")]);
    let said = alice.outbox().post(to(), Draft::text("first")).await.unwrap();
    assert_eq!(alice.outbox().flush(Duration::from_mins(1)).await.unwrap().sent, 1);
    let maybe = alice.outbox().post(to(), Draft::text("maybe")).await.unwrap();
    let edit = alice.outbox().edit(&said, "first, maybe".into()).await.unwrap();
    let surely_not = alice.outbox().post(to(), Draft::text("surely not")).await.unwrap();
    for key in [&maybe, &edit] {
        posted_without_an_answer(&alice, key).await;
    }
    assert_eq!(view(&alice, &maybe).await.state, DeliveryState::Sending);
    bob_changes(&alice).await;

    // Who waits for it is told, by whichever process it was refused.
    let sending = alice.outbox().sending.clone();
    sending.expect(&maybe);
    let told = sending.settle(&maybe).await.err().unwrap();
    let Error::Uncertain { message, source } = &told else { panic!("{told}") };
    assert_eq!(*message, maybe.message);
    assert!(matches!(source.as_ref(), Error::Trust(TrustError::IdentityChanged(_))), "{source}");
    assert!(!told.is_retryable());
    let later = sending.settle(&maybe).await.err().unwrap();
    assert!(matches!(later, Error::Uncertain { .. }), "{later}");

    assert_eq!(alice.outbox().flush(Duration::from_mins(1)).await.unwrap().left, 0);
    let shown = view(&alice, &maybe).await;
    assert_eq!(shown.state, DeliveryState::Uncertain);
    assert!(shown.reason.unwrap().contains("bob@"), "and why it does not go again");
    assert_eq!(view(&alice, &surely_not).await.state, DeliveryState::Refused);
    let edited = view(&alice, &said).await.body;
    assert!(matches!(&edited, ViewBody::Text(text) if text == "first, maybe"), "others may see it so");
}
