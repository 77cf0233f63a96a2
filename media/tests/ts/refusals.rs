//! What is not decoded is refused by name.

use super::files::{ffmpeg, stream};
use super::*;

#[test]
fn other_codecs_are_refused_by_name() {
    for (encoders, name) in [
        ("-c:v mpeg2video -c:a aac", "MPEG-2 video"),
        ("-c:v mpeg1video -c:a aac", "MPEG-2 video"),
        ("-c:v mpeg4 -c:a aac", "MPEG-4 Part 2 video"),
        ("-c:v libx264 -preset ultrafast -c:a ac3", "AC-3 audio"),
        ("-c:v libx264 -preset ultrafast -c:a eac3", "E-AC-3 audio"),
        ("-c:v libx264 -preset ultrafast -c:a mp2", "MPEG audio (MP2 or MP3)"),
        ("-c:v libx264 -preset ultrafast -c:a libopus", "Opus audio"),
        ("-c:v libx264 -preset ultrafast -c:a s302m -ac 2 -strict -2", "PCM audio (SMPTE 302M)"),
        ("-c:v libx264 -preset ultrafast -c:a aac -mpegts_flags latm", "AAC in LATM or raw (send it in ADTS)"),
    ] {
        let ts = stream("64x48:rate=25", "sample_rate=48000", encoders);
        let Err(error) = demux(ts.chunks(PAYLOAD)) else { panic!("{encoders} is taken") };
        assert_eq!(error, TsError::Codec(name.to_owned()), "{encoders}");
        assert!(error.to_string().starts_with(name) && error.to_string().contains("send H.264"));
    }
}

#[test]
fn what_can_be_decoded_is_taken_beside_what_cannot() {
    let inputs = "-f lavfi -i testsrc2=size=64x48:rate=25 -f lavfi -i sine=sample_rate=48000 -t 1";
    let maps = "-map 1 -map 1 -map 0 -map 0 -c:v:0 mpeg2video -c:v:1 libx264 -c:a:0 ac3 -c:a:1 aac";
    let demuxed = demux_all(&ffmpeg(&format!("{inputs} {maps}"), "mpegts"));
    assert_eq!(demuxed.units(Track::Video).len(), 25);
    assert!(demuxed.units(Track::Audio).len() > 40);
}

#[test]
fn what_is_no_transport_stream_is_refused() {
    let mut random = Random(7);
    let noise: Vec<u8> = (0..2 << 20).map(|_| random.next() as u8).collect();
    assert_eq!(demux(noise.chunks(PAYLOAD)).err(), Some(TsError::NoPackets));
    let flv = ffmpeg("-f lavfi -i testsrc2=size=640x480:rate=25 -t 4 -c:v libx264 -preset ultrafast -qp 4", "flv");
    assert!(flv.len() > 1 << 20, "{}", flv.len());
    assert_eq!(demux(flv.chunks(PAYLOAD)).err(), Some(TsError::NoPackets));
}
