//! What is taken of what a source describes: the first video and the first sound that can be decoded here.

use retina::client::Stream;
use retina::codec::{ParametersRef, VideoParametersCodec};
use weir_media::codec::{VideoCodec, aac, opus};

use super::PullError;
use super::tracks::Sound;

/// Ticks per second of H.264 (RFC 6184) and H.265 (RFC 7798) in RTP.
const VIDEO_RATE: u32 = 90_000;
/// The channels that every Opus decoder makes of whatever comes (RFC 7587, 7.1).
const OPUS_CHANNELS: u8 = 2;
/// Of what else is offered so many names are told, so many characters of each.
const MOST_NAMES: usize = 8;
const LONGEST_NAME: usize = 20;

/// What is taken.
pub(super) struct Offer {
    pub video: Video,
    pub audio: Option<Audio>,
    /// Sound there is, but none that can be decoded: its name.
    pub unheard: Option<String>,
}

pub(super) struct Video {
    /// Which of the streams described.
    pub stream: usize,
    pub codec: VideoCodec,
    /// Its parameter sets as far as the description has them, NAL units each.
    pub sets: Vec<Vec<u8>>,
}

pub(super) struct Audio {
    /// As in [`Video`].
    pub stream: usize,
    pub sound: Sound,
}

impl Offer {
    /// Chooses.
    pub fn choose(streams: &[Stream]) -> Result<Self, PullError> {
        let videos = || streams.iter().enumerate().filter(|(_, stream)| stream.media() == "video");
        let Some(video) = videos().find_map(|(at, stream)| video(at, stream)) else {
            let names: Vec<_> = streams.iter().take(MOST_NAMES).map(|stream| name(stream.encoding_name())).collect();
            let offered = names.join(", ");
            return Err(PullError::Unacceptable(format!("no H.264 or H.265 video, but {offered}")));
        };
        let sounds = || streams.iter().enumerate().filter(|(_, stream)| stream.media() == "audio");
        let audio = sounds().find_map(|(stream, offered)| sound(offered).map(|sound| Audio { stream, sound }));
        let unheard = sounds().next().filter(|_| audio.is_none()).map(|(_, stream)| name(stream.encoding_name()));
        Ok(Self { video, audio, unheard })
    }

    /// The streams that are taken.
    pub fn streams(&self) -> impl Iterator<Item = usize> {
        [Some(self.video.stream), self.audio.as_ref().map(|audio| audio.stream)].into_iter().flatten()
    }
}

fn video(at: usize, stream: &Stream) -> Option<Video> {
    let codec = match stream.encoding_name() {
        "h264" => VideoCodec::H264,
        "h265" => VideoCodec::Hevc,
        _ => return None,
    };
    let sets = match stream.parameters() {
        Some(ParametersRef::Video(parameters)) => match parameters.codec_params() {
            VideoParametersCodec::H264 { sps, pps } => vec![sps.to_vec(), pps.to_vec()],
            VideoParametersCodec::H265 { vps, sps, pps } => vec![vps.to_vec(), sps.to_vec(), pps.to_vec()],
            _ => vec![],
        },
        _ => vec![],
    };
    (stream.clock_rate_hz() == VIDEO_RATE).then_some(Video { stream: at, codec, sets })
}

fn sound(stream: &Stream) -> Option<Sound> {
    match stream.encoding_name() {
        // Parameters are there of what comes in mode AAC-hbr, whose clock is the sampling rate.
        "mpeg4-generic" => match stream.parameters()? {
            ParametersRef::Audio(parameters) => {
                let config = aac::parse(parameters.extra_data()).ok()?;
                Some(Sound::aac(config, stream.clock_rate_hz(), parameters.frame_length()?.get()))
            }
            _ => None,
        },
        "opus" if stream.clock_rate_hz() == opus::SAMPLE_RATE => Some(Sound::opus(opus::head(OPUS_CHANNELS, 0).ok()?)),
        _ => None,
    }
}

/// A name out of a description, fit to be shown.
fn name(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(LONGEST_NAME).collect()
}
