//! The codes: what each means, how long it has to last, and how it is mended. docs/operations.md has the same table for people.

use std::time::Duration;

use serde::Serialize;

/// What can be wrong with what an encoder sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Keyframes are too far apart.
    GopLong,
    /// Keyframes come at uneven distances.
    GopUneven,
    /// Pictures are shown in another order than they are sent.
    BFrames,
    /// Timestamps jumped.
    PtsJump,
    /// Sound and picture move apart.
    AvDrift,
    /// More bits than the picture can use.
    BitrateHigh,
    /// Fewer bits than the picture needs.
    BitrateLow,
    /// Too many pictures a second.
    FpsHigh,
    /// There is no sound.
    AudioMissing,
    /// Pixels are not square.
    PixelsNotSquare,
    /// The network loses packets for good.
    PacketsLost,
    /// Primary and backup are not alike.
    SlotsDiffer,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth mending; viewers hardly notice.
    Warning,
    /// Viewers see or hear it.
    Error,
}

/// How it is mended, in plain words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// With any encoder.
    pub text: &'static str,
    /// In OBS Studio.
    pub obs: &'static str,
    /// With ffmpeg.
    pub ffmpeg: &'static str,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::GopLong,
        Self::GopUneven,
        Self::BFrames,
        Self::PtsJump,
        Self::AvDrift,
        Self::BitrateHigh,
        Self::BitrateLow,
        Self::FpsHigh,
        Self::AudioMissing,
        Self::PixelsNotSquare,
        Self::PacketsLost,
        Self::SlotsDiffer,
    ];

    /// As the API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GopLong => "gop_long",
            Self::GopUneven => "gop_uneven",
            Self::BFrames => "b_frames",
            Self::PtsJump => "pts_jump",
            Self::AvDrift => "av_drift",
            Self::BitrateHigh => "bitrate_high",
            Self::BitrateLow => "bitrate_low",
            Self::FpsHigh => "fps_high",
            Self::AudioMissing => "audio_missing",
            Self::PixelsNotSquare => "pixels_not_square",
            Self::PacketsLost => "packets_lost",
            Self::SlotsDiffer => "slots_differ",
        }
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::PtsJump | Self::AvDrift | Self::PacketsLost => Severity::Error,
            _ => Severity::Warning,
        }
    }

    /// What its value and limit are counted in.
    pub fn unit(self) -> &'static str {
        match self {
            Self::GopLong | Self::GopUneven | Self::PtsJump | Self::AudioMissing => "s",
            Self::BFrames => "frames",
            Self::AvDrift => "ms",
            Self::BitrateHigh | Self::BitrateLow => "kbit/s",
            Self::FpsHigh => "fps",
            Self::PixelsNotSquare => "width/height",
            Self::PacketsLost => "packets in 10 s",
            Self::SlotsDiffer => "differences",
        }
    }

    /// How long it has to be seen without a break before it is told.
    pub fn raise_after(self) -> Duration {
        Duration::from_secs(match self {
            // Things that happen, or that do not change.
            Self::PtsJump | Self::PixelsNotSquare | Self::PacketsLost => 0,
            Self::GopLong | Self::BFrames | Self::AudioMissing => 2,
            Self::FpsHigh | Self::AvDrift => 3,
            // Rate control and scene changes need their time.
            Self::GopUneven | Self::BitrateHigh | Self::BitrateLow | Self::SlotsDiffer => 5,
        })
    }

    /// How long it has to be gone before it is taken back.
    pub fn clear_after(self) -> Duration {
        Duration::from_secs(match self {
            Self::PtsJump | Self::PacketsLost => 30,
            _ => 10,
        })
    }

    /// Whether it is of settings that only an encoder has.
    pub(super) fn is_encoders(self) -> bool {
        matches!(self, Self::GopLong | Self::GopUneven | Self::BitrateHigh | Self::BitrateLow)
    }

    /// What is wrong, in words.
    pub(super) fn say(self, value: f64, limit: f64) -> String {
        match self {
            Self::GopLong => format!("keyframes are {value:.1} s apart, more than {limit:.0} s"),
            Self::GopUneven => format!("distances of keyframes differ by {value:.1} s"),
            Self::BFrames => format!("{value:.0} B-frames in a row"),
            Self::PtsJump => format!("timestamps jumped by {value:.2} s"),
            Self::AvDrift if value > 0.0 => format!("sound runs {value:.0} ms ahead of the picture"),
            Self::AvDrift => format!("sound runs {:.0} ms behind the picture", -value),
            Self::BitrateHigh => {
                format!("video has {value:.0} kbit/s, more than {limit:.0} for its size and frame rate")
            }
            Self::BitrateLow => {
                format!("video has {value:.0} kbit/s, less than {limit:.0} for its size and frame rate")
            }
            Self::FpsHigh => format!("{value:.1} pictures a second, more than {limit:.0}"),
            Self::AudioMissing => format!("no sound for {value:.0} s"),
            Self::PixelsNotSquare => format!("pixels are {value:.3} times as wide as high"),
            Self::PacketsLost => format!("{value:.0} packets were lost for good within 10 s"),
            Self::SlotsDiffer => format!("primary and backup differ in {value:.0} ways"),
        }
    }

    /// How it is mended.
    pub fn fix(self) -> Fix {
        let fix = |text, obs, ffmpeg| Fix { text, obs, ffmpeg };
        match self {
            Self::GopLong => fix(
                "Set the keyframe interval to 2 s or less: segments and switches between inputs wait for keyframes",
                "Settings > Output > Streaming: Keyframe Interval 2 s, not 0 (auto)",
                "-g 60 at 30 fps (twice the frame rate), or -force_key_frames 'expr:gte(t,n_forced*2)'",
            ),
            Self::GopUneven => fix(
                "Switch off keyframes at scene changes, so that they come at one distance",
                "Settings > Output > Streaming: x264 Options scenecut=0, Keyframe Interval 2 s",
                "-sc_threshold 0 -g 60 -keyint_min 60 at 30 fps",
            ),
            Self::BFrames => fix(
                "Switch off B-frames: each costs latency",
                "Settings > Output > Streaming: B-frames 0 (x264 Options bframes=0, or Tune zerolatency)",
                "-bf 0, or -tune zerolatency",
            ),
            Self::PtsJump => fix(
                "Let timestamps run on evenly: reconnect between two programmes instead of joining them with their own clocks",
                "Settings > Advanced: no change of frame rate or audio device while streaming; restart the stream after one",
                "When joining inputs use the concat filter instead of -c copy, or -fflags +genpts with setpts=N/FRAME_RATE/TB",
            ),
            Self::AvDrift => fix(
                "Let sound and picture use one clock, and the sound its real sample rate",
                "Settings > Audio: the sample rate that the device has; Advanced Audio Properties: Sync Offset 0",
                "-af aresample=async=1000; no asetpts or setpts that stretches one of both; one -itsoffset for both",
            ),
            Self::BitrateHigh => fix(
                "Lower the video bit rate: it is made into smaller renditions anyway, and the upload may not carry it",
                "Settings > Output > Streaming: Rate Control CBR, Bitrate at or below the limit",
                "-b:v and -maxrate at or below the limit, -bufsize the same",
            ),
            Self::BitrateLow => fix(
                "Raise the video bit rate, or send a smaller picture: renditions are no better than their source",
                "Settings > Output > Streaming: Rate Control CBR, Bitrate at or above the limit; or Settings > Video: smaller Output Resolution",
                "-b:v and -minrate at or above the limit with -x264-params nal-hrd=cbr; or -vf scale to a smaller size",
            ),
            Self::FpsHigh => fix(
                "Send at most 60 pictures a second: more are thrown away",
                "Settings > Video: Common FPS Values 60 or 30",
                "-r 60 (or 30) before the output",
            ),
            Self::AudioMissing => fix(
                "Send an AAC track beside the picture, silent if need be; viewers get silence meanwhile",
                "Settings > Audio: a Desktop or Mic device that is not Disabled, and not muted in the mixer",
                "Map a sound (-map 0:v -map 0:a), or add -f lavfi -i anullsrc=r=48000:cl=stereo; -c:a aac; no -an",
            ),
            Self::PixelsNotSquare => fix(
                "Scale to square pixels before encoding, e.g. 1024x576 in place of 720x576 shown as 16:9",
                "Settings > Video: an Output (Scaled) Resolution with the canvas's aspect ratio",
                "-vf scale='trunc(iw*sar/2)*2':ih,setsar=1",
            ),
            Self::PacketsLost => fix(
                "The network loses more than is sent again in time: use a cable, a lower bit rate, or with SRT more latency",
                "Settings > Stream: Server with &latency=2000000 (microseconds) for SRT; lower Bitrate",
                "srt://…&latency=2000000 (microseconds), four times the round trip or more; lower -b:v",
            ),
            Self::SlotsDiffer => fix(
                "Give both encoders the same size, frame rate, codecs and sample rate, so that a switch cannot be seen or heard",
                "Use one profile for both: Profile > Export on one machine, Import on the other",
                "Use one command for both, with only the address different",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once_spelled_as_in_json_and_has_a_cure() {
        for (at, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, at);
            let mut spelled = String::new();
            for letter in format!("{code:?}").chars() {
                if letter.is_ascii_uppercase() && !spelled.is_empty() {
                    spelled.push('_');
                }
                spelled.push(letter.to_ascii_lowercase());
            }
            assert_eq!(code.name(), spelled);
            let Fix { text, obs, ffmpeg } = code.fix();
            assert!([text, obs, ffmpeg].iter().all(|words| words.len() > 10), "{code:?}");
            assert!(!code.say(1.0, 1.0).is_empty() && !code.unit().is_empty());
        }
    }
}
