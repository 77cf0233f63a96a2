//! Secrets and signatures of webhooks, by the specification Standard Webhooks (symmetric scheme `v1`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::TryRngCore;
use ring::hmac;

use crate::config::Secret;

/// What stands before a secret's base64.
const PREFIX: &str = "whsec_";
/// Bytes of a secret that is taken.
const LENGTH: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of a secret that is made here.
const MADE: usize = 32;
/// What is wrong with others.
pub const WANTED: &str = "must be whsec_ and the base64 of 24 to 64 bytes";

/// Whether a text is a secret that can be signed with.
pub fn is_secret(text: &str) -> bool {
    key(text).is_some()
}

/// A new secret; `None` when the system gives no random bytes.
pub fn fresh_secret() -> Option<Secret> {
    let mut bytes = [0; MADE];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).ok()?;
    Some(Secret::new(format!("{PREFIX}{}", STANDARD.encode(bytes))))
}

/// The value of `webhook-signature`: one signature for each secret, separated by spaces. `timestamp` is in seconds since 1970.
pub fn sign<'a>(secrets: impl IntoIterator<Item = &'a Secret>, id: &str, timestamp: u64, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let signatures = secrets.into_iter().filter_map(|secret| {
        let signature = hmac::sign(&key(secret.expose())?, signed.as_bytes());
        Some(format!("v1,{}", STANDARD.encode(signature)))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

fn key(text: &str) -> Option<hmac::Key> {
    let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
    LENGTH.contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the specification's libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_specification_s_test_vector_holds() {
        let body = r#"{"test": 2432232314}"#;
        let signature = sign([&Secret::new(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_not_base64_is_refused_and_the_vectors_of_the_rfc_hold() {
        // One secret has one spelling: with its padding, and without bits that are left over.
        for text in ["Zg", "Zg=", "Zh==", "Zg===", "=", "Z", "Zm9v=", "Zm 9v", "Zm9v\n", "Zm-_", "é"] {
            assert!(STANDARD.decode(text).is_err(), "{text}");
        }
        // RFC 4648, 10.
        let plain = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let encoded = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        assert_eq!(plain.map(|plain| STANDARD.encode(plain)), encoded);
        assert_eq!(STANDARD.encode([0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn two_secrets_make_two_signatures() {
        let (new, old) = (fresh_secret().unwrap(), Secret::new(SECRET));
        let both = sign([&new, &old], "a", 1, "{}");
        assert_eq!(both, format!("{} {}", sign([&new], "a", 1, "{}"), sign([&old], "a", 1, "{}")));
        assert_ne!(new, fresh_secret().unwrap());
    }

    #[test]
    fn a_secret_has_its_prefix_and_24_to_64_bytes() {
        let of = |length| format!("{PREFIX}{}", STANDARD.encode(vec![7; length]));
        assert!(is_secret(SECRET) && is_secret(&of(24)) && is_secret(&of(64)));
        for wrong in [of(23), of(65), of(32)[6..].to_owned(), "whsec_".into(), "whsec_!".into()] {
            assert!(!is_secret(&wrong), "{wrong}");
        }
    }
}
