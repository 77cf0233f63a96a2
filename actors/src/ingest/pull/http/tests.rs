use std::time::Instant;

use super::super::PullError;
use super::origin::{Answer, Origin, all, error, local, units};
use super::*;

/// 20 pictures at 25 fps and 14 frames of sound; see `media/fixtures`.
const TS: [&[u8]; 2] =
    [include_bytes!("../../../../../media/fixtures/ts-0.ts"), include_bytes!("../../../../../media/fixtures/ts-1.ts")];

#[tokio::test]
async fn a_stream_without_segments_is_handed_on_in_real_time_until_it_ends() {
    let origin = Origin::new(|_| Answer::ok(TS.concat()).with("content-type", "video/mp2t")).await;
    let began = Instant::now();
    let (items, end) = all(&origin.url("/live?token=secret"), &local()).await;
    assert!(matches!(end, PullError::Ended), "{end}");
    let pictures = units(&items, Track::Video);
    assert_eq!((pictures.len(), units(&items, Track::Audio).len()), (20, 14));
    assert_eq!((pictures[0].dts.as_nanos(), pictures[0].keyframe), (0, true));
    assert!(pictures.is_sorted_by(|a, b| a.dts < b.dts));
    // From the first picture to the last it takes 0.76 s.
    assert!(began.elapsed() >= Duration::from_millis(760), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_neither_playlist_nor_transport_stream_is_unacceptable() {
    for body in [&b"<html>"[..], b""] {
        let origin = Origin::new(move |_| Answer::ok(body)).await;
        let error = error(&origin.url("/live"), &local()).await;
        assert_eq!(error.to_string(), "no MPEG transport stream, send one with packets of 188 bytes");
    }
}

#[tokio::test]
async fn a_playlist_is_known_by_name_by_type_or_by_its_first_bytes() {
    let origin = Origin::new(|asked| match asked.path.as_str() {
        "/typed" => Answer::ok("nothing").with("content-type", "application/vnd.apple.mpegurl"),
        "/begins" => Answer::ok("#EXTM3U\n#EXT-X-TARGETDURATION:x\n"),
        _ => Answer::ok("nothing"),
    })
    .await;
    for path in ["/typed", "/named.m3u8", "/named.M3U8?token=secret", "/named.m3u"] {
        assert_eq!(error(&origin.url(path), &local()).await.to_string(), "no HLS playlist", "{path}");
    }
    let damaged = error(&origin.url("/begins"), &local()).await.to_string();
    assert_eq!(damaged, "HLS playlist has a damaged EXT-X-TARGETDURATION");
}

#[tokio::test]
async fn a_server_that_refuses_is_told_by_its_status() {
    let origin = Origin::new(|_| Answer::status(404)).await;
    let error = error(&origin.url("/live.ts?token=secret"), &local()).await;
    assert!(matches!(error, PullError::Refused(_)));
    assert_eq!(error.to_string(), "127.0.0.1 answers 404 Not Found");
}
