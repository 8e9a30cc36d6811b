//! A message to very many devices.

use std::collections::BTreeSet;

use sotto_crypto::Address;
use sotto_wire::ErrorCode;
use sotto_wire::api::Accepted;
use sotto_wire::limits::MAX_RECIPIENT_ADDRESSES;

use crate::common::World;
use crate::common::person::{Device, Person};

const USERS: usize = MAX_RECIPIENT_ADDRESSES;
const DEVICES: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_a_thousand_devices_is_one_request() {
    let world = World::new().await;
    let sender = Person::ready(&world, "sender").await;
    let mut devices: Vec<Device> = Vec::with_capacity(USERS * DEVICES);
    for n in 0..USERS {
        let person = Person::join(&world, &format!("somebody-with-a-long-name-{n}")).await;
        for _ in 0..DEVICES {
            devices.push(person.device(&world, 1).await);
        }
    }
    let mut to: Vec<&Address> = devices.iter().map(|device| &device.address).collect();
    to.dedup();
    assert_eq!(to.len(), USERS);
    let begun = std::time::Instant::now();
    let envelope = sender.envelope(&world, &"x".repeat(64 * 1024), &to).await;
    assert_eq!(envelope.wraps.len(), USERS * DEVICES);
    let _: Accepted = sender.post(&envelope).await.ok();
    println!("{} devices: {:?}", USERS * DEVICES, begun.elapsed());

    let mut places = BTreeSet::new();
    for device in &devices {
        let mut socket = device.socket(&world).await;
        let delivery = socket.delivery().await;
        assert_eq!(device.open(&delivery).len(), 64 * 1024);
        socket.caught_up().await;
        assert!(places.insert(delivery.seq), "a place of its own");
        socket.ack(&[delivery.seq]).await;
    }
    // One more address than allowed is said, not cut off.
    let one_more = world.address("one-more");
    to.push(&one_more);
    let addresses = to.into_iter().cloned().collect();
    let ask = sotto_wire::api::FetchRecipients { addresses, signal: None };
    let said = sender.http.post("/v1/recipients", &ask).await.refused(ErrorCode::Invalid);
    assert!(said.contains("501") && said.contains("500"), "{said}");
}
