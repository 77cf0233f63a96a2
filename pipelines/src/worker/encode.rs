//! The one encode pipeline of a broadcast: raw pictures and sound in, CMAF parts of every rendition out.
//!
//! It is not live and has no clock: the mixer paces it, so it can also run faster than real time. It never sees a caps change, a gap
//! or an error of an input. Segments start with a keyframe because one is forced there in every rung.

use std::sync::PoisonError;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks, AppSrc};
use weir_media::grid::SAMPLE_RATE;
use weir_media::ladder::Rendition;
use weir_media::protocol::{Chunk, FromWorker, H264Encoder, Output, WorkerSpec};

use super::WorkerError;
use super::audio_ring::Sample;
use super::cut::{self, Heads, Raster};
use super::elements::{Ending, Pipeline};
use super::outbox::Outbox;
use super::timeline::{frame_pts, sample_pts};

/// Pictures that may wait in front of the rungs.
const PICTURES: u64 = 10;
/// Blocks of sound, each a slot long, that may wait in front of the audio encoder.
const BLOCKS: u64 = 60;

/// The running encoders.
pub struct Encoder {
    /// One per rung: each has its own thread, so the rungs share pictures but wait for nobody.
    rungs: Vec<AppSrc>,
    audio: AppSrc,
    output: Output,
    first_rung: Heads,
    black: gst::Buffer,
    pipeline: Pipeline,
}

impl Encoder {
    /// Starts the encoders for `output`; parts go to `outbox`.
    pub fn start(spec: &WorkerSpec, output: &Output, outbox: &Outbox) -> Result<Self, WorkerError> {
        let canvas = output.renditions.first().ok_or(WorkerError::NoRendition)?;
        let pipeline = Pipeline::new(&description(spec, output, canvas)?)?;
        let (mut first_rung, mut rungs) = (None, vec![]);
        for track in 0..=output.renditions.len() {
            let raster = if track < output.renditions.len() { Raster::Video } else { Raster::Audio };
            let muxer = pipeline.element::<gst::Element>(&format!("mux{track}"))?;
            let heads = cut::install(&muxer, output.grid, raster)
                .ok_or_else(|| WorkerError::Pipeline("muxer is not linked".into()))?;
            first_rung.get_or_insert_with(|| heads.clone());
            if matches!(raster, Raster::Video) {
                rungs.push(pipeline.element(&format!("rung{track}"))?);
            }
            collect(&pipeline.element::<AppSink>(&format!("sink{track}"))?, track as u8, heads, outbox.clone());
        }
        let encoder = Self {
            rungs,
            audio: pipeline.element("audio")?,
            output: output.clone(),
            first_rung: first_rung.ok_or(WorkerError::NoRendition)?,
            black: black(canvas)?,
            pipeline,
        };
        encoder.pipeline.play()?;
        Ok(encoder)
    }

    /// A black picture of the canvas.
    pub fn black(&self) -> gst::Buffer {
        self.black.clone()
    }

    /// The encoders have as much waiting as they should.
    pub fn video_full(&self) -> bool {
        self.rungs.iter().any(|rung| rung.current_level_buffers() >= PICTURES)
    }

    /// As [`Self::video_full`], for sound.
    pub fn audio_full(&self) -> bool {
        self.audio.current_level_buffers() >= BLOCKS
    }

    /// Makes the next pushed picture, output frame `n`, a keyframe. Must not be asked for the very first one, which is one
    /// anyway: GStreamer 1.22's encoder base class then refuses every later request.
    pub fn force_keyframe(&self, n: u64) {
        let time = gst::ClockTime::from_nseconds(frame_pts(self.output.grid.frame_rate, n));
        let event = gst_video::DownstreamForceKeyUnitEvent::builder().running_time(time).all_headers(true).build();
        for rung in &self.rungs {
            rung.send_event(event.clone());
        }
    }

    /// Encodes `picture` as output frame `n`; `false` when the pipeline has ended.
    pub fn push_picture(&self, n: u64, picture: &gst::Buffer) -> bool {
        let rate = self.output.grid.frame_rate;
        // Shares the pixels, not the metadata.
        let mut buffer = picture.copy();
        {
            let buffer = buffer.make_mut();
            let pts = frame_pts(rate, n);
            buffer.unset_flags(gst::BufferFlags::all());
            buffer.set_pts(gst::ClockTime::from_nseconds(pts));
            buffer.set_dts(gst::ClockTime::NONE);
            buffer.set_duration(gst::ClockTime::from_nseconds(frame_pts(rate, n + 1) - pts));
        }
        self.rungs.iter().all(|rung| rung.push_buffer(buffer.clone()).is_ok())
    }

    /// Encodes `block` as the output's samples from number `first` on; `false` when the pipeline has ended.
    pub fn push_sound(&self, first: u64, block: &[Sample]) -> bool {
        let bytes: Vec<u8> = block.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        if let Some(buffer) = buffer.get_mut() {
            let pts = sample_pts(first);
            buffer.set_pts(gst::ClockTime::from_nseconds(pts));
            buffer.set_duration(gst::ClockTime::from_nseconds(sample_pts(first + block.len() as u64) - pts));
        }
        self.audio.push_buffer(buffer).is_ok()
    }

