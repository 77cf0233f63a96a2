//! The plain door: encoders publish and are refused, hostile bytes disturb nobody.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use weir_actors::ingest::intake::Patience;
use weir_actors::ingest::rtmp::RtmpLimits;
use weir_actors::ingest::{CloseReason, IngestFact};
use weir_media::feed::FeedItem;
use weir_media::id::{Protocol, Slot};

use super::rtmp_wire::{self, Outcome};
use super::support::{Door, H264_AAC, PATIENCE, assert_plausible, closed, ffmpeg, gstreamer, media, run};

/// A door's limits with another patience for publishers.
fn impatient(patience: Patience) -> RtmpLimits {
    RtmpLimits { patience, ..RtmpLimits::default() }
}

#[test]
fn ffmpeg_publishes_and_says_good_bye() {
    run(async {
        let mut door = Door::open(RtmpLimits::default()).await;
        let start = Instant::now();
        let mut encoder = ffmpeg(&door.url("7b?right"), 3, H264_AAC);
        let mut session = door.next().await;
        assert_eq!((session.slot, session.protocol), (Slot::Backup, Protocol::Rtmp));
        assert!(session.agent.as_deref().is_some_and(|agent| agent.contains("FMLE")), "{:?}", session.agent);
        let (video, audio, units) = media(&mut session.reader, 100).await;
        assert_plausible(&video, &audio, &units);
        let mut reports = 0;
        let reason = loop {
            match timeout(PATIENCE, session.facts.recv()).await.unwrap().unwrap() {
                IngestFact::Closed { reason } => break reason,
                IngestFact::Media { .. } => reports += 1,
                IngestFact::Source { .. } | IngestFact::Transport(_) | IngestFact::Examined(_) => {}
            }
        };
        assert_eq!(reason, CloseReason::Unpublished);
        let most = 4.0 * start.elapsed().as_secs_f64() + 1.0;
        assert!(reports >= 4 && f64::from(reports) <= most, "4 a second at most, and some: {reports}");
        assert!(timeout(PATIENCE, encoder.wait()).await.unwrap().unwrap().success());
    });
}

#[test]
fn ffmpeg_publishes_with_the_token_behind_the_application() {
    run(async {
        let mut door = Door::open(RtmpLimits::default()).await;
        let _encoder = ffmpeg(&format!("rtmp://{}/in?right/7", door.address), 3, H264_AAC);
        assert_eq!(door.next().await.slot, Slot::Primary);
    });
}

#[test]
fn gstreamer_and_librtmp_publish() {
    run(async {
        for sink in ["rtmp2sink", "rtmpsink"] {
            let mut door = Door::open(RtmpLimits::default()).await;
            let mut encoder = gstreamer(sink, &door.url("7?right"));
            let mut session = door.next().await;
            let (video, audio, units) = media(&mut session.reader, 100).await;
            assert_plausible(&video, &audio, &units);
            encoder.kill().await.unwrap();
            let reason = closed(&mut session.facts).await;
            assert!(matches!(reason, CloseReason::Lost(_)), "{sink}: {reason}");
        }
    });
}

#[test]
fn a_wrong_token_makes_every_encoder_fail_at_once() {
    run(async {
        let door = Door::open(RtmpLimits::default()).await;
        for name in ["7?wrong", "8?right", "7"] {
            let url = door.url(name);
            let encoders = [
                ("ffmpeg", ffmpeg(&url, 60, H264_AAC)),
                ("rtmp2sink", gstreamer("rtmp2sink", &url)),
                ("rtmpsink", gstreamer("rtmpsink", &url)),
            ];
            for (client, encoder) in encoders {
                let end = timeout(Duration::from_secs(10), encoder.wait_with_output()).await;
                let end = end.unwrap_or_else(|_| panic!("{client} hangs on {name}")).unwrap();
                assert!(!end.status.success(), "{client} takes {name} for accepted");
                let words = String::from_utf8_lossy(&end.stderr);
                assert!(client != "ffmpeg" || words.contains("unknown stream or wrong token"), "{words}");
                assert!(client != "rtmp2sink" || words.contains("publish denied"), "{words}");
            }
        }
    });
}

#[test]
fn who_tries_too_often_is_closed_without_a_word() {
    run(async {
        let door = Door::open(RtmpLimits::default()).await;
        for (key, answered) in [("7?wrong", true), ("7?flood", false)] {
            let (address, wire) = (door.address, rtmp_wire::opening(key));
            let talk = tokio::task::spawn_blocking(move || rtmp_wire::exchange(address, &wire, PATIENCE).unwrap());
            let (said, closed) = talk.await.unwrap();
            assert!(closed, "{key}");
            assert_eq!(String::from_utf8_lossy(&said).contains("onStatus"), answered, "{key}");
        }
    });
}

#[test]
fn another_codec_is_refused_by_its_name() {
    run(async {
        let mut door = Door::open(RtmpLimits::default()).await;
        let encoder = ffmpeg(&door.url("7?right"), 60, "-c:v flv -c:a aac");
        let mut session = door.next().await;
        let reason = closed(&mut session.facts).await.to_string();
        assert!(reason.starts_with("Sorenson H.263 video is not supported"), "{reason}");
        let end = timeout(PATIENCE, encoder.wait_with_output()).await.unwrap().unwrap();
        let words = String::from_utf8_lossy(&end.stderr);
        assert!(!end.status.success() && words.contains("Sorenson H.263"), "{words}");
    });
}

