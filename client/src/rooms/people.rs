//! The people of a room by number: what is looked at thousands of times compares numbers, not addresses.

use std::collections::HashMap;

use sotto_crypto::Address;

/// Somebody, on this device and in this process: numbers depend on the order in which events come.
pub(crate) type Person = usize;

/// Everybody whom events name.
#[derive(Default)]
pub(super) struct People {
    numbers: HashMap<Address, Person>,
    addresses: Vec<Address>,
}

impl People {
    pub(super) fn find(&self, who: &Address) -> Option<Person> {
        self.numbers.get(who).copied()
    }

    pub(super) fn number(&mut self, who: &Address) -> Person {
        if let Some(number) = self.find(who) {
            return number;
        }
        let number = self.addresses.len();
        self.numbers.insert(who.clone(), number);
        self.addresses.push(who.clone());
        number
    }

    pub(super) fn address(&self, who: Person) -> Option<&Address> {
        self.addresses.get(who)
    }
}

/// Things of each person.
pub(super) struct PerPerson<T>(Vec<Vec<T>>);

impl<T> Default for PerPerson<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> PerPerson<T> {
    pub(super) fn of(&self, who: Person) -> &[T] {
        self.0.get(who).map_or(&[], Vec::as_slice)
    }

    pub(super) fn add(&mut self, who: Person, thing: T) {
        if self.0.len() <= who {
            self.0.resize_with(who + 1, Vec::new);
        }
        if let Some(things) = self.0.get_mut(who) {
            things.push(thing);
        }
    }
}
