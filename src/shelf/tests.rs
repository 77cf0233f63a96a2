use weir_media::package::RESERVED_AHEAD;

use super::fixture::*;
use super::*;

fn playlist(channel: &Channel) -> String {
    channel.read(|packager| String::from_utf8(packager.playlist(0).unwrap().text().to_vec()).unwrap())
}

#[test]
fn a_stream_is_absent_then_not_ready_then_there() {
    let shelf = shelf();
    assert_eq!(shelf.find(STREAM).err(), Some(Absence::NotRunning));
    let sink = begin(&shelf);
    assert_eq!(shelf.find(STREAM).err(), Some(Absence::NotReady));
    part(&sink, 0, 0, 0);
    assert!(part(&sink, 1, 0, 0).playable);
    assert!(shelf.find(STREAM).is_ok());
    assert_eq!(shelf.find(StreamId(6)).err(), Some(Absence::NotRunning));
}

#[test]
fn what_has_ended_stays_for_its_retention_and_numbers_go_on() {
    for (retention, there) in [(Duration::from_secs(600), true), (Duration::ZERO, false)] {
        let shelf = Shelf::new(Arc::new(Memory::default()), retention);
        shelf.restore(STREAM, Numbers { next_sequence: 100, discontinuity_sequence: 0 });
        let sink = begin(&shelf);
        segments(&sink, 0..3);
        sink.end();
        assert_eq!(shelf.find(STREAM).is_ok(), there);
        let sink = begin(&shelf);
        segments(&sink, 0..1);
        let text = playlist(&shelf.find(STREAM).unwrap());
        assert!(text.contains("seg-0-103.m4s") && text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
        assert_eq!(text.contains("seg-0-102.m4s"), there);
    }
}

#[test]
fn a_dropped_sink_leaves_the_playlist_open_and_a_stale_one_writes_nothing() {
    let shelf = shelf();
    let old = begin(&shelf);
    segments(&old, 0..2);
    let new = begin(&shelf);
    segments(&old, 2..3);
    old.end();
    drop(old);
    let text = playlist(&shelf.find(STREAM).unwrap());
    assert!(!text.contains("#EXT-X-ENDLIST") && !text.contains("seg-0-102"), "{text}");
    segments(&new, 0..1);
    assert!(playlist(&shelf.find(STREAM).unwrap()).contains("seg-0-102"));
    drop(new);
    assert!(!playlist(&shelf.find(STREAM).unwrap()).contains("#EXT-X-ENDLIST"));
}

#[tokio::test]
async fn a_server_that_goes_down_leaves_playlists_open_and_nobody_waiting() {
    let shelf = shelf();
    let sink = begin(&shelf);
    segments(&sink, 0..2);
    let channel = shelf.find(STREAM).unwrap();
    shelf.leave();
    sink.end();
    assert!(!playlist(&shelf.find(STREAM).unwrap()).contains("#EXT-X-ENDLIST"));
    let far = Instant::now() + Duration::from_secs(3_600);
    let waiting = tokio::spawn(async move { channel.wait(0, far, |_| None::<()>).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    shelf.dismiss();
    assert_eq!(waiting.await.unwrap(), None);
}

#[test]
fn a_broadcast_that_nobody_owns_ends_after_the_linger() {
    let shelf = shelf().lingering(Duration::ZERO);
    let sink = begin(&shelf);
    segments(&sink, 0..2);
    assert!(!playlist(&shelf.find(STREAM).unwrap()).contains("#EXT-X-ENDLIST"));
    drop(sink);
    assert!(playlist(&shelf.find(STREAM).unwrap()).contains("#EXT-X-ENDLIST"));
}

#[test]
fn a_broken_off_output_begins_anew_behind_a_discontinuity() {
    let shelf = shelf();
    let sink = begin(&shelf);
    segments(&sink, 0..2);
    sink.break_off();
    assert_eq!(sink.next_frames(), [0, 0]);
    let text = playlist(&shelf.find(STREAM).unwrap());
    assert!(text.contains("seg-0-101") && !text.contains("#EXT-X-ENDLIST"), "{text}");
    start(&sink);
    segments(&sink, 0..1);
    let text = playlist(&shelf.find(STREAM).unwrap());
    let (before, after) = text.split_once("#EXT-X-DISCONTINUITY\n").expect("a discontinuity");
    assert!(before.contains("seg-0-101") && after.contains("seg-0-102"), "{text}");
}

#[test]
fn a_repeated_output_continues_the_broadcast() {
    let shelf = shelf();
    let sink = begin(&shelf);
    segments(&sink, 0..2);
    sink.output(&output());
    assert_eq!(sink.next_frames(), [96, 96]);
    segments(&sink, 1..3);
    let text = playlist(&shelf.find(STREAM).unwrap());
    assert!(text.contains("seg-0-102") && !text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
}

#[actix_web::test]
async fn nothing_is_listed_before_its_number_is_stored() {
    tokio::time::pause();
    let store = Arc::new(Memory::holding());
    let shelf = Shelf::new(store.clone(), Duration::from_secs(600));
    shelf.restore(STREAM, Numbers { next_sequence: 100, discontinuity_sequence: 2 });
    let sink = begin(&shelf);
    segments(&sink, 0..1);
    let asked = Numbers { next_sequence: 100 + RESERVED_AHEAD, discontinuity_sequence: 3 };
    assert_eq!(*store.asked.lock().unwrap(), [(STREAM, asked)]);
    assert_eq!(shelf.find(STREAM).err(), Some(Absence::NotReady));
    store.answer(false);
    segments(&sink, 1..2);
    assert_eq!(store.asked.lock().unwrap().len(), 1, "not asked again by each part");
    tokio::time::advance(RESERVE_AGAIN).await;
    segments(&sink, 2..3);
    assert_eq!(store.asked.lock().unwrap().len(), 2, "asked again after the pause, once");
    store.answer(true);
    assert!(playlist(&shelf.find(STREAM).unwrap()).contains("seg-0-102"));
}

/// The disk is full for an hour, then an operator makes room.
#[actix_web::test]
async fn an_hour_without_a_disk_is_not_seen() {
    tokio::time::pause();
    let store = Arc::new(Memory::holding());
    let shelf = Shelf::new(store.clone(), Duration::from_secs(600));
    shelf.restore(STREAM, Numbers { next_sequence: 100, discontinuity_sequence: 0 });
    let sink = begin(&shelf);
    store.answer(true);
    // The worst moment: half is used, and more is about to be asked for.
    let half = RESERVED_AHEAD / 2 - 1;
    segments(&sink, 0..half);
    assert_eq!(store.asked.lock().unwrap().len(), 1, "enough until then");
    let newest = || {
        let text = playlist(&shelf.find(STREAM).unwrap());
        let segment = text.lines().filter_map(|line| line.strip_prefix("seg-0-")?.strip_suffix(".m4s")).next_back();
        segment.unwrap().parse::<u64>().unwrap()
    };
    let (hour, segment) = (Duration::from_secs(3_600), Duration::from_millis(1_600));
    let mut slot = half;
    for _ in 0..hour.as_millis() / segment.as_millis() - 1 {
        segments(&sink, slot..slot + 1);
        assert_eq!(newest(), 100 + slot, "segment {slot} is listed");
        store.answer(false);
        tokio::time::advance(segment).await;
        slot += 1;
    }
    let asked = store.asked.lock().unwrap().len() as u64;
    assert!(
        asked <= 1 + slot - half && asked > (slot - half) / 2,
        "asked {asked} times in an hour: once a pause, not once a part"
    );
    segments(&sink, slot..slot + 1);
    store.answer(true);
    segments(&sink, slot + 1..slot + half);
    assert_eq!(newest(), 100 + slot + half - 1, "and on with the disk");
}

#[test]
fn an_unknown_stream_begins_at_the_wall_clock() {
    let shelf = Shelf::new(Arc::new(Memory::default()), Duration::from_secs(600));
    shelf.restore(STREAM, Numbers::default());
    let sink = begin(&shelf);
    segments(&sink, 0..1);
    let text = playlist(&shelf.find(STREAM).unwrap());
    let (_, rest) = text.split_once("MEDIA-SEQUENCE:").unwrap();
    assert!(rest.lines().next().unwrap().parse::<u64>().unwrap() > 1_750_000_000);
}

#[actix_web::test]
async fn readers_wake_when_what_they_wait_for_is_there() {
    let shelf = shelf();
    let sink = begin(&shelf);
    segments(&sink, 0..1);
    let channel = shelf.find(STREAM).unwrap();
    let whole = |packager: &mut Packager| match packager.segment(0, 101, 0) {
        weir_media::package::Lookup::Found(media) if media.complete => Some(media.parts.len()),
        _ => None,
    };
    let late = Instant::now() + Duration::from_secs(60);
    let (found, ()) = tokio::join!(channel.wait(0, late, whole), async { segments(&sink, 1..2) });
    assert_eq!(found, Some(4));
    assert_eq!(channel.wait(0, Instant::now(), |_| None::<()>).await, None);
}

#[actix_web::test]
async fn a_part_wakes_only_those_who_wait_for_its_track() {
    let shelf = shelf();
    let sink = begin(&shelf);
    segments(&sink, 0..2);
    let channel = shelf.find(STREAM).unwrap();
    let late = Instant::now() + Duration::from_secs(60);
    let looks = std::cell::Cell::new(0);
    let look = |packager: &mut Packager| {
        looks.set(looks.get() + 1);
        packager.ended().then_some(())
    };
    let feed = async {
        tokio::task::yield_now().await;
        for number in 0..4 {
            part(&sink, 0, 2, number);
            tokio::task::yield_now().await;
        }
        assert_eq!(looks.get(), 1, "parts of the other track wake nobody here");
        part(&sink, 1, 2, 0);
        tokio::task::yield_now().await;
        assert_eq!(looks.get(), 2);
        sink.end();
    };
    let (ended, ()) = tokio::join!(channel.wait(1, late, look), feed);
    assert_eq!((ended, looks.get()), (Some(()), 3), "the end wakes all");
}