#[test]
fn an_order_to_stop_reaches_the_encoder_with_its_reason() {
    run(async {
        let mut door = Door::open(RtmpLimits::default()).await;
        let encoder = ffmpeg(&door.url("7?right"), 60, H264_AAC);
        let mut session = door.next().await;
        media(&mut session.reader, 20).await;
        session.stop.send_replace(Some(CloseReason::TokenReset));
        assert_eq!(closed(&mut session.facts).await, CloseReason::TokenReset);
        assert!(timeout(PATIENCE, session.reader.next()).await.is_ok(), "the feed ends");
        let end = timeout(PATIENCE, encoder.wait_with_output()).await.unwrap().unwrap();
        let words = String::from_utf8_lossy(&end.stderr);
        assert!(!end.status.success() && words.contains("push token was reset"), "{words}");
    });
}

#[test]
fn a_publisher_without_video_is_told_what_is_missing() {
    run(async {
        let limits = impatient(Patience { first_video: Duration::from_millis(300), ..Patience::default() });
        let mut door = Door::open(limits).await;
        for (more, expected) in [
            (rtmp_wire::audio_configuration(), "no video within 0.3 s"),
            (rtmp_wire::mark(), "no H.264 configuration"),
            (rtmp_wire::video_configuration(), "no decodable video frame"),
        ] {
            let wire = [rtmp_wire::opening("7?right"), more].concat();
            let address = door.address;
            let talk = tokio::task::spawn_blocking(move || rtmp_wire::exchange(address, &wire, PATIENCE).unwrap());
            let reason = closed(&mut door.next().await.facts).await.to_string();
            assert!(reason.starts_with(expected), "{reason}");
            let (said, closed) = talk.await.unwrap();
            assert!(closed && String::from_utf8_lossy(&said).contains(expected));
        }
    });
}

#[test]
fn strangers_have_deadlines_and_places() {
    run(async {
        let limits = RtmpLimits {
            handshake: Duration::from_millis(300),
            publish: Duration::from_millis(600),
            preauth_per_address: 2,
            ..RtmpLimits::default()
        };
        let door = Door::open(limits).await;
        let address = door.address;
        let lasting = |wire: Vec<u8>| {
            tokio::task::spawn_blocking(move || {
                let start = Instant::now();
                let (_, closed) = rtmp_wire::exchange(address, &wire, PATIENCE).unwrap();
                assert!(closed);
                start.elapsed()
            })
        };
        let slow_handshake = lasting(vec![3]).await.unwrap();
        assert!(slow_handshake >= limits.handshake && slow_handshake < PATIENCE);
        let no_publish = lasting(rtmp_wire::handshake()).await.unwrap();
        assert!(no_publish >= limits.publish, "{no_publish:?}");

        let long = RtmpLimits { handshake: PATIENCE * 2, publish: PATIENCE * 2, preauth_per_address: 2, ..limits };
        let door = Door::open(long).await;
        let mut silent: Vec<_> = (0..3).map(|_| TcpStream::connect(door.address).unwrap()).collect();
        let mut oldest = silent.remove(0);
        oldest.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(std::io::Read::read(&mut oldest, &mut [0]).unwrap(), 0, "the oldest is shed");
        assert!(silent.iter_mut().all(|socket| socket.write_all(&[3]).is_ok()));
    });
}

#[test]
fn no_known_fatal_input_disturbs_a_publisher() {
    run(async {
        let patience = Patience { idle: Duration::from_secs(2), ..Patience::default() };
        let limits = RtmpLimits { handshake: Duration::from_secs(2), ..impatient(patience) };
        let mut door = Door::open(limits).await;
        let address = door.address;
        let mut witness = ffmpeg(&door.url("7?right"), 60, H264_AAC);
        let mut session = door.next().await;
        media(&mut session.reader, 20).await;
        // As its actor would; a full channel ends a session.
        let facts = tokio::spawn(async move { closed(&mut session.facts).await });
        let attacks: Vec<_> = rtmp_wire::fatal_defects("7?right")
            .into_iter()
            .map(|defect| {
                tokio::task::spawn_blocking(move || {
                    let (_, closed) = rtmp_wire::exchange(address, &defect.bytes, PATIENCE).unwrap();
                    (defect.name, defect.outcome, closed)
                })
            })
            .collect();
        let mut survivors = 0;
        for attack in attacks {
            let (name, outcome, closed) = attack.await.unwrap();
            assert!(closed, "{name}: at the latest for silence");
            survivors += usize::from(outcome == Outcome::GoesOn);
        }
        let mut marked = 0;
        while let Ok(mut attacker) = door.admitted.try_recv() {
            while let Some(item) = timeout(PATIENCE, attacker.reader.next()).await.unwrap() {
                let time = i64::from(rtmp_wire::MARK);
                marked += usize::from(matches!(item, FeedItem::Unit(unit) if unit.dts.as_nanos() == time * 1_000_000));
            }
        }
        assert_eq!(marked, survivors, "each survivor's mark arrived");
        assert!(witness.try_wait().unwrap().is_none() && !facts.is_finished(), "the witness still publishes");
        let before = Instant::now();
        while before.elapsed() < Duration::from_secs(1) {
            let item = timeout(PATIENCE, session.reader.next()).await.unwrap();
            assert!(item.is_some(), "and is still heard");
        }
    });
}
