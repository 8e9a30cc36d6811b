//! Good inputs of `sotto-crypto`: its vectors.

use data_encoding::HEXLOWER;
use serde_json::Value;

/// A file of vectors.
pub(crate) fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A byte string of a vector.
pub(crate) fn bytes(value: &Value, pointer: &str) -> Vec<u8> {
    HEXLOWER.decode(value.pointer(pointer).and_then(Value::as_str).unwrap().as_bytes()).unwrap()
}

/// `crypto/vectors/message.json`.
pub(crate) fn message() -> Value {
    read(include_str!("../../crypto/vectors/message.json"))
}

/// `crypto/vectors/device_list.json`.
pub(crate) fn device_list() -> Value {
    read(include_str!("../../crypto/vectors/device_list.json"))
}

/// `crypto/vectors/prekeys.json`.
pub(crate) fn prekeys() -> Value {
    read(include_str!("../../crypto/vectors/prekeys.json"))
}

/// The inputs of `crypto/vectors/refusals.json` that are of one kind: what is nearly right is a good seed.
pub(crate) fn refusals(input: &str, field: &str) -> Vec<Vec<u8>> {
    let all = read(include_str!("../../crypto/vectors/refusals.json"));
    let cases = all.as_array().unwrap().iter().filter(|case| case["input"] == input);
    cases.map(|case| bytes(case, &format!("/{field}"))).collect()
}
