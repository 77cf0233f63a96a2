//! A server's side of a play, as far as the targets need it.

use crate::publisher::{command, string};

const NULL: u8 = 5;

/// Its answer to `connect`.
pub fn connected() -> Vec<u8> {
    command([string("_result"), number(1.0), vec![NULL]].concat())
}

/// Its answer to `createStream`.
pub fn created() -> Vec<u8> {
    command([string("_result"), number(2.0), vec![NULL], number(1.0)].concat())
}

/// That it plays.
pub fn started() -> Vec<u8> {
    let code = [&[3], &string("code")[1..], &string("NetStream.Play.Start"), &[0, 0, 9]].concat();
    command([string("onStatus"), number(0.0), vec![NULL], code].concat())
}

/// AMF0 number.
fn number(value: f64) -> Vec<u8> {
    [&[0][..], &value.to_be_bytes()].concat()
}
