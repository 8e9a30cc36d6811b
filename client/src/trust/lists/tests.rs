use sotto_crypto::{DeviceKey, IdentityKey, SystemRng, verify_devices};

use super::*;

const NOW: u64 = 1_800_000_000_000;
const HOUR: u64 = 3_600_000;

/// A user with devices, of whom the last looks.
struct World {
    identity: IdentityKey,
    address: Address,
    devices: Vec<ListedDevice>,
}

type Shown = (Signed<DeviceList>, VerifiedDevices);

impl World {
    fn new(count: usize) -> Self {
        let rng = &mut SystemRng;
        let listed = |_| ListedDevice {
            device: DeviceId::generate(&mut SystemRng),
            key: DeviceKey::generate(&mut SystemRng).verifying_key(),
            since_ms: 1,
        };
        let address = Address::parse("ann@x.example").unwrap();
        Self { identity: IdentityKey::generate(rng), address, devices: (0..count).map(listed).collect() }
    }

    fn fingerprint(&self) -> Fingerprint {
        self.identity.verifying_key().fingerprint()
    }

    fn shown(&self, serial: u64, devices: &[usize]) -> Shown {
        let devices = devices.iter().map(|place| self.devices[*place].clone()).collect();
        let list = DeviceList::new(self.address.clone(), serial, serial + LIFE_MS, devices);
        let signed = Signed::sign(&list, &self.identity);
        let verified = verify_devices(&self.identity.verifying_key(), &signed).unwrap();
        (signed, verified)
    }

    fn judge(&self, shown: &Shown, known: Option<&ListRecord>) -> Result<ListRecord, ListProblem> {
        judge(self.fingerprint(), &shown.0, &shown.1, known, 0, NOW)
    }

    /// What is known of the own devices after these lists, one after the other.
    fn seen(&self, lists: &[Shown]) -> ListRecord {
        let seen = lists.iter().fold(None, |known, shown| {
            let record = self.judge(shown, known.as_ref()).unwrap();
            Some(ListRecord { own: Some(shown.0.clone()), ..record })
        });
        seen.unwrap()
    }

    fn own(&self, shown: Option<&Shown>, known: Option<&ListRecord>, from_ms: u64) -> Own {
        let me = self.devices.last().unwrap();
        let looking = Looking { identity: self.fingerprint(), me, from_ms, now_ms: NOW };
        own(&looking, shown.map(|(signed, list)| (signed, list)), known)
    }

    fn id(&self, place: usize) -> DeviceId {
        self.devices[place].device
    }

    /// Which devices the relay is to have.
    fn put(&self, own: Own) -> (Vec<usize>, u64, Vec<(DeviceId, DeviceChange)>) {
        let Own::Put(devices, above, news) = own else { panic!("{own:?}") };
        let place = |listed: &ListedDevice| self.devices.iter().position(|one| one.device == listed.device).unwrap();
        let mut places: Vec<_> = devices.iter().map(place).collect();
        places.sort_unstable();
        (places, above, news)
    }
}

#[test]
fn a_list_that_is_older_than_one_seen_or_heard_of_does_not_count() {
    let world = World::new(3);
    let all = world.shown(NOW - 9, &[0, 1, 2]);
    let two = world.shown(NOW - 8, &[0, 2]);
    let known = world.seen(&[all.clone(), two.clone()]);
    assert_eq!(known.gone, [GoneDevice { device: world.id(1), at_ms: NOW - 8 }]);
    assert_eq!(world.judge(&two, Some(&known)).map(|same| same.serial), Ok(NOW - 8));
    assert_eq!(world.judge(&all, Some(&known)), Err(ListProblem::Older));
    assert_eq!(world.judge(&world.shown(NOW - 8, &[0, 1, 2]), Some(&known)), Err(ListProblem::Other));
    // A new device has made a newer one from the old one.
    assert_eq!(world.judge(&world.shown(NOW - 7, &[0, 1, 2]), Some(&known)), Err(ListProblem::PutBack));
    let heard = ListRecord { heard: NOW - 7, ..known.clone() };
    assert_eq!(world.judge(&two, Some(&heard)), Err(ListProblem::Older));
    assert!(world.judge(&world.shown(NOW - 7, &[0]), Some(&heard)).is_ok());
    // Somebody who has registered anew begins anew.
    let other = World { address: world.address.clone(), ..World::new(1) };
    assert_eq!(other.judge(&other.shown(NOW - 20, &[0]), Some(&known)).map(|record| record.gone.len()), Ok(0));
}

#[test]
fn a_list_counts_for_its_time_and_not_beyond_a_reset() {
    let world = World::new(1);
    let at = |shown: &Shown, from, now| judge(world.fingerprint(), &shown.0, &shown.1, None, from, now).map(|_| ());
    let list = world.shown(NOW, &[0]);
    assert_eq!(at(&list, 0, NOW + LIFE_MS - 1), Ok(()));
    assert_eq!(at(&list, 0, NOW + LIFE_MS), Err(ListProblem::Ended));
    assert_eq!(at(&list, 0, NOW - CLOCK_TOLERANCE_MS), Ok(()));
    assert_eq!(at(&list, 0, NOW - CLOCK_TOLERANCE_MS - 1), Err(ListProblem::Future));
    assert_eq!((at(&list, NOW, NOW), at(&list, NOW + 1, NOW)), (Ok(()), Err(ListProblem::Reset)));
    let ahead = world.shown(NOW + CLOCK_TOLERANCE_MS + 1, &[0]);
    assert_eq!((at(&ahead, 0, NOW), at(&ahead, NOW + CLOCK_TOLERANCE_MS, NOW)), (Err(ListProblem::Future), Ok(())));
}

