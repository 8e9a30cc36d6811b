//! What tricks make of requests and answers.

use axum::http::{Method, StatusCode};
use sotto_crypto::{Address, Wrap};
use sotto_wire::api::{
    Accepted, Envelope, FetchRecipients, Identities, OwnDevices, PasswordStarted, RecipientRole, Recipients,
};
use sotto_wire::{ApiError, ErrorCode};

use super::person::split;
use super::proxy::{Answer, Call};
use super::seen::read;
use super::{Shared, Shown, State, Trick, now_ms};

/// The answer of a proxy that does not ask the relay at all.
pub(super) fn instead(shared: &Shared, call: &Call, body: &[u8]) -> Option<Answer> {
    if call.method != Method::POST {
        return None;
    }
    match call.path.as_str() {
        "/v1/recipients" => gone(&shared.state(), &read(body)?),
        "/v1/envelopes" => intercept(shared, &read(body)?),
        _ => None,
    }
}

/// In the relay's own words, that somebody cannot be written to.
fn gone(state: &State, request: &FetchRecipients) -> Option<Answer> {
    let claimed = |who: &&Address| state.tricks.contains(&Trick::MemberGone((*who).clone()));
    let gone = request.addresses.iter().find(claimed)?;
    let words = "cannot be written to: no such user, not registered yet, suspended, or without a device";
    Some(refusal(&ApiError::new(ErrorCode::NotFound, format!("{gone} {words}")).about(vec![gone.clone()])))
}

/// Messages to a false identity are read, and delivered to the others that they are for: their real relay would refuse
/// them, since it knows no such device.
fn intercept(shared: &Shared, envelope: &Envelope) -> Option<Answer> {
    let mut state = shared.state();
    for trick in &mut state.tricks {
        if let Trick::RecipientsChange(times @ 1..) = trick {
            *times -= 1;
            let said = "the recipients have changed; ask again";
            return Some(refusal(&ApiError::new(ErrorCode::RecipientsChanged, said)));
        }
    }
    // The real relay would not take what is for a device that it does not have any more.
    let for_old = |wrap: &Wrap| state.tricks.contains(&Trick::OldDevices(wrap.address.clone()));
    if envelope.wraps.iter().any(for_old) {
        for (device, delivery) in split(envelope) {
            shared.put(&mut state, device, delivery);
        }
        return Some(Answer::cbor(&Accepted { accepted_at_ms: now_ms() }));
    }
    let kept_from = |wrap: &Wrap| state.tricks.contains(&Trick::KeepFrom(wrap.address.clone()));
    if envelope.wraps.iter().any(kept_from) {
        let wraps = envelope.wraps.iter().filter(|wrap| !kept_from(wrap)).cloned().collect();
        for (device, delivery) in split(&Envelope { wraps, ..envelope.clone() }) {
            shared.put(&mut state, device, delivery);
        }
        return Some(Answer::cbor(&Accepted { accepted_at_ms: now_ms() }));
    }
    let impostors: Vec<_> = state.impostors.values().cloned().collect();
    let opened: Vec<_> = impostors
        .iter()
        .filter_map(|impostor| Some((impostor.address.clone(), impostor.open(envelope)?.content.to_vec())))
        .collect();
    if opened.is_empty() {
        return None;
    }
    state.opened.extend(opened);
    for (device, delivery) in split(envelope) {
        shared.put(&mut state, device, delivery);
    }
    Some(Answer::cbor(&Accepted { accepted_at_ms: now_ms() }))
}

fn refusal(error: &ApiError) -> Answer {
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let body = serde_json::to_vec(error).unwrap_or_default();
    Answer { status, kind: Some("application/json".to_owned()), body }
}

/// A good answer of the relay, as the caller gets it.
pub(super) fn answer(shared: &Shared, call: &Call, asked: &[u8], answer: Vec<u8>) -> Vec<u8> {
    let mut state = shared.state();
    state.seen.note(call, asked, &answer);
    let altered = match call.path.as_str() {
        "/v1/recipients" => false_recipients(&mut state, call, &answer),
        "/v1/identities" => false_identities(&mut state, &answer),
        "/v1/policy" if state.tricks.contains(&Trick::HoldBack) => {
            let caller = state.seen.caller(call);
            caller.and_then(|device| state.seen.first_policy(device)).as_ref().map(sotto_crypto::encode)
        }
        "/v1/devices" if call.method == Method::GET => old_devices(&state, &answer),
        "/v1/password/start" => other_rules(&state, &answer),
        _ => None,
    };
    let mut answer = altered.unwrap_or(answer);
    if matches!(call.path.as_str(), "/v1/recipients" | "/v1/identities" | "/v1/policy") {
        call_otherwise(&state, &mut answer);
    }
    answer
}

