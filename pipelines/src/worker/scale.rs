//! `weirscale`, a GStreamer element: bilinear scaling of I420 pictures, plane by plane, on the thread that pushes them.
//!
//! Several times faster than `videoscale`, without borders, and with pixel centres aligned; see [`super::bilinear`]. Caps on both sides say the sizes;
//! everything else passes unchanged, and so do pictures when the sizes are equal.

use gst::glib;

glib::wrapper! {
    /// The element.
    pub struct Scale(ObjectSubclass<imp::Scale>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object;
}

mod imp {
    use std::sync::{LazyLock, Mutex, PoisonError};

    use gst::glib;
    use gst::subclass::prelude::*;
    use gst_base::subclass::BaseTransformMode;
    use gst_base::subclass::prelude::*;
    use gst_video::prelude::*;
    use gst_video::subclass::prelude::*;
    use gst_video::{VideoFormat, VideoFrameRef, VideoInfo};

    use super::super::bilinear::{PlaneScaler, Size};

    #[derive(Default)]
    pub struct Scale {
        /// One for each plane, for the sizes that were negotiated.
        planes: Mutex<Vec<PlaneScaler>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Scale {
        const NAME: &'static str = "WeirScale";
        type Type = super::Scale;
        type ParentType = gst_video::VideoFilter;
    }

    impl ObjectImpl for Scale {}
    impl GstObjectImpl for Scale {}

    impl ElementImpl for Scale {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                let class = "Filter/Converter/Video/Scaler";
                gst::subclass::ElementMetadata::new("Scaler", class, "Scales I420 pictures bilinearly", "Weir")
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let caps = gst_video::VideoCapsBuilder::new().format(VideoFormat::I420).build();
                [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                    .into_iter()
                    .filter_map(|(name, way)| gst::PadTemplate::new(name, way, gst::PadPresence::Always, &caps).ok())
                    .collect()
            });
            &TEMPLATES
        }
    }

    impl BaseTransformImpl for Scale {
        const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = true;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

        fn transform_caps(
            &self,
            _direction: gst::PadDirection,
            caps: &gst::Caps,
            filter: Option<&gst::Caps>,
        ) -> Option<gst::Caps> {
            let mut sized = caps.clone();
            for structure in sized.make_mut().iter_mut() {
                structure.set("width", gst::IntRange::new(1, i32::MAX));
                structure.set("height", gst::IntRange::new(1, i32::MAX));
            }
            // The same size first: it is what a neighbour without a wish gets.
            let mut any = caps.clone();
            any.merge(sized);
            Some(filter.map(|filter| filter.intersect_with_mode(&any, gst::CapsIntersectMode::First)).unwrap_or(any))
        }

        fn transform_meta<'a>(
            &self,
            outbuf: &mut gst::BufferRef,
            meta: gst::MetaRef<'a, gst::Meta>,
            inbuf: &'a gst::BufferRef,
        ) -> bool {
            // What is told in pixels of the source does not hold for the target.
            !meta.has_tag::<gst_video::video_meta::tags::Size>() && self.parent_transform_meta(outbuf, meta, inbuf)
        }
    }

    impl VideoFilterImpl for Scale {
        fn set_info(
            &self,
            _incaps: &gst::Caps,
            source: &VideoInfo,
            _outcaps: &gst::Caps,
            target: &VideoInfo,
        ) -> Result<(), gst::LoggableError> {
            let size = |info: &VideoInfo, plane: u8| Size {
                width: info.comp_width(plane) as usize,
                height: info.comp_height(plane) as usize,
            };
            // Planes are components in I420.
            *self.planes.lock().unwrap_or_else(PoisonError::into_inner) =
                (0..3).map(|plane| PlaneScaler::new(size(source, plane), size(target, plane))).collect();
            Ok(())
        }

        fn transform_frame(
            &self,
            source: &VideoFrameRef<&gst::BufferRef>,
            target: &mut VideoFrameRef<&mut gst::BufferRef>,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let stride =
                |strides: &[i32], plane: usize| strides.get(plane).and_then(|stride| usize::try_from(*stride).ok());
            let mut planes = self.planes.lock().unwrap_or_else(PoisonError::into_inner);
            for (plane, scaler) in planes.iter_mut().enumerate() {
                let from_stride = stride(source.plane_stride(), plane).ok_or(gst::FlowError::Error)?;
                let to_stride = stride(target.plane_stride(), plane).ok_or(gst::FlowError::Error)?;
                let from = source.plane_data(plane as u32).map_err(|_| gst::FlowError::Error)?;
                let to = target.plane_data_mut(plane as u32).map_err(|_| gst::FlowError::Error)?;
                scaler.scale(from, from_stride, to, to_stride).ok_or(gst::FlowError::Error)?;
            }
            Ok(gst::FlowSuccess::Ok)
        }
    }
}

#[cfg(test)]
mod tests {
    use gst_app::AppSink;
    use gst_video::prelude::*;

    use super::super::bilinear::{PlaneScaler, Size};
    use super::super::elements::{self, Pipeline};

    /// The planes, without what fills their strides, of one picture of `from` behind `scaler`, with their sizes.
    fn picture(scaler: &str, from: (u32, u32), to: (u32, u32)) -> Vec<(Size, Vec<u8>)> {
        elements::start().expect("gstreamer starts");
        let pipeline = Pipeline::new(&format!(
            "videotestsrc num-buffers=1 pattern=pinwheel foreground-color=0xffe04020 background-color=0xff1060d0 \
             ! video/x-raw,format=I420,width={},height={},pixel-aspect-ratio=1/1 \
             ! {scaler} ! video/x-raw,width={},height={} ! appsink name=sink sync=false",
            from.0, from.1, to.0, to.1
        ))
        .expect("the description is right");
        pipeline.play().expect("it plays");
        let sink: AppSink = pipeline.element("sink").expect("a sink");
        let sample = sink.pull_sample().expect("a picture");
        let info = gst_video::VideoInfo::from_caps(sample.caps().expect("caps")).expect("caps of video");
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer().expect("a buffer"), &info)
            .expect("a map");
        let plane = |plane: u32| {
            let (width, height) = (info.comp_width(plane as u8) as usize, info.comp_height(plane as u8) as usize);
            let rows = frame.plane_data(plane).expect("a plane").chunks(frame.plane_stride()[plane as usize] as usize);
            (Size { width, height }, rows.take(height).flat_map(|row| &row[..width]).copied().collect())
        };
        (0..3).map(plane).collect()
    }

    #[test]
    fn every_plane_is_scaled_whatever_its_stride() {
        // The last three have rows that do not fill their strides.
        for (from, to) in [
            ((1280, 720), (832, 468)),
            ((1280, 720), (640, 360)),
            ((1920, 1080), (426, 240)),
            ((322, 182), (214, 122)),
            ((214, 122), (322, 182)),
        ] {
            let sources = picture("identity", from, from);
            let targets = picture("weirscale", from, to);
            for ((source, pixels), (target, scaled)) in sources.iter().zip(&targets) {
                let mut expected = vec![0; target.width * target.height];
                let scale = PlaneScaler::new(*source, *target).scale(pixels, source.width, &mut expected, target.width);
                assert_eq!(scale, Some(()));
                assert!(expected.iter().any(|pixel| *pixel != expected[0]), "nothing to see in {source:?}");
                assert!(*scaled == expected, "{source:?} to {target:?}");
            }
        }
    }

    #[test]
    fn equal_sizes_pass() {
        assert!(picture("weirscale", (320, 180), (320, 180)) == picture("identity", (320, 180), (320, 180)));
    }
}
