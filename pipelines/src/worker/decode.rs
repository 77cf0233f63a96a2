//! Throw-away decoders of one input: a pipeline for its video and one for its audio, so that neither can hurt the other.
//!
//! | codec | elements | taken |
//! |---|---|---|
//! | H.264 | `h264parse`, `avdec_h264` | `avc` units behind lengths; all that libav decodes, converted to 8 bit 4:2:0 |
//! | HEVC | `h265parse`, `avdec_h265` | `hvc1` units behind lengths; the same, 10 bit and 4:2:2 too |
//! | AAC | `aacparse`, `avdec_aac` | raw frames |
//! | Opus | `opusdec` | packets; mono and stereo |
//!
//! Units go in without waiting: a full pipeline refuses them. What comes out goes to the input's [`super::session::Session`], where a
//! full queue holds the decoder. An error ends the pipeline; its owner builds a new one.
//!
//! GStreamer knows no time below zero and its decoders do not follow one that goes back. Inside, timestamps are therefore
//! shifted, first by [`SHIFT`], and after a jump of the source's clock by whatever lets them rise on; what then still comes
//! from before the jump is dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks, AppSrc};
use weir_media::access_unit::AccessUnit;
use weir_media::codec::{AudioCodec, AudioConfig, VideoCodec, VideoConfig};
use weir_media::id::SessionId;

use super::WorkerError;
use super::audio_ring::Sample;
use super::elements::{Ending, Pipeline};
use super::session::Session;
use super::stage::Stage;

/// Added to every timestamp at first, nanoseconds: 2,000 h, more than the 32 bits of milliseconds that RTMP has.
const SHIFT: i64 = 2_000 * 3_600 * 1_000_000_000;
/// Compressed units a decoder holds: the longest delay and a 4 s GOP at 60 fps, and what arrives while it is caught up with.
const UNITS: u64 = 1_500;
/// Bytes of them.
const BYTES: u64 = 64 << 20;
/// How far inner timestamps step at a jump of the source's clock, nanoseconds.
const STEP: i64 = 1_000_000_000;
/// Longest wait of a held decoder before it looks again whether it should end, nanoseconds.
const LOOK: i64 = 200_000_000;

/// How inner timestamps relate to the source's since its clock last jumped.
#[derive(Clone, Copy, Debug)]
struct Era {
    shift: i64,
    /// Inner timestamps before this are from before the jump.
    begin: i64,
}

/// A decoder of one track.
pub struct Decoder {
    source: AppSrc,
    era: Arc<Mutex<Era>>,
    /// Latest inner decoding time.
    latest: i64,
    stopped: Arc<AtomicBool>,
    stage: Arc<Stage>,
    // Stops the pipeline, after `drop` has released its callback.
    pipeline: Pipeline,
}

