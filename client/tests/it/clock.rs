//! Clocks that are apart: said, and nothing else depends on what a relay says of the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sotto_client::{Client, Draft, Error, Event, Target, TrustError, Unlock, WrongClock, now_ms};
use sotto_relay::Clock;

use crate::common::{Network, address, drain, next, text};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// A clock that is so much ahead (milliseconds).
#[derive(Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now_ms(&self) -> u64 {
        now_ms().saturating_add_signed(self.0.load(Ordering::SeqCst))
    }
}

/// With people who have joined before the relay's clock was so much ahead.
async fn network(ahead: i64) -> (Network, Client, Client) {
    let clock = Arc::new(Ahead::default());
    let network = Network::start_at(false, clock.clone()).await;
    drop((network.member("alice").await, network.member("bob").await));
    clock.0.store(ahead, Ordering::SeqCst);
    let open = |name| Client::open(network.profile(name), Unlock::KeyFile);
    let (alice, bob) = (open("alice").await.unwrap(), open("bob").await.unwrap());
    (network, alice, bob)
}

async fn told(client: &Client) -> Option<WrongClock> {
    let mut receiver = client.receive(false).unwrap();
    let mut told = None;
    loop {
        match next(&mut receiver).await {
            Event::WrongClock(clock) => told = Some(clock),
            Event::CaughtUp => break,
            _ => {}
        }
    }
    receiver.close().await;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_by_more_than_five_minutes_is_named() {
    for (ahead, wrong) in [(0, None), (4 * MINUTE, None), (7 * MINUTE, Some(false)), (-7 * MINUTE, Some(true))] {
        let (_network, alice, bob) = network(ahead).await;
        alice.outbox().send_text(&[address("bob")], "hello").await.unwrap();
        for clock in [alice.wrong_clock(), told(&bob).await] {
            assert_eq!(clock.map(|clock| clock.ahead), wrong, "{ahead}");
            assert!(clock.is_none_or(|clock| (390_000..=430_000).contains(&clock.by_ms)), "{clock:?}");
        }
        // Nothing else comes of it.
        assert_eq!(drain(&bob).await.iter().map(text).collect::<Vec<_>>(), ["hello"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_lies_about_the_time_ends_no_message() {
    for ahead in [-10 * DAY, 10 * DAY] {
        let (_network, alice, bob) = network(ahead).await;
        let to = Target::People(vec![address("bob")]);
        alice.outbox().send(to, Draft::text("for an hour").expires_in(Duration::from_hours(1))).await.unwrap();
        let messages = drain(&bob).await;
        assert_eq!(messages.iter().map(text).collect::<Vec<_>>(), ["for an hour"], "{ahead}");
        let left = messages[0].expires_at_ms.unwrap() - now_ms();
        assert!((3_500_000..=3_600_000).contains(&left), "{left}: by its sender's clock");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_a_wrong_clock_says_so() {
    // The relay is three weeks ahead: it hands out the medium-term prekey of a week that has not begun here.
    let (_network, alice, _bob) = network(21 * DAY).await;
    let failed = loop {
        match alice.outbox().send_text(&[address("bob")], "hello").await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let Error::WrongClock { clock, source } = &failed else { panic!("{failed}") };
    assert!(matches!(**source, Error::Trust(TrustError::PrekeyTime { expired: false, .. })), "{failed}");
    assert!(
        !clock.ahead && failed.to_string().ends_with("the clock of this machine is 21 days behind the relay's"),
        "{failed}"
    );
}
