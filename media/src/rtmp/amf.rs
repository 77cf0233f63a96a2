//! AMF0 (action message format) with bounds: an iterative check stands in front of `rml_amf0`, which recurses.
//!
//! Contract: [`decode`] touches no more stack for deep input than for flat, allocates no more than 512 bytes a value and twice
//! the input, and never panics. What `rml_amf0` cannot represent (dates, long strings, typed objects, references) is an
//! error that names its marker.

use rml_amf0::{Amf0DeserializationError, Amf0Value};

/// Deepest nesting. Encoders use 2 or 3; each level costs the decoder one stack frame.
pub const MAX_DEPTH: usize = 16;

/// Most values in one message. The richest `onMetaData` known has some 60.
pub const MAX_VALUES: usize = 1024;

/// Why a message's values cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AmfError {
    /// It ends inside a value.
    #[error("AMF0 value is truncated")]
    Truncated,
    /// Over [`MAX_DEPTH`].
    #[error("AMF0 values are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// Over [`MAX_VALUES`].
    #[error("more than {MAX_VALUES} AMF0 values in one message")]
    TooMany,
    /// A string or property name is not UTF-8.
    #[error("AMF0 string is not UTF-8")]
    NotUtf8,
    /// An object does not end with an end marker.
    #[error("AMF0 object has no end")]
    NoEnd,
    /// A type that publishers have no need for.
    #[error("AMF0 type marker {0} is not supported")]
    Marker(u8),
    /// The decoder disagrees with the check.
    #[error("undecodable AMF0")]
    Decode(#[from] Amf0DeserializationError),
}

/// Checks and decodes all values of a message.
pub fn decode(payload: &[u8]) -> Result<Vec<Amf0Value>, AmfError> {
    check(payload)?;
    Ok(rml_amf0::deserialize(&mut &*payload)?)
}

/// A string.
pub(super) fn string(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.to_owned())
}

