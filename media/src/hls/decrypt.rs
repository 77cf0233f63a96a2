//! Segments encrypted as a whole: AES-128 in CBC mode with PKCS 7 padding (RFC 8216, 4.3.2.4).

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, KeyIvInit};

/// Bytes of a key, of a vector and of a block.
pub const KEY: usize = 16;

/// It is no whole number of blocks, or ends in no padding: another key, or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment cannot be decrypted")]
pub struct DecryptError;

/// The vector of a segment whose key names none.
pub fn vector(sequence: u64) -> [u8; KEY] {
    u128::from(sequence).to_be_bytes()
}

/// Decrypts in place.
pub fn decrypt(segment: &mut Vec<u8>, key: &[u8; KEY], vector: &[u8; KEY]) -> Result<(), DecryptError> {
    let cipher = cbc::Decryptor::<aes::Aes128>::new(key.into(), vector.into());
    let length = cipher.decrypt_padded_mut::<Pkcs7>(segment).map_err(|_| DecryptError)?.len();
    segment.truncate(length);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 'a segment of some bytes' | openssl enc -aes-128-cbc -K 000102…0f -iv 0000…2a`.
    const KEY_BYTES: [u8; KEY] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    const BY_NUMBER: &str = "0b5f30eb9508570adb9f8a81b1cd6d8de900f29562fe1dcea13a1c792c1228d9";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn a_segment_is_decrypted_by_its_number() {
        let mut segment = bytes(BY_NUMBER);
        decrypt(&mut segment, &KEY_BYTES, &vector(42)).unwrap();
        assert_eq!(segment, b"a segment of some bytes");
    }

    #[test]
    fn another_key_and_a_cut_segment_are_errors() {
        assert_eq!(decrypt(&mut bytes(BY_NUMBER), &[7; KEY], &vector(42)), Err(DecryptError));
        let mut cut = bytes(BY_NUMBER);
        cut.truncate(17);
        assert_eq!(decrypt(&mut cut, &KEY_BYTES, &vector(42)), Err(DecryptError));
        assert_eq!(decrypt(&mut vec![], &KEY_BYTES, &vector(42)), Err(DecryptError));
    }
}
