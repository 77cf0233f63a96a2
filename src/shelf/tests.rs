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

#[test]
fn nothing_is_listed_before_its_number_is_stored() {
    let store = Arc::new(Memory::holding());
    let shelf = Shelf::new(store.clone(), Duration::from_secs(600));
    shelf.restore(STREAM, Numbers { next_sequence: 100, discontinuity_sequence: 2 });
    let sink = begin(&shelf);
    segments(&sink, 0..1);
    assert_eq!(*store.asked.lock().unwrap(), [(STREAM, Numbers { next_sequence: 164, discontinuity_sequence: 3 })]);
    assert_eq!(shelf.find(STREAM).err(), Some(Absence::NotReady));
    store.answer(false);
    segments(&sink, 1..2);
    assert!(store.asked.lock().unwrap().len() == 2, "asked again after a failure, once");
    store.answer(true);
    assert!(playlist(&shelf.find(STREAM).unwrap()).contains("seg-0-101"));
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
    let (found, ()) = tokio::join!(channel.wait(late, whole), async { segments(&sink, 1..2) });
    assert_eq!(found, Some(4));
    assert_eq!(channel.wait(Instant::now(), |_| None::<()>).await, None);
}
