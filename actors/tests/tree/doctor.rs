//! What the doctor says of publishers, as the tree shows, compares, notes and counts it.

use weir_actors::clock;
use weir_actors::ingest::{CloseReason, Grant, IngestFact, Publish};
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{TrackConfig, VideoCodec, VideoConfig};
use weir_media::id::Slot;
use weir_media::time::Timestamp;
use weir_policy::doctor::{Doctor, Maker};

use crate::support::*;

/// Sends 10 pictures a second of this width, with a keyframe every 5 s and no sound, and tells of them as a wire task does.
pub async fn send(mut grant: Grant, seconds: i64, width: u32) -> Grant {
    let config = TrackConfig::Video(VideoConfig {
        codec: VideoCodec::H264,
        decoder_config: vec![].into(),
        width,
        height: width * 9 / 16,
        pixel_aspect: (1, 1),
        frame_rate: None,
    });
    let mut doctor = Doctor::new(Maker::Encoder);
    doctor.config(&config);
    grant.feed.config(config);
    for n in 0..seconds * 10 {
        let time = Timestamp::from_millis(n * 100);
        let data = vec![0; 10_000].into();
        let unit = AccessUnit { track: Track::Video, pts: time, dts: time, keyframe: n % 50 == 0, data };
        doctor.unit(&unit, clock::now());
        grant.feed.push(unit);
        let units = n as u64 + 1;
        let media = IngestFact::Media { at: clock::now(), bytes: units * 10_000, video_units: units, audio_units: 0 };
        grant.facts.try_send(media).unwrap();
        if let Some(checkup) = doctor.check(clock::now()) {
            grant.facts.try_send(IngestFact::Examined(Box::new(checkup))).unwrap();
        }
        pass(100).await;
    }
    grant
}

fn end(grant: Grant) {
    grant.facts.try_send(IngestFact::Closed { reason: CloseReason::Unpublished }).unwrap();
}

async fn codes(tree: &Tree, slot: Slot) -> Vec<&'static str> {
    let detail = tree.detail().await;
    detail.slots[slot as usize].doctor.iter().map(|finding| finding.code.name()).collect()
}

#[actix_rt::test]
async fn findings_of_what_is_on_air_are_shown_and_noted_once() {
    let tree = Tree::new().await;
    let grant = send(tree.try_publish(publish(1)).await.unwrap(), 16, 1280).await;
    assert_eq!(codes(&tree, Slot::Primary).await, ["gop_long", "bitrate_low", "audio_missing"]);
    let detail = tree.detail().await;
    let measured = detail.slots[0].session.as_ref().and_then(|session| session.measured.clone()).expect("measured");
    assert_eq!((measured.width, measured.frame_rate, measured.video_kbps), (Some(1280), Some(10.0), Some(800.0)));
    let noted = detail.journal.iter().filter(|line| line.text.contains("gop_long")).count();
    assert_eq!(noted, 1);
    end(grant);
    settle().await;
    assert_eq!(codes(&tree, Slot::Primary).await, [""; 0], "they went with it");
}

#[actix_rt::test]
async fn an_unlike_backup_is_told_as_long_as_both_are_there() {
    let tree = Tree::new().await;
    let primary = tree.try_publish(publish(1)).await.unwrap();
    let backup = tree.try_publish(Publish { slot: Slot::Backup, ..publish(2) }).await.unwrap();
    let (primary, backup) = futures_util::future::join(send(primary, 15, 1280), send(backup, 15, 1920)).await;
    assert!(codes(&tree, Slot::Backup).await.contains(&"slots_differ"));
    assert!(!codes(&tree, Slot::Primary).await.contains(&"slots_differ"));
    let detail = tree.detail().await;
    let finding = detail.slots[1].doctor.last().expect("one");
    assert_eq!(finding.text, "size 1280x720 and 1920x1080");
    end(primary);
    settle().await;
    let backup = send(backup, 2, 1920).await;
    assert!(!codes(&tree, Slot::Backup).await.contains(&"slots_differ"));
    end(backup);
}

#[actix_rt::test]
async fn health_is_counted_of_the_input_on_air_alone() {
    let tree = Tree::new().await;
    let primary = tree.try_publish(publish(1)).await.unwrap();
    let backup = tree.try_publish(Publish { slot: Slot::Backup, ..publish(2) }).await.unwrap();
    let (primary, backup) = futures_util::future::join(send(primary, 12, 1280), send(backup, 12, 1920)).await;
    end(primary);
    settle().await;
    // Virtual seconds take no wall clock's time: all of it is one sample, or two by accident.
    let samples = tree.samples.0.lock().unwrap().clone();
    assert!((1..=2).contains(&samples.len()), "{samples:?}");
    let frames: u64 = samples.iter().map(|sample| sample.frames).sum();
    assert!((90..=120).contains(&frames), "{frames}");
    assert!(samples.iter().all(|sample| sample.height == 720 && sample.stream == STREAM));
    drop(backup);
}
