//! Which GStreamer elements a worker needs, for `weir doctor`.

use weir_media::protocol::H264Encoder;

use crate::worker::{WorkerError, scan_plugins};

/// Elements of the decode and encode pipelines; the encoder of the rungs comes on top. Debian's package is told with each.
pub(crate) const NEEDED: [(&str, &str); 19] = [
    ("appsrc", "gstreamer1.0-plugins-base"),
    ("appsink", "gstreamer1.0-plugins-base"),
    ("capsfilter", "libgstreamer1.0-0"),
    ("queue", "libgstreamer1.0-0"),
    ("tee", "libgstreamer1.0-0"),
    ("audioconvert", "gstreamer1.0-plugins-base"),
    ("audioresample", "gstreamer1.0-plugins-base"),
    ("videoconvert", "gstreamer1.0-plugins-base"),
    ("videoscale", "gstreamer1.0-plugins-base"),
    ("aacparse", "gstreamer1.0-plugins-good"),
    ("jpegenc", "gstreamer1.0-plugins-good"),
    ("opusdec", "gstreamer1.0-plugins-base"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("h265parse", "gstreamer1.0-plugins-bad"),
    ("avdec_h264", "gstreamer1.0-libav"),
    ("avdec_h265", "gstreamer1.0-libav"),
    ("avdec_aac", "gstreamer1.0-libav"),
    ("avenc_aac", "gstreamer1.0-libav"),
    ("cmafmux", "part of weir"),
];

/// The elements that are missing here, each with the Debian package that has it. Scans all plugins, so it may take a second.
pub fn missing(encoder: H264Encoder) -> Result<Vec<(&'static str, &'static str)>, WorkerError> {
    scan_plugins()?;
    let encoder = match encoder {
        H264Encoder::X264enc => ("x264enc", "gstreamer1.0-plugins-ugly"),
        H264Encoder::Openh264enc => ("openh264enc", "gstreamer1.0-plugins-bad"),
    };
    let absent = |(element, _): &(&str, &str)| gst::ElementFactory::find(element).is_none();
    Ok(NEEDED.into_iter().chain([encoder]).filter(absent).collect())
}