fn call_otherwise(state: &State, answer: &mut [u8]) {
    for trick in &state.tricks {
        let Trick::Call(name, other) = trick else { continue };
        let Some(most) = answer.len().checked_sub(name.len()) else { continue };
        for at in 0..=most {
            let place = &mut answer[at..at + name.len()];
            if place == name.as_bytes() && name.len() == other.len() {
                place.copy_from_slice(other.as_bytes());
            }
        }
    }
}

/// Those who are shown with a false identity, to those who ask in this way.
fn victims(state: &State, asked: Shown) -> Vec<Address> {
    let of = |trick: &Trick| match trick {
        Trick::FalseIdentity { victim, shown } if *shown == Shown::Everywhere || *shown == asked => {
            Some(victim.clone())
        }
        _ => None,
    };
    state.tricks.iter().filter_map(of).collect()
}

fn false_recipients(state: &mut State, call: &Call, answer: &[u8]) -> Option<Vec<u8>> {
    let caller = state.seen.caller(call);
    let mut recipients: Recipients = read(answer)?;
    let victims = victims(state, Shown::Recipients);
    for user in &mut recipients.users {
        if user.role == RecipientRole::Addressed && victims.contains(&user.address) {
            let impostor = state.impostor(&user.address);
            user.membership =
                state.word_of_the_administrator(&user.address, user.membership.as_ref()).or(user.membership.take());
            user.identity = impostor.identity.clone();
            if let Some((devices, prekey)) = impostor.as_recipient() {
                (user.devices, user.prekeys) = (devices, vec![prekey]);
            }
        }
        if state.tricks.contains(&Trick::OldDevices(user.address.clone()))
            && let Some(list) = state.seen.list_before(&user.address)
            && let Ok(document) = list.unverified()
        {
            let there: Vec<_> =
                user.prekeys.iter().filter_map(|prekey| Some(prekey.header.unverified().ok()?.device)).collect();
            let others =
                document.devices.iter().filter(|one| !there.contains(&one.device) && Some(one.device) != caller);
            user.prekeys.extend(others.filter_map(|one| state.seen.medium_term(one.device)));
            user.devices = list;
        }
    }
    Some(sotto_crypto::encode(&recipients))
}

fn false_identities(state: &mut State, answer: &[u8]) -> Option<Vec<u8>> {
    let mut found: Identities = read(answer)?;
    let victims = victims(state, Shown::Lookup);
    for user in &mut found.identities {
        // Where the administrator helps, also to those who ask because of what was forged.
        let helps = state.policy_keys.contains_key(user.address.domain_str());
        if victims.contains(&user.address) || (helps && state.is_forged(&user.address)) {
            let word = state.word_of_the_administrator(&user.address, user.membership.as_ref());
            user.membership = word.or(user.membership.take());
            user.identity = state.impostor(&user.address).identity.clone();
        }
    }
    Some(sotto_crypto::encode(&found))
}

/// Also their owner is shown the old list.
fn old_devices(state: &State, answer: &[u8]) -> Option<Vec<u8>> {
    let own: OwnDevices = read(answer)?;
    let address = own.list.as_ref()?.unverified().ok()?.address;
    let list =
        state.tricks.contains(&Trick::OldDevices(address.clone())).then(|| state.seen.list_before(&address))??;
    Some(sotto_crypto::encode(&OwnDevices { list: Some(list), ..own }))
}

fn other_rules(state: &State, answer: &[u8]) -> Option<Vec<u8>> {
    let name = state.tricks.iter().find_map(|trick| match trick {
        Trick::RulesOfGroup(name) => Some(name),
        _ => None,
    })?;
    let started: PasswordStarted = read(answer)?;
    let group = state.seen.group(name)?;
    Some(sotto_crypto::encode(&PasswordStarted { group, ..started }))
}
