//! Single decisions.

use std::time::Duration;

use super::super::elector::{Answer, Elector, Loss, Next, Record, Request, Stored};
use super::super::options::Timing;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn lease(version: u32, holder: &str) -> Stored {
    Stored { version: version.to_string(), record: Record { holder: holder.into(), duration: s(15), transitions: 4 } }
}

fn elector() -> Elector {
    Elector::new("me".into(), Timing::default())
}

/// Asks at `at` what is to be asked, and gives this answer a moment later.
fn exchange(elector: &mut Elector, at: Duration, answer: Answer) -> Request {
    let Next::Ask(request) = elector.next(at) else { panic!("nothing to ask: {elector:?}") };
    elector.answered(&request, answer, at, at + Duration::from_millis(10), 1.0);
    request
}

fn leader() -> Elector {
    let mut elector = elector();
    exchange(&mut elector, s(0), Answer::Missing);
    exchange(&mut elector, s(1), Answer::Is(lease(1, "me")));
    assert_eq!(elector.leads_until(), Some(s(11)));
    elector
}

#[test]
fn a_lease_that_is_not_there_is_made() {
    let mut elector = elector();
    assert_eq!(exchange(&mut elector, s(0), Answer::Missing), Request::Read);
    let made = exchange(&mut elector, s(1), Answer::Is(lease(1, "me")));
    assert_eq!(made, Request::Create(Record { holder: "me".into(), duration: s(15), transitions: 0 }));
    // Counted from when it was sent, and renewed two seconds later without reading.
    assert_eq!(elector.leads_until(), Some(s(11)));
    assert_eq!(elector.next(s(2)), Next::Wait(s(3)));
    let renewal = exchange(&mut elector, s(3), Answer::Is(lease(2, "me")));
    assert!(matches!(renewal, Request::Replace(version, record) if version == "1" && record.transitions == 4));
    assert_eq!(elector.leads_until(), Some(s(13)));
}

#[test]
fn a_standby_waits_as_long_as_the_lease_changes() {
    let mut elector = elector();
    exchange(&mut elector, s(0), Answer::Is(lease(1, "other")));
    assert!(elector.leads_until().is_none() && elector.holder() == Some("other"));
    // Renewed at 10: what was seen at 0 counts no more.
    exchange(&mut elector, s(10), Answer::Is(lease(2, "other")));
    exchange(&mut elector, s(15), Answer::Is(lease(2, "other")));
    exchange(&mut elector, s(24), Answer::Is(lease(2, "other")));
    assert_eq!(elector.next(s(25)), Next::Wait(s(10) + s(15) + Duration::from_millis(10)));
    let taken = exchange(&mut elector, s(26), Answer::Is(lease(3, "me")));
    assert_eq!(taken, Request::Replace("2".into(), Record { holder: "me".into(), duration: s(15), transitions: 5 }));
}

#[test]
fn a_holder_with_a_longer_lease_is_waited_for() {
    let mut elector = elector();
    let mut long = lease(1, "other");
    long.record.duration = s(60);
    exchange(&mut elector, s(0), Answer::Is(long.clone()));
    exchange(&mut elector, s(50), Answer::Is(long));
    assert_eq!(elector.next(s(59)), Next::Ask(Request::Read));
    assert!(matches!(elector.next(s(61)), Next::Ask(Request::Replace(..))));
}

#[test]
fn a_lease_that_was_given_back_is_taken_at_once() {
    let mut elector = elector();
    exchange(&mut elector, s(0), Answer::Is(lease(1, "other")));
    exchange(&mut elector, s(3), Answer::Is(lease(2, "")));
    assert!(matches!(elector.next(s(4)), Next::Ask(Request::Replace(version, _)) if version == "2"));
}

#[test]
fn a_held_lease_that_somebody_deleted_is_waited_for_as_well() {
    let mut elector = elector();
    exchange(&mut elector, s(0), Answer::Is(lease(1, "other")));
    exchange(&mut elector, s(3), Answer::Missing);
    exchange(&mut elector, s(6), Answer::Missing);
    assert!(matches!(elector.next(s(14)), Next::Ask(Request::Read)));
    let mut later = elector;
    exchange(&mut later, s(14), Answer::Missing);
    assert!(matches!(later.next(s(16)), Next::Ask(Request::Create(_))));
    // The leader itself makes it again at once.
    let mut leader = leader();
    assert!(matches!(exchange(&mut leader, s(3), Answer::Missing), Request::Replace(..)));
    assert_eq!(exchange(&mut leader, s(4), Answer::Missing), Request::Read);
    assert!(matches!(leader.next(s(5)), Next::Ask(Request::Create(_))));
}

#[test]
fn who_loses_the_race_reads_again() {
    let mut elector = elector();
    exchange(&mut elector, s(0), Answer::Missing);
    exchange(&mut elector, s(1), Answer::Conflict);
    assert_eq!(elector.leads_until(), None);
    assert_eq!(exchange(&mut elector, s(4), Answer::Is(lease(1, "other"))), Request::Read);
    assert!(matches!(elector.next(s(5)), Next::Wait(_)));
}

#[test]
fn a_write_without_an_answer_makes_no_leader() {
    let mut elector = elector();
    exchange(&mut elector, s(0), Answer::Missing);
    exchange(&mut elector, s(1), Answer::Failed);
    assert_eq!(elector.leads_until(), None);
    // It had been done: only the next, confirmed one counts, from when that was sent.
    exchange(&mut elector, s(6), Answer::Is(lease(1, "me")));
    assert_eq!(elector.leads_until(), None);
    exchange(&mut elector, s(8), Answer::Is(lease(2, "me")));
    assert_eq!(elector.leads_until(), Some(s(18)));
}

#[test]
fn a_leader_that_cannot_renew_in_time_is_none_for_good() {
    let mut elector = leader();
    exchange(&mut elector, s(3), Answer::Failed);
    exchange(&mut elector, s(6), Answer::Failed);
    assert_eq!(elector.next(s(11)), Next::Lost(Loss::Deadline));
    assert_eq!(elector.leads_until(), None);
    assert_eq!(elector.next(s(12)), Next::Lost(Loss::Deadline));
}

#[test]
fn a_leader_that_slept_too_long_is_none_whatever_the_answer() {
    let mut elector = leader();
    let Next::Ask(request) = elector.next(s(3)) else { panic!() };
    // The answer was there long ago; it was asleep.
    elector.answered(&request, Answer::Is(lease(2, "me")), s(3), s(60), 0.5);
    assert_eq!(elector.next(s(60)), Next::Lost(Loss::Deadline));
}

#[test]
fn a_leader_that_sees_another_ends_at_once() {
    let mut elector = leader();
    exchange(&mut elector, s(3), Answer::Conflict);
    assert_eq!(exchange(&mut elector, s(4), Answer::Is(lease(7, "other"))), Request::Read);
    assert_eq!(elector.leads_until(), None);
    assert_eq!(elector.next(s(4)), Next::Lost(Loss::Taken));
}

#[test]
fn leadership_is_given_back_only_by_one_who_knows_the_newest_version() {
    let mut good = leader();
    let Some(Request::Replace(version, record)) = good.release() else { panic!() };
    assert_eq!((version.as_str(), record.holder.as_str(), record.transitions), ("1", "", 4));
    assert_eq!(good.leads_until(), None);
    assert_eq!(elector().release(), None);
    let mut unsure = leader();
    exchange(&mut unsure, s(3), Answer::Failed);
    assert_eq!(unsure.release(), None);
    assert_eq!(unsure.leads_until(), None);
}
