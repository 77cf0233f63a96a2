//! Quality sets: named ladders that a stream chooses by `quality_set_id`.

use serde::{Deserialize, Serialize};
use weir_media::ladder::{Ladder, Rung};

/// A named ladder. Qualities stand largest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualitySet {
    /// Its number in the API, at least 1, unique.
    pub id: u32,
    /// Its name in the API.
    pub name: String,
    /// Taken by streams that choose none, until the API names another; exactly one set has it.
    #[serde(default)]
    pub default: bool,
    /// Its rungs, 1 to 8.
    pub qualities: Vec<Quality>,
}

/// One rung.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Its number in the API, at least 1, unique within the set.
    pub id: u32,
    /// Its name, e.g. `720p`, unique within the set.
    pub name: String,
    /// Pixels, even, 16 to 7680.
    pub width: u32,
    /// Pixels, even, 16 to 4320.
    pub height: u32,
    /// Video bit rate in kbit/s, 50 to 60000.
    pub bitrate_kbps: u32,
}

impl QualitySet {
    /// What a media worker makes of it.
    pub fn ladder(&self) -> Ladder {
        let rung = |quality: &Quality| Rung {
            name: quality.name.clone(),
            width: quality.width,
            height: quality.height,
            bitrate_kbps: quality.bitrate_kbps,
        };
        Ladder(self.qualities.iter().map(rung).collect())
    }

    fn of(id: u32, name: &str, rungs: impl IntoIterator<Item = Rung>) -> Self {
        let quality = |(index, rung): (u32, Rung)| Quality {
            id: index,
            name: rung.name,
            width: rung.width,
            height: rung.height,
            bitrate_kbps: rung.bitrate_kbps,
        };
        Self { id, name: name.into(), default: false, qualities: (1..).zip(rungs).map(quality).collect() }
    }
}

/// The media default, and one set each with only its 720p and its 360p rung.
pub(super) fn default_sets() -> Vec<QualitySet> {
    let only = |name: &str| Ladder::default().0.into_iter().filter(|rung| rung.name == name).collect::<Vec<_>>();
    vec![
        QualitySet { default: true, ..QualitySet::of(1, "Default", Ladder::default().0) },
        QualitySet::of(2, "720p", only("720p")),
        QualitySet::of(3, "360p", only("360p")),
    ]
}