/// An object.
pub(super) fn object_of<const N: usize>(properties: [(&str, Amf0Value); N]) -> Amf0Value {
    Amf0Value::Object(properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What the walk is inside of.
enum Open {
    /// Object or ECMA array: properties up to the end marker.
    Object,
    /// Strict array with this many values to come.
    Array(usize),
}

fn check(mut rest: &[u8]) -> Result<(), AmfError> {
    let mut open: Vec<Open> = vec![];
    let mut values = 0;
    loop {
        match open.last_mut() {
            None if rest.is_empty() => return Ok(()),
            None => {}
            Some(Open::Array(0)) => {
                open.pop();
                continue;
            }
            Some(Open::Array(left)) => *left -= 1,
            Some(Open::Object) => {
                let name = take_string(&mut rest)?;
                if name.is_empty() {
                    if take(&mut rest, 1)? != [marker::OBJECT_END] {
                        return Err(AmfError::NoEnd);
                    }
                    open.pop();
                    continue;
                }
            }
        }
        values += 1;
        if values > MAX_VALUES {
            return Err(AmfError::TooMany);
        }
        match take(&mut rest, 1)?[0] {
            marker::NUMBER => skip(&mut rest, 8)?,
            marker::BOOLEAN => skip(&mut rest, 1)?,
            marker::STRING => {
                take_string(&mut rest)?;
            }
            marker::NULL | marker::UNDEFINED => {}
            marker::OBJECT => open.push(Open::Object),
            marker::ECMA_ARRAY => {
                // The count is only a hint; the end marker ends it.
                skip(&mut rest, 4)?;
                open.push(Open::Object);
            }
            marker::STRICT_ARRAY => {
                let count = take(&mut rest, 4)?.iter().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
                if count > MAX_VALUES {
                    return Err(AmfError::TooMany);
                }
                open.push(Open::Array(count));
            }
            other => return Err(AmfError::Marker(other)),
        }
        if open.len() > MAX_DEPTH {
            return Err(AmfError::TooDeep);
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], AmfError> {
    let (taken, behind) = rest.split_at_checked(count).ok_or(AmfError::Truncated)?;
    *rest = behind;
    Ok(taken)
}

fn skip(rest: &mut &[u8], count: usize) -> Result<(), AmfError> {
    take(rest, count).map(|_| ())
}

fn take_string<'a>(rest: &mut &'a [u8]) -> Result<&'a str, AmfError> {
    let length = take(rest, 2)?;
    let text = take(rest, usize::from(length[0]) << 8 | usize::from(length[1]))?;
    std::str::from_utf8(text).map_err(|_| AmfError::NotUtf8)
}

mod marker {
    pub const NUMBER: u8 = 0;
    pub const BOOLEAN: u8 = 1;
    pub const STRING: u8 = 2;
    pub const OBJECT: u8 = 3;
    pub const NULL: u8 = 5;
    pub const UNDEFINED: u8 = 6;
    pub const ECMA_ARRAY: u8 = 8;
    pub const OBJECT_END: u8 = 9;
    pub const STRICT_ARRAY: u8 = 10;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn nested(depth: usize) -> Vec<u8> {
        let mut wire: Vec<u8> = [3, 0, 1, b'a'].repeat(depth);
        wire.push(5);
        wire.extend([0, 0, 9].repeat(depth));
        wire
    }

    #[test]
    fn what_encoders_send_comes_through() {
        let values = vec![
            Amf0Value::Utf8String("connect".into()),
            Amf0Value::Number(1.0),
            Amf0Value::Object(HashMap::from([
                ("app".into(), Amf0Value::Utf8String("in".into())),
                ("list".into(), Amf0Value::StrictArray(vec![Amf0Value::Boolean(true), Amf0Value::Null])),
            ])),
        ];
        assert_eq!(decode(&rml_amf0::serialize(&values).unwrap()).unwrap(), values);
        assert_eq!(
            decode(&[8, 0, 0, 0, 99, 0, 1, b'a', 6, 0, 0, 9]).unwrap().len(),
            1,
            "a wrong ECMA count is no harm"
        );
        assert_eq!(decode(&[]).unwrap(), []);
    }

    #[test]
    fn depth_is_bounded_whatever_the_length() {
        assert!(decode(&nested(MAX_DEPTH)).is_ok());
        assert!(matches!(decode(&nested(MAX_DEPTH + 1)), Err(AmfError::TooDeep)));
        assert!(matches!(decode(&nested(1_000_000)), Err(AmfError::TooDeep)));
        assert!(matches!(decode(&[10, 0, 0, 0, 1].repeat(4000)), Err(AmfError::TooDeep)));
    }

    #[test]
    fn count_is_bounded_before_anything_is_reserved() {
        assert!(matches!(decode(&[10, 0xff, 0xff, 0xff, 0xff]), Err(AmfError::TooMany)));
        assert!(matches!(decode(&[5].repeat(MAX_VALUES + 1)), Err(AmfError::TooMany)));
    }

    #[test]
    fn what_cannot_be_represented_is_named() {
        assert!(matches!(decode(&[11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(AmfError::Marker(11))), "date");
        assert!(matches!(decode(&[12, 0, 0, 0, 1, b'x']), Err(AmfError::Marker(12))), "long string");
        assert!(matches!(decode(&[16, 0, 1, b'T', 0, 0, 9]), Err(AmfError::Marker(16))), "typed object");
        assert!(matches!(decode(&[2, 0, 1, 0xff]), Err(AmfError::NotUtf8)));
        assert!(matches!(decode(&[3, 0, 0, 8]), Err(AmfError::NoEnd)));
        assert!(matches!(decode(&[2, 0, 9, b'x']), Err(AmfError::Truncated)));
    }

    proptest! {
        #[test]
        fn what_the_check_lets_through_the_decoder_takes(
            wire in prop::collection::vec(prop_oneof![0u8..17, any::<u8>()], 0..120),
        ) {
            prop_assert!(!matches!(decode(&wire), Err(AmfError::Decode(_))));
        }
    }
}
