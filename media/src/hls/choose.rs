//! Which variant of a master playlist is taken: one, from begin to end.
//!
//! What is decoded here goes before what is not; then the largest picture that needs at most a decoder for 1080p, because the ladder scales
//! down from it; then the highest bandwidth. Sound in a playlist of its own is taken from the variant's group, its default rendition.

use super::playlist::{AudioRendition, Master, Reference, Variant};

/// Longer and shorter edge of a picture that is taken before any larger one, pixels.
const LARGE: (u32, u32) = (1920, 1080);
/// Formats that are decoded here, as RFC 6381 begins them.
const DECODED: [&str; 5] = ["avc1", "avc3", "hvc1", "hev1", "mp4a.40"];

/// What is taken of a master playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice<'a> {
    /// Media playlist with the pictures.
    pub variant: &'a Reference,
    /// Media playlist with the sound; `None` when it is with the pictures.
    pub audio: Option<&'a Reference>,
}

impl Master {
    /// What is taken; `None` when there are no variants.
    pub fn choose(&self) -> Option<Choice<'_>> {
        let variant = self.variants.iter().max_by_key(|variant| rank(variant))?;
        let group = variant.audio.as_deref();
        let renditions = self.audio.iter().filter(|rendition| Some(rendition.group.as_str()) == group);
        // Of equals the last would be the greatest.
        let audio = renditions.rev().max_by_key(|rendition| preference(rendition));
        Some(Choice { variant: &variant.uri, audio: audio.and_then(|rendition| rendition.uri.as_ref()) })
    }
}

fn rank(variant: &Variant) -> impl Ord + use<> {
    let codecs = || variant.codecs.as_deref().unwrap_or("avc1").split(',').map(str::trim);
    let decoded = codecs().all(|codec| DECODED.iter().any(|known| codec.starts_with(known)));
    let pictures = codecs().any(|codec| !codec.starts_with("mp4a"));
    let (width, height) = variant.resolution.unwrap_or((0, 0));
    let pixels = i64::from(width) * i64::from(height);
    let fits = width.max(height) <= LARGE.0 && width.min(height) <= LARGE.1;
    // Of those that are too large the smallest is nearest.
    (pictures, decoded, fits, if fits { pixels } else { -pixels }, variant.bandwidth)
}

fn preference(rendition: &AudioRendition) -> (bool, bool) {
    (rendition.default, rendition.autoselect)
}

#[cfg(test)]
mod tests {
    use super::super::playlist::Playlist;
    use super::*;

    fn chosen(lines: &[&str]) -> (String, Option<String>) {
        let text = format!("#EXTM3U\n{}\n", lines.join("\n"));
        let Ok(Playlist::Master(master)) = Playlist::parse(text.as_bytes()) else { panic!("no master playlist") };
        let Choice { variant, audio } = master.choose().unwrap();
        (variant.as_str().to_owned(), audio.map(|uri| uri.as_str().to_owned()))
    }

    fn variants(attributes: &[&str]) -> String {
        let lines = attributes.iter().enumerate();
        let lines: Vec<_> = lines.map(|(at, list)| format!("#EXT-X-STREAM-INF:{list}\n{at}.m3u8")).collect();
        chosen(&lines.iter().map(String::as_str).collect::<Vec<_>>()).0
    }

    #[test]
    fn the_largest_picture_up_to_1080p_is_taken_then_the_highest_bandwidth() {
        let rungs = [
            "BANDWIDTH=800000,RESOLUTION=640x360",
            "BANDWIDTH=4000000,RESOLUTION=1920x1080",
            "BANDWIDTH=16000000,RESOLUTION=3840x2160",
            "BANDWIDTH=6000000,RESOLUTION=1920x1080",
            "BANDWIDTH=9000000,RESOLUTION=1280x720",
        ];
        assert_eq!(variants(&rungs), "3.m3u8");
    }

    #[test]
    fn a_portrait_picture_is_measured_on_its_side() {
        assert_eq!(variants(&["BANDWIDTH=1,RESOLUTION=1080x1920", "BANDWIDTH=1,RESOLUTION=1440x2560"]), "0.m3u8");
    }

    #[test]
    fn where_all_are_larger_the_smallest_is_taken() {
        assert_eq!(variants(&["BANDWIDTH=9,RESOLUTION=7680x4320", "BANDWIDTH=5,RESOLUTION=2560x1440"]), "1.m3u8");
    }

    #[test]
    fn without_sizes_the_highest_bandwidth_is_taken() {
        assert_eq!(variants(&["BANDWIDTH=1000", "BANDWIDTH=3000", "BANDWIDTH=2000"]), "1.m3u8");
    }

    #[test]
    fn pictures_go_before_sound_alone_and_known_codecs_before_others() {
        let lists = [
            "BANDWIDTH=9000,CODECS=\"av01.0.08M.08,mp4a.40.2\",RESOLUTION=1920x1080",
            "BANDWIDTH=5000,CODECS=\"avc1.64001f,ac-3\",RESOLUTION=1280x720",
            "BANDWIDTH=3000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360",
            "BANDWIDTH=99999,CODECS=\"mp4a.40.2\"",
        ];
        assert_eq!(variants(&lists), "2.m3u8");
        assert_eq!(variants(&lists[..1]), "0.m3u8", "the demuxer says why not");
    }

    #[test]
    fn sound_comes_from_the_default_rendition_of_the_group() {
        let media = |group: &str, uri: &str, rest: &str| {
            format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{group}\",NAME=\"n\"{rest},URI=\"{uri}\"")
        };
        let variant = "#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"high\"\nv.m3u8";
        let (low, german) = (media("low", "low.m3u8", ",DEFAULT=YES"), media("high", "de.m3u8", ",AUTOSELECT=YES"));
        let english = media("high", "en.m3u8", ",DEFAULT=YES,AUTOSELECT=YES");
        let spanish = media("high", "es.m3u8", "");
        assert_eq!(chosen(&[&low, &spanish, &german, &english, variant]).1.as_deref(), Some("en.m3u8"));
        assert_eq!(chosen(&[&low, &spanish, &german, variant]).1.as_deref(), Some("de.m3u8"));
        let french = media("high", "fr.m3u8", "");
        assert_eq!(chosen(&[&spanish, &french, variant]).1.as_deref(), Some("es.m3u8"), "the first of equals");
        assert_eq!(chosen(&[&low, variant]).1, None);
    }

    #[test]
    fn a_rendition_without_a_playlist_is_in_the_variant_s_segments() {
        let inside = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"main\",DEFAULT=YES";
        let beside = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"commentary\",URI=\"c.m3u8\"";
        let variant = "#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nv.m3u8";
        assert_eq!(chosen(&[inside, beside, variant]).1, None);
    }
}