/// The unit did not fit.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Decoder {
    /// A decoder of `session`'s video to I420 pictures of `width` x `height` square pixels.
    pub fn video(
        stage: &Arc<Stage>,
        session: SessionId,
        config: &VideoConfig,
        width: u32,
        height: u32,
    ) -> Result<Self, WorkerError> {
        let decoder = match config.codec {
            VideoCodec::H264 => "h264parse ! avdec_h264",
            VideoCodec::Hevc => "h265parse ! avdec_h265",
        };
        // One thread: frame threads would each add a frame of delay.
        let description = format!(
            "appsrc name=source format=time is-live=false max-buffers=0 max-bytes=0 \
             ! {decoder} max-threads=1 output-corrupt=false ! videoconvert n-threads=1 \
             ! videoscale n-threads=1 add-borders=true method=bilinear \
             ! video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1,colorimetry=bt709 \
             ! appsink name=sink sync=false async=false"
        );
        Self::start(stage, session, &description, &video_caps(config), |stage, session, buffer, pts| {
            let now = stage.clock.now();
            session.picture(now, pts, buffer);
        })
    }

    /// A decoder of `session`'s audio to 48 kHz stereo.
    pub fn audio(stage: &Arc<Stage>, session: SessionId, config: &AudioConfig) -> Result<Self, WorkerError> {
        let decoder = match config.codec {
            AudioCodec::Aac => "aacparse ! avdec_aac",
            // A lost packet is a hole like any other: the ring knows how to fill it.
            AudioCodec::Opus => "opusdec plc=false use-inband-fec=false",
        };
        let description = format!(
            "appsrc name=source format=time is-live=false max-buffers=0 max-bytes=0 \
             ! {decoder} ! audioconvert ! audioresample \
             ! audio/x-raw,format=F32LE,rate=48000,channels=2,layout=interleaved \
             ! appsink name=sink sync=false async=false"
        );
        Self::start(stage, session, &description, &audio_caps(config), |_, session, buffer, pts| {
            if let Ok(map) = buffer.map_readable() {
                session.sound(pts, &samples(&map));
            }
        })
    }

    fn start(
        stage: &Arc<Stage>,
        id: SessionId,
        description: &str,
        caps: &gst::Caps,
        deliver: impl Fn(&Stage, &mut Session<gst::Buffer>, gst::Buffer, i64) + Send + 'static,
    ) -> Result<Self, WorkerError> {
        let pipeline = Pipeline::new(description)?;
        let (source, sink) = (pipeline.element::<AppSrc>("source")?, pipeline.element::<AppSink>("sink")?);
        source.set_caps(Some(caps));
        let stopped = Arc::new(AtomicBool::new(false));
        let era = Arc::new(Mutex::new(Era { shift: SHIFT, begin: i64::MIN }));
        let (held, shared, eras) = (stopped.clone(), stage.clone(), era.clone());
        let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let Some((buffer, pts)) = sample.buffer_owned().and_then(|buffer| buffer.pts().map(|pts| (buffer, pts)))
            else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let (pts, Era { shift, begin }) = (pts.nseconds() as i64, *lock(&eras));
            if pts < begin {
                return Ok(gst::FlowSuccess::Ok);
            }
            let is_video =
                sample.caps().is_some_and(|caps| caps.structure(0).is_some_and(|s| s.name() == "video/x-raw"));
            let mut inputs = shared.lock();
            loop {
                if held.load(Ordering::Acquire) {
                    return Err(gst::FlowError::Flushing);
                }
                let session = inputs.sessions.get_mut(&id).ok_or(gst::FlowError::Flushing)?;
                if if is_video { session.picture_room() } else { session.audio_room() } {
                    deliver(&shared, session, buffer, pts - shift);
                    shared.delivered.notify_all();
                    return Ok(gst::FlowSuccess::Ok);
                }
                inputs = shared.wait(&shared.taken, inputs, LOOK);
            }
        });
        sink.set_callbacks(callbacks.build());
        offer_strides(&sink);
        pipeline.play()?;
        Ok(Self { source, era, latest: 0, stopped, stage: stage.clone(), pipeline })
    }

    /// The source's clock jumped to `dts`: nothing from before it is delivered any more.
    pub fn jump(&mut self, dts: i64) {
        let inner = self.latest.saturating_add(STEP);
        *lock(&self.era) = Era { shift: inner - dts, begin: inner - STEP / 2 };
    }

    /// Hands over a unit.
    pub fn push(&mut self, unit: &AccessUnit) -> Result<(), Full> {
        if self.source.current_level_buffers() >= UNITS || self.source.current_level_bytes() >= BYTES {
            return Err(Full);
        }
        let shift = lock(&self.era).shift;
        let (pts, dts) = (unit.pts.as_nanos().saturating_add(shift), unit.dts.as_nanos().saturating_add(shift));
        self.latest = self.latest.max(dts);
        let mut buffer = gst::Buffer::from_slice(unit.data.clone());
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(time(pts));
            buffer.set_dts(time(dts));
            if !unit.keyframe {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        // A refused buffer means that the pipeline has failed, which `failure` tells.
        let _ = self.source.push_buffer(buffer);
        Ok(())
    }

    /// Changes the decoder configuration in front of the next unit.
    pub fn reconfigure_video(&self, config: &VideoConfig) {
        self.source.set_caps(Some(&video_caps(config)));
    }

    /// As [`Self::reconfigure_video`].
    pub fn reconfigure_audio(&self, config: &AudioConfig) {
        self.source.set_caps(Some(&audio_caps(config)));
    }

    /// Nothing more will come: what is inside comes out.
    pub fn finish(&self) {
        let _ = self.source.end_of_stream();
    }

    /// Nothing more comes out: it was [`Self::finish`]ed and has delivered what was inside, or has given up.
    pub fn has_ended(&self) -> bool {
        self.pipeline.ending().is_some()
    }

    /// Why it has given up, if it has.
    pub fn failure(&self) -> Option<String> {
        match self.pipeline.ending() {
            Some(Ending::Error(reason)) => Some(reason),
            _ => None,
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        // Under the lock, so that a callback that has just looked is already waiting.
        let _inputs = self.stage.lock();
        self.stage.taken.notify_all();
    }
}

/// Tells the decoder that pictures may keep its own line lengths, which saves it a copy of each.
fn offer_strides(sink: &AppSink) {
    let Some(pad) = sink.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| match info.query_mut().map(gst::QueryRef::view_mut) {
        Some(gst::QueryViewMut::Allocation(query)) => {
            query.add_allocation_meta::<gst_video::VideoMeta>(None);
            gst::PadProbeReturn::Handled
        }
        _ => gst::PadProbeReturn::Ok,
    });
}

fn time(inner: i64) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(inner.max(0) as u64)
}

fn lock(era: &Mutex<Era>) -> MutexGuard<'_, Era> {
    era.lock().unwrap_or_else(PoisonError::into_inner)
}

fn video_caps(config: &VideoConfig) -> gst::Caps {
    let (name, format) = match config.codec {
        VideoCodec::H264 => ("video/x-h264", "avc"),
        VideoCodec::Hevc => ("video/x-h265", "hvc1"),
    };
    gst::Caps::builder(name)
        .field("stream-format", format)
        .field("alignment", "au")
        .field("codec_data", gst::Buffer::from_slice(config.decoder_config.clone()))
        .build()
}

fn audio_caps(config: &AudioConfig) -> gst::Caps {
    let (rate, channels) = (config.sample_rate as i32, i32::from(config.channels));
    match config.codec {
        AudioCodec::Aac => gst::Caps::builder("audio/mpeg")
            .field("mpegversion", 4i32)
            .field("stream-format", "raw")
            .field("framed", true)
            .field("rate", rate)
            .field("channels", channels)
            .field("codec_data", gst::Buffer::from_slice(config.decoder_config.clone()))
            .build(),
        // Without its record: a unit's time is that of its first decoded sample, so there is nothing to skip.
        AudioCodec::Opus => gst::Caps::builder("audio/x-opus")
            .field("channel-mapping-family", 0i32)
            .field("rate", rate)
            .field("channels", channels)
            .build(),
    }
}

fn samples(bytes: &[u8]) -> Vec<Sample> {
    let (frames, _) = bytes.as_chunks::<8>();
    frames
        .iter()
        .map(|&[a, b, c, d, e, f, g, h]| [f32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h])])
        .collect()
}