    /// Pictures that the largest rung has encoded so far.
    pub fn encoded(&self) -> u64 {
        self.first_rung.lock().unwrap_or_else(PoisonError::into_inner).frames
    }

    /// Why it has given up, if it has.
    pub fn failure(&self) -> Option<String> {
        match self.pipeline.ending() {
            Some(Ending::Error(reason)) => Some(reason),
            _ => None,
        }
    }

    /// Ends the input and waits until everything is out, at most until `deadline`.
    pub fn drain(&self, deadline: Instant) {
        let mut sources = self.rungs.iter().chain([&self.audio]);
        let ended = sources.all(|source| source.end_of_stream().is_ok());
        if !ended || self.pipeline.wait(deadline).is_none() {
            tracing::warn!("the encoders did not finish in time");
        }
    }
}

fn description(spec: &WorkerSpec, output: &Output, canvas: &Rendition) -> Result<String, WorkerError> {
    if !spec.preset.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Err(WorkerError::Pipeline("preset is not a word".into()));
    }
    let (grid, rate) = (&output.grid, output.grid.frame_rate);
    let segment = frame_pts(rate, u64::from(grid.segment_frames));
    let part = frame_pts(rate, u64::from(grid.part_frames));
    let mux = |track: usize| {
        format!(
            "cmafmux name=mux{track} manual-split=true send-force-keyunit=false fragment-duration={segment} \
             chunk-duration={part} ! appsink name=sink{track} sync=false async=false buffer-list=true "
        )
    };
    let mut text = String::new();
    for (track, rung) in output.renditions.iter().enumerate() {
        text += &format!(
            "appsrc name=rung{track} format=time is-live=false max-bytes=0 max-buffers=0 max-time=0 \
             caps=\"video/x-raw,format=I420,width={},height={},framerate={}/{},pixel-aspect-ratio=1/1,\
             interlace-mode=progressive,colorimetry=bt709\" ! ",
            canvas.width,
            canvas.height,
            rate.num(),
            rate.den()
        );
        if (rung.width, rung.height) != (canvas.width, canvas.height) {
            text += &format!(
                "weirscale ! video/x-raw,width={},height={},pixel-aspect-ratio=1/1 ! ",
                rung.width, rung.height
            );
        }
        let bitrate = rung.bitrate_kbps;
        text += &match spec.encoder {
            H264Encoder::X264enc => format!(
                "x264enc tune=zerolatency speed-preset={} bitrate={bitrate} vbv-buf-capacity=1000 key-int-max={} \
                 bframes=0 b-adapt=false aud=false threads={} option-string=\"scenecut=0\" \
                 ! video/x-h264,profile=main,stream-format=avc ! ",
                spec.preset, grid.segment_frames, spec.threads
            ),
            H264Encoder::Openh264enc => format!(
                "openh264enc rate-control=bitrate bitrate={} max-bitrate={} gop-size={} complexity=low \
                 multi-thread={} ! h264parse ! video/x-h264,stream-format=avc,alignment=au ! ",
                bitrate * 1_000,
                bitrate * 1_200,
                grid.segment_frames,
                spec.threads
            ),
        };
        text += &mux(track);
    }
    text += &format!(
        "appsrc name=audio format=time is-live=false max-bytes=0 max-buffers=0 max-time=0 \
         caps=\"audio/x-raw,format=F32LE,rate={SAMPLE_RATE},channels=2,layout=interleaved\" \
         ! audioconvert ! avenc_aac bitrate={} ! aacparse ! {}",
        output.audio_bitrate_kbps * 1_000,
        mux(output.renditions.len())
    );
    Ok(text)
}

/// Sends what a muxer makes. Each buffer list is one part; the first one has the initialization segment in front.
fn collect(sink: &AppSink, track: u8, heads: Heads, outbox: Outbox) {
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let list = sample.buffer_list_owned().ok_or(gst::FlowError::Error)?;
        let (mut init, mut part) = (None, BytesMut::with_capacity(list.calculate_size()));
        for buffer in list.iter() {
            let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            if buffer.flags().contains(gst::BufferFlags::HEADER | gst::BufferFlags::DISCONT) {
                init = Some(Bytes::copy_from_slice(&map));
            } else {
                part.extend_from_slice(&map);
            }
        }
        let mut open = init.is_none_or(|data| outbox.send(FromWorker::Init { track, data }));
        if !part.is_empty() {
            let head = heads.lock().unwrap_or_else(PoisonError::into_inner).take();
            let head = head.ok_or(gst::FlowError::Error)?;
            open &= outbox.send(FromWorker::Chunk(Chunk {
                track,
                segment: head.segment,
                part: head.part,
                frames: head.frames,
                independent: head.independent,
                data: part.freeze(),
            }));
        }
        if open { Ok(gst::FlowSuccess::Ok) } else { Err(gst::FlowError::Eos) }
    });
    sink.set_callbacks(callbacks.build());
}

fn black(canvas: &Rendition) -> Result<gst::Buffer, WorkerError> {
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, canvas.width, canvas.height)
        .build()
        .map_err(|error| WorkerError::Pipeline(error.to_string()))?;
    let mut pixels = vec![128u8; info.size()];
    pixels[..info.offset()[1]].fill(16);
    Ok(gst::Buffer::from_mut_slice(pixels))
}
