//! Both slots beside each other: a switch between unlike inputs is seen or heard.

use std::time::Instant;

use super::hold::{Hold, Verdict};
use super::{Code, Finding, Measured};

/// What two frame rates may differ by, a share of the larger: measured ones are never quite the same.
const SAME_RATE: f64 = 0.02;

/// Compares the slots of one stream.
#[derive(Debug)]
pub struct Pair(Hold);

impl Default for Pair {
    fn default() -> Self {
        Self(Hold::new(Code::SlotsDiffer))
    }
}

impl Pair {
    /// Looks at what both send, once a second or so. With one of them there is nothing to compare: what was found is forgotten.
    pub fn look(&mut self, both: Option<(&Measured, &Measured)>, now: Instant) -> Option<Finding> {
        let Some((primary, backup)) = both else {
            *self = Self::default();
            return None;
        };
        let differences = differences(primary, backup);
        self.0.look(
            match differences.len() {
                0 => Verdict::Good,
                count => Verdict::Bad { value: count as f64, limit: 0.0, told: Some(differences.join(", ")) },
            },
            now,
        );
        self.0.finding()
    }

    /// What the latest look found.
    pub fn finding(&self) -> Option<Finding> {
        self.0.finding()
    }
}

/// What is not alike, as far as it is known of both: `size 1280x720 and 1920x1080`.
fn differences(primary: &Measured, backup: &Measured) -> Vec<String> {
    let mut found = vec![];
    let mut note = |what: &str, one: String, other: String| {
        if one != other {
            found.push(format!("{what} {one} and {other}"));
        }
    };
    if let (Some(one), Some(other)) = (&primary.video, &backup.video) {
        note("video codec", format!("{:?}", one.codec), format!("{:?}", other.codec));
        note("size", format!("{}x{}", one.width, one.height), format!("{}x{}", other.width, other.height));
        let aspect = |(width, height): (u32, u32)| format!("{width}:{height}");
        note("pixel aspect", aspect(one.pixel_aspect), aspect(other.pixel_aspect));
    }
    if let (Some(one), Some(other)) = (primary.frame_rate, backup.frame_rate)
        && (one - other).abs() > SAME_RATE * one.max(other)
    {
        note("frame rate", format!("{one:.2}"), format!("{other:.2}"));
    }
    match (&primary.audio, &backup.audio) {
        (Some(one), Some(other)) => {
            note("audio codec", format!("{:?}", one.codec), format!("{:?}", other.codec));
            note("sample rate", one.sample_rate.to_string(), other.sample_rate.to_string());
            note("channels", one.channels.to_string(), other.channels.to_string());
        }
        (one, other) if primary.video.is_some() && backup.video.is_some() => {
            let sound = |there: bool| if there { "there" } else { "missing" }.to_owned();
            note("sound", sound(one.is_some()), sound(other.is_some()));
        }
        _ => {}
    }
    found
}
