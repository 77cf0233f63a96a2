//! AMF0 values: any bytes.
//!
//! What is accepted keeps the documented bounds of number, depth and memory, and survives being written and read again. The
//! check in front of the decoder lets nothing through that the decoder then refuses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rml_amf0::Amf0Value;
use weir_fuzz::memory::peak_of;
use weir_media::rtmp::amf::{self, AmfError, MAX_DEPTH, MAX_VALUES};

/// Bytes for one value: the table behind an object of one property is the dearest.
const PER_VALUE: usize = 512;

fuzz_target!(|payload: &[u8]| {
    let (outcome, peak) = peak_of(|| amf::decode(payload));
    let most = PER_VALUE * payload.len().min(MAX_VALUES) + 2 * payload.len() + 4096;
    assert!(peak <= most, "{peak} bytes for {}", payload.len());
    let values = match outcome {
        Ok(values) => values,
        Err(AmfError::Decode(error)) => panic!("passed the check, but: {error}"),
        Err(error) => return assert!(error.to_string().len() < 200),
    };
    assert!(values.iter().map(count).sum::<usize>() <= MAX_VALUES);
    assert!(values.iter().map(depth).max().unwrap_or(0) <= MAX_DEPTH);

    let again = rml_amf0::serialize(&values).expect("cannot be written");
    let again = amf::decode(&again).expect("cannot be read again");
    assert!(values.len() == again.len() && values.iter().zip(&again).all(|(a, b)| same(a, b)), "{values:?} {again:?}");
});

fn count(value: &Amf0Value) -> usize {
    1 + match value {
        Amf0Value::Object(properties) => properties.values().map(count).sum(),
        Amf0Value::StrictArray(values) => values.iter().map(count).sum(),
        _ => 0,
    }
}

fn depth(value: &Amf0Value) -> usize {
    match value {
        Amf0Value::Object(properties) => 1 + properties.values().map(depth).max().unwrap_or(0),
        Amf0Value::StrictArray(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Equal, numbers bit by bit: NaN too.
fn same(a: &Amf0Value, b: &Amf0Value) -> bool {
    match (a, b) {
        (Amf0Value::Number(a), Amf0Value::Number(b)) => a.to_bits() == b.to_bits(),
        (Amf0Value::Object(a), Amf0Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        (Amf0Value::StrictArray(a), Amf0Value::StrictArray(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (a, b) => a == b,
    }
}