#[test]
fn so_many_removed_devices_are_remembered_and_the_first_are_forgotten() {
    let world = World::new(GONE + 3);
    let windows: Vec<_> =
        (0..GONE + 2).map(|first| world.shown(NOW - 1000 + first as u64, &[first, first + 1])).collect();
    let known = world.seen(&windows);
    assert_eq!(known.gone.len(), GONE);
    assert!(known.gone_at_ms(world.id(0)).is_none() && known.gone_at_ms(world.id(1)).is_some());
    assert!(known.gone_at_ms(world.id(GONE)).is_some() && known.gone_at_ms(world.id(GONE + 1)).is_none());
}

#[test]
fn the_own_list_is_taken_over_and_what_is_new_is_told() {
    let world = World::new(3);
    let first = world.shown(NOW - 9, &[0, 2]);
    let Own::Counts(known, news) = world.own(Some(&first), None, 0) else { panic!("the first") };
    assert_eq!((known.own.as_ref(), news), (Some(&first.0), Vec::new()));
    let Own::Counts(same, news) = world.own(Some(&first), Some(&known), 0) else { panic!("the same") };
    assert_eq!((same, news), (known.clone(), Vec::new()));
    let more = world.shown(NOW - 8, &[0, 1, 2]);
    let Own::Counts(known, news) = world.own(Some(&more), Some(&known), 0) else { panic!("one more") };
    assert_eq!(news, [(world.id(1), DeviceChange::Added)]);
    let less = world.shown(NOW - 7, &[1, 2]);
    let Own::Counts(known, news) = world.own(Some(&less), Some(&known), 0) else { panic!("one less") };
    assert_eq!(news, [(world.id(0), DeviceChange::Removed)]);
    assert_eq!(world.own(Some(&world.shown(NOW - 6, &[1])), Some(&known), 0), Own::Removed);
}

#[test]
fn a_relay_that_shows_an_older_list_of_the_own_devices_is_put_right() {
    let world = World::new(3);
    let (all, two) = (world.shown(NOW - 9, &[0, 1, 2]), world.shown(NOW - 8, &[0, 2]));
    let known = world.seen(&[all.clone(), two]);
    let back = vec![(world.id(1), DeviceChange::PutRight)];
    assert_eq!(world.put(world.own(Some(&all), Some(&known), 0)), (vec![0, 2], NOW - 8, back.clone()));
    // From the old list, with which a relay has deceived a new device.
    let deceived = world.shown(NOW - 5, &[0, 1, 2]);
    assert_eq!(world.put(world.own(Some(&deceived), Some(&known), 0)), (vec![0, 2], NOW - 5, back));
    // A backup of before the third device: it stays one.
    let before = world.shown(NOW - 10, &[0]);
    let told = vec![(world.id(2), DeviceChange::PutRight)];
    assert_eq!(world.put(world.own(Some(&before), Some(&known), 0)), (vec![0, 2], NOW - 8, told.clone()));
    assert_eq!(world.put(world.own(None, Some(&known), 0)), (vec![0, 2], NOW - 8, told));
    // Two for one time: what is new in the other one stays.
    let world = World::new(4);
    let known = world.seen(&[world.shown(NOW - 8, &[0, 3])]);
    let (devices, above, news) = world.put(world.own(Some(&world.shown(NOW - 8, &[1, 3])), Some(&known), 0));
    assert_eq!((devices, above), (vec![0, 1, 3], NOW - 8));
    assert!(news.contains(&(world.id(1), DeviceChange::Added)));
}

#[test]
fn a_list_is_renewed_in_good_time_and_after_it() {
    let world = World::new(2);
    let old = world.shown(NOW - RENEW_MS, &[0, 1]);
    let known = world.seen(std::slice::from_ref(&old));
    assert_eq!(world.put(world.own(Some(&old), Some(&known), 0)), (vec![0, 1], NOW - RENEW_MS, Vec::new()));
    let ended = world.shown(NOW - LIFE_MS, &[0, 1]);
    for known in [None, Some(ListRecord { own: Some(ended.0.clone()), serial: NOW - LIFE_MS, ..known })] {
        let known = known.map(|known| ListRecord { digest: sotto_crypto::digest(ended.0.payload()), ..known });
        assert_eq!(world.put(world.own(Some(&ended), known.as_ref(), 0)), (vec![0, 1], NOW - LIFE_MS, Vec::new()));
    }
    let list = next_list(&world.address, world.devices.clone(), NOW + 5, NOW);
    assert_eq!((list.serial, list.expires_at_ms), (NOW + 6, NOW + LIFE_MS));
    assert_eq!(next_list(&world.address, world.devices.clone(), NOW - HOUR, NOW).serial, NOW);
}

#[test]
fn after_a_reset_no_device_of_before_counts() {
    let world = World::new(3);
    let before = world.shown(NOW - HOUR, &[0, 1]);
    // The new device is the last one; it is shown what was there before.
    assert_eq!(world.put(world.own(Some(&before), None, NOW - 9)), (vec![2], NOW - 9, Vec::new()));
    let known = world.seen(std::slice::from_ref(&before));
    assert_eq!(world.put(world.own(Some(&before), Some(&known), NOW - 9)).0, [2]);
}
