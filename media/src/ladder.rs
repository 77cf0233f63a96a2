//! The ladder: which renditions are made of an input.

use serde::{Deserialize, Serialize};

/// One wished rung, in landscape terms. Portrait inputs get it with width and height exchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// Name as `transcoded_qualities` and the player show it, e.g. `720p`.
    pub name: String,
    /// Pixels, even, 16 to 7680.
    pub width: u32,
    /// Pixels, even, 16 to 4320.
    pub height: u32,
    /// Video bit rate in kbit/s, 50 to 60000.
    pub bitrate_kbps: u32,
}

/// Wished rungs, largest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ladder(pub Vec<Rung>);

/// A rung as it is really made for one broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    /// The rung's name.
    pub name: String,
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// kbit/s.
    pub bitrate_kbps: u32,
}

impl Default for Ladder {
    /// The default set of the architecture (section 3): 1080/720/468/360 at 4050/1800/800/450 kbit/s.
    fn default() -> Self {
        let rung = |name: &str, width, height, bitrate_kbps| Rung { name: name.into(), width, height, bitrate_kbps };
        Self(vec![
            rung("1080p", 1920, 1080, 4050),
            rung("720p", 1280, 720, 1800),
            rung("468p", 832, 468, 800),
            rung("360p", 640, 360, 450),
        ])
    }
}

impl Ladder {
    /// The renditions for an input that is shown at `width` x `height` square pixels: every rung that is not
    /// larger than the input (no upscaling), reversed for portrait, largest first. Each is cut to the input's
    /// own shape by fitting it into the rung's box, so that no bars are encoded. When the input is smaller than the
    /// smallest rung, one rendition of the input's own size at that rung's bit rate.
    ///
    /// The first rendition's size is the broadcast's canvas. Never empty unless the ladder is.
    pub fn renditions(&self, width: u32, height: u32) -> Vec<Rendition> {
        let portrait = height > width;
        let (long, short) = if portrait { (height, width) } else { (width, height) };
        let mut rungs: Vec<&Rung> = self.0.iter().collect();
        rungs.sort_by_key(|rung| std::cmp::Reverse(rung.height));
        let made = |rung: &Rung, long_px: u32, short_px: u32| Rendition {
            name: rung.name.clone(),
            width: if portrait { short_px } else { long_px },
            height: if portrait { long_px } else { short_px },
            bitrate_kbps: rung.bitrate_kbps,
        };
        let fitting: Vec<Rendition> = rungs
            .iter()
            // One macroblock of tolerance: a 1920x1072 camera is a 1080p source.
            .filter(|rung| rung.width.min(rung.height) <= short + 8 || rung.width.max(rung.height) <= long)
            .map(|rung| {
                let (long_px, short_px) = fit(long, short, rung.width, rung.height);
                made(rung, long_px, short_px)
            })
            .collect();
        match (fitting.is_empty(), rungs.last()) {
            (true, Some(smallest)) => vec![made(smallest, even(long), even(short))],
            _ => fitting,
        }
    }
}

/// The largest even size of the shape `width`:`height` inside the box, never larger than the input itself.
fn fit(width: u32, height: u32, box_width: u32, box_height: u32) -> (u32, u32) {
    let (width, height) = (u64::from(width.max(2)), u64::from(height.max(2)));
    let (box_width, box_height) = (u64::from(box_width).min(width), u64::from(box_height).min(height));
    // Compare width/height with box_width/box_height without dividing.
    let (w, h) = if width * box_height >= box_width * height {
        (box_width, (box_width * height + width / 2) / width)
    } else {
        ((box_height * width + height / 2) / height, box_height)
    };
    (even(w as u32), even(h as u32))
}

fn even(pixels: u32) -> u32 {
    ((pixels + 1) & !1).max(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(width: u32, height: u32) -> Vec<(u32, u32)> {
        Ladder::default().renditions(width, height).iter().map(|r| (r.width, r.height)).collect()
    }

    #[test]
    fn rungs_larger_than_the_source_are_left_out() {
        assert_eq!(sizes(1920, 1080), [(1920, 1080), (1280, 720), (832, 468), (640, 360)]);
        assert_eq!(sizes(1280, 720), [(1280, 720), (832, 468), (640, 360)]);
        assert_eq!(sizes(640, 360), [(640, 360)]);
    }

    #[test]
    fn portrait_reverses_the_rungs() {
        assert_eq!(sizes(720, 1280), [(720, 1280), (468, 832), (360, 640)]);
    }

    #[test]
    fn another_shape_fits_into_the_rungs_box() {
        assert_eq!(sizes(854, 480), [(832, 468), (640, 360)]);
        assert_eq!(sizes(960, 720), [(960, 720), (624, 468), (480, 360)]);
    }

    #[test]
    fn a_source_smaller_than_every_rung_keeps_its_own_size() {
        assert_eq!(sizes(320, 180), [(320, 180)]);
        assert_eq!(sizes(321, 181), [(322, 182)]);
    }

    #[test]
    fn every_size_is_even_and_not_larger_than_the_source() {
        for (w, h) in [(1366, 768), (1000, 1000), (1080, 1920), (427, 240), (3840, 2160), (2560, 1080), (1921, 817)] {
            for (rw, rh) in sizes(w, h) {
                assert!(rw % 2 == 0 && rh % 2 == 0, "{rw}x{rh} of {w}x{h}");
                assert!(rw <= w + 1 && rh <= h + 1, "{rw}x{rh} of {w}x{h}");
            }
        }
    }
}
