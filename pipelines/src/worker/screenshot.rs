//! A picture of the output as JPEG, every ten seconds, made beside the output and never in its way.
//!
//! A small pipeline of its own takes a picture when it is due and nothing waits in front of it; its threads scale and encode. The mixer only
//! hands over a reference. What fails here, or finds the outbox full, costs a screenshot and nothing else.

use bytes::Bytes;
use gst_app::{AppSink, AppSinkCallbacks, AppSrc};
use weir_media::ladder::Rendition;
use weir_media::protocol::{FromWorker, MAX_SCREENSHOT, Output};

use super::WorkerError;
use super::elements::Pipeline;
use super::outbox::Outbox;
use super::timeline::frame_pts;

/// Time between two pictures.
const EVERY_S: f64 = 10.0;
/// Widest picture, pixels.
const WIDEST: u32 = 1_080;

/// The running pipeline.
pub struct Screenshots {
    source: AppSrc,
    output: Output,
    /// First output frame of the next one.
    next: u64,
    /// Last, so that the source is gone when it stops.
    _pipeline: Pipeline,
}

impl Screenshots {
    /// Starts it; the first picture is due at once.
    pub fn start(output: &Output, outbox: Outbox) -> Result<Self, WorkerError> {
        let canvas = output.renditions.first().ok_or(WorkerError::NoRendition)?;
        let pipeline = Pipeline::new(&description(output, canvas))?;
        let source = pipeline.element("pictures")?;
        send(&pipeline.element::<AppSink>("sink")?, outbox);
        pipeline.play()?;
        Ok(Self { source, output: output.clone(), next: 0, _pipeline: pipeline })
    }

    /// Output frame `n`. Never waits.
    pub fn offer(&mut self, n: u64, picture: &gst::Buffer) {
        if n < self.next || self.source.current_level_buffers() > 0 {
            return;
        }
        let rate = self.output.grid.frame_rate;
        self.next = n + (EVERY_S * rate.as_f64()).round() as u64;
        // Shares the pixels, not the metadata.
        let mut buffer = picture.copy();
        {
            let buffer = buffer.make_mut();
            buffer.unset_flags(gst::BufferFlags::all());
            buffer.set_pts(gst::ClockTime::from_nseconds(frame_pts(rate, n)));
            buffer.set_dts(gst::ClockTime::NONE);
        }
        // One that has given up takes no more; the output goes on.
        let _ = self.source.push_buffer(buffer);
    }
}

fn description(output: &Output, canvas: &Rendition) -> String {
    let (rate, (width, height)) = (output.grid.frame_rate, size(canvas));
    let scale = match (width, height) == (canvas.width, canvas.height) {
        true => String::new(),
        false => format!("weirscale ! video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1 ! "),
    };
    format!(
        "appsrc name=pictures format=time is-live=false max-bytes=0 max-buffers=0 max-time=0 \
         caps=\"video/x-raw,format=I420,width={},height={},framerate={}/{},pixel-aspect-ratio=1/1,\
         interlace-mode=progressive,colorimetry=bt709\" ! {scale}jpegenc quality=80 \
         ! appsink name=sink sync=false async=false",
        canvas.width,
        canvas.height,
        rate.num(),
        rate.den()
    )
}

/// Of the JPEG, in even numbers, because a pixel's colour is shared by four.
fn size(canvas: &Rendition) -> (u32, u32) {
    if canvas.width <= WIDEST {
        return (canvas.width, canvas.height);
    }
    let height = u64::from(canvas.height) * u64::from(WIDEST) / u64::from(canvas.width);
    (WIDEST, (height as u32).next_multiple_of(2).max(2))
}

fn send(sink: &AppSink, outbox: Outbox) {
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let map = sample.buffer().ok_or(gst::FlowError::Error)?.map_readable().map_err(|_| gst::FlowError::Error)?;
        if map.len() <= MAX_SCREENSHOT && !outbox.offer(FromWorker::Screenshot { data: Bytes::copy_from_slice(&map) }) {
            return Err(gst::FlowError::Eos);
        }
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_at_most_1080_wide_and_keep_their_shape() {
        let of = |width, height| size(&Rendition { name: "x".into(), width, height, bitrate_kbps: 1_000 });
        assert_eq!(of(1920, 1080), (1080, 608));
        assert_eq!(of(640, 360), (640, 360));
        assert_eq!(of(1080, 1920), (1080, 1920));
        assert_eq!(of(3840, 2160), (1080, 608));
    }
}
