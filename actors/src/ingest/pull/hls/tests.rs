use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use weir_media::feed::FeedItem;

use super::super::PullError;
use super::super::http::origin::{Answer, Origin, all, error, local, units};
use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../media/fixtures/", $name)).as_slice()
    };
}

/// Segments of 0.4 s: 10 pictures at 25 fps, with 6 and 8 frames of sound; see `media/fixtures`.
fn resource(path: &str) -> Answer {
    Answer::ok(match path {
        "/0.ts" => fixture!("ts-0.ts"),
        "/1.ts" => fixture!("ts-1.ts"),
        "/init.mp4" => fixture!("h264-init.mp4"),
        "/0.m4s" => fixture!("h264-0.m4s"),
        "/1.m4s" => fixture!("h264-1.m4s"),
        _ => return Answer::status(404),
    })
}

/// A playlist of a target duration of 1 s, given its lines.
fn playlist(lines: &str) -> Answer {
    Answer::ok(format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{lines}\n"))
        .with("content-type", "application/vnd.apple.mpegurl")
}

/// The lines of segments of 0.4 s.
fn segments(names: &[&str]) -> String {
    names.iter().map(|name| format!("#EXTINF:0.4,\n{name}\n")).collect()
}

/// A recording whose lines these are.
async fn recording(lines: String) -> Origin {
    let lines = format!("#EXT-X-PLAYLIST-TYPE:VOD\n{lines}#EXT-X-ENDLIST");
    Origin::new(move |asked| if asked.path == "/list" { playlist(&lines) } else { resource(&asked.path) }).await
}

async fn fetched(origin: &Origin) -> Vec<FeedItem> {
    let (items, end) = all(&origin.url("/list"), &local()).await;
    assert!(matches!(end, PullError::Ended), "{end}");
    for track in [Track::Video, Track::Audio] {
        assert!(units(&items, track).is_sorted_by(|a, b| a.dts < b.dts), "{track:?} goes back");
    }
    items
}

fn counted(items: &[FeedItem]) -> (usize, usize) {
    (units(items, Track::Video).len(), units(items, Track::Audio).len())
}

/// Milliseconds from each picture to the next.
fn steps(items: &[FeedItem]) -> Vec<i64> {
    let pictures = units(items, Track::Video);
    pictures.windows(2).map(|pair| pair[1].dts.since(pair[0].dts) / 1_000_000).collect()
}

#[tokio::test]
async fn segments_of_either_container_are_handed_on_in_real_time_to_the_end() {
    for lines in
        [segments(&["0.ts", "1.ts"]), format!("#EXT-X-MAP:URI=\"init.mp4\"\n{}", segments(&["0.m4s", "1.m4s"]))]
    {
        let origin = recording(lines).await;
        let began = Instant::now();
        let items = fetched(&origin).await;
        assert_eq!(counted(&items).0, 20);
        assert!(steps(&items).iter().all(|&step| step == 40));
        assert!(began.elapsed() >= Duration::from_millis(760), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_live_playlist_is_loaded_again_until_it_ends() {
    let loads = Mutex::new(0);
    let origin = Origin::new(move |asked| {
        if asked.path != "/list" {
            return resource(&asked.path);
        }
        let mut loads = loads.lock().unwrap();
        *loads += 1;
        match *loads {
            1 => playlist(&format!("#EXT-X-MEDIA-SEQUENCE:7\n{}", segments(&["0.ts"]))),
            2 => Answer::status(503),
            3 => Answer::ok("#EXTM3U is cut"),
            _ => playlist(&format!("#EXT-X-MEDIA-SEQUENCE:7\n{}#EXT-X-ENDLIST", segments(&["0.ts", "1.ts"]))),
        }
    })
    .await;
    assert_eq!(counted(&fetched(&origin).await), (20, 14));
    let lists = origin.asked().iter().filter(|asked| asked.path == "/list").count();
    assert_eq!((lists, origin.connections()), (4, 1));
}

#[tokio::test]
async fn timestamps_go_on_across_a_discontinuity() {
    let lines = format!("{0}#EXT-X-DISCONTINUITY\n{0}", segments(&["0.ts", "1.ts"]));
    let items = fetched(&recording(lines).await).await;
    assert_eq!(counted(&items).0, 40);
    // The sound of the first part lasts 112 ms longer than its pictures.
    let mut steps = steps(&items);
    assert_eq!(steps.remove(19), 152);
    assert!(steps.iter().all(|&step| step == 40), "{steps:?}");
}

#[tokio::test]
async fn the_container_may_change() {
    let lines = format!(
        "{}#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init.mp4\"\n{}",
        segments(&["0.ts"]),
        segments(&["0.m4s", "1.m4s"])
    );
    let items = fetched(&recording(lines).await).await;
    assert_eq!(counted(&items).0, 30);
}

#[tokio::test]
async fn parts_of_a_resource_are_segments_too() {
    let whole = [fixture!("h264-init.mp4"), fixture!("h264-0.m4s"), fixture!("h264-1.m4s")];
    let [init, first, second] = whole.map(<[u8]>::len);
    let lines = format!(
        "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"{init}@0\"\n#EXT-X-BYTERANGE:{first}@{init}\n#EXTINF:0.4,\nall.mp4\n\
         #EXT-X-BYTERANGE:{second}\n#EXTINF:0.4,\nall.mp4\n#EXT-X-ENDLIST"
    );
    let body = whole.concat();
    let origin =
        Origin::new(move |asked| if asked.path == "/list" { playlist(&lines) } else { Answer::ok(body.clone()) }).await;
    assert_eq!(counted(&fetched(&origin).await), (20, 14));
    let last = (init + first, init + first + second - 1);
    assert_eq!(origin.asked()[3].header("range"), Some(&*format!("bytes={}-{}", last.0, last.1)));
}

#[tokio::test]
async fn the_best_variant_is_taken_and_its_sound_from_its_own_playlist() {
    let master = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\",DEFAULT=YES,URI=\"sound/list\"\n\
                  #EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=64x48,AUDIO=\"a\"\nlow\n\
                  #EXT-X-STREAM-INF:BANDWIDTH=2,RESOLUTION=1920x1080,AUDIO=\"a\"\nhigh\n";
    let origin = Origin::new(move |asked| match asked.path.as_str() {
        "/list" => Answer::ok(master),
        "/high" => playlist(&format!("#EXT-X-PLAYLIST-TYPE:VOD\n{}#EXT-X-ENDLIST", segments(&["0.ts", "1.ts"]))),
        "/sound/list" => {
            let lines = segments(&["../0.m4s", "../1.m4s"]);
            playlist(&format!("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"/init.mp4\"\n{lines}#EXT-X-ENDLIST"))
        }
        path => resource(path),
    })
    .await;
    let items = fetched(&origin).await;
    assert_eq!(counted(&items), (20, 14), "pictures of the one, sound of the other");
    assert!(origin.asked().iter().all(|asked| asked.path != "/low"));
}

#[tokio::test]
async fn a_segment_that_fails_is_asked_for_again_and_then_left_out() {
    let tries = Mutex::new(0);
    let lines = format!("#EXT-X-PLAYLIST-TYPE:VOD\n{}#EXT-X-ENDLIST", segments(&["0.ts", "missing.ts", "1.ts"]));
    let origin = Origin::new(move |asked| match asked.path.as_str() {
        "/list" => playlist(&lines),
        "/0.ts" if *tries.lock().unwrap() < 2 => {
            *tries.lock().unwrap() += 1;
            Answer::status(500)
        }
        path => resource(path),
    })
    .await;
    let items = fetched(&origin).await;
    assert_eq!(counted(&items).0, 20);
    let missing = origin.asked().iter().filter(|asked| asked.path == "/missing.ts").count();
    assert_eq!(missing, weir_media::hls::follow::TRIES as usize);
}

#[tokio::test]
async fn a_damaged_segment_is_left_out() {
    let lines = format!("#EXT-X-MAP:URI=\"init.mp4\"\n{}", segments(&["0.m4s", "init.mp4", "1.m4s"]));
    assert_eq!(counted(&fetched(&recording(lines).await).await).0, 20);
}

#[tokio::test]
async fn nothing_that_a_playlist_names_is_connected_to_where_that_is_forbidden() {
    let sentinel = Origin::on(Ipv4Addr::new(127, 0, 0, 2), |_| Answer::ok("secret")).await;
    let master = |reference: &str| format!("#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\n{reference}");
    for reference in [sentinel.url("/x"), "file:///etc/passwd".to_owned(), "ftp://127.0.0.1/x".to_owned()] {
        let key = format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{reference}\"\n{}", segments(&["0.ts"]));
        let map = format!("#EXT-X-MAP:URI=\"{reference}\"\n{}", segments(&["0.m4s"]));
        let sound = format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"{reference}\"\n{}", master("variant"));
        let to = reference.clone();
        for (what, lines) in [
            ("segment", segments(&[&reference])),
            ("key", key),
            ("map", map),
            ("variant", master(&reference)),
            ("sound", sound),
            ("redirected segment", segments(&["redirected.ts"])),
        ] {
            let to = to.clone();
            let origin = Origin::new(move |asked| match asked.path.as_str() {
                "/list" if lines.contains("STREAM-INF") => Answer::ok(format!("#EXTM3U\n{lines}\n")),
                "/list" => playlist(&lines),
                "/variant" => playlist(&segments(&["0.ts"])),
                "/redirected.ts" => Answer::redirect(&to),
                path => resource(path),
            })
            .await;
            let error = error(&origin.url("/list"), &local()).await;
            let words = error.to_string();
            let told = ["127.0.0.2 has no address", "address of scheme f"].iter().any(|told| words.contains(told));
            assert!(told, "{what} {reference}: {words}");
        }
    }
    assert_eq!(sentinel.connections(), 0);
}

#[tokio::test]
async fn an_encryption_that_is_not_supported_is_told() {
    let lines = format!("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"key\"\n{}", segments(&["0.ts"]));
    let origin = recording(lines).await;
    let error = error(&origin.url("/list"), &local()).await;
    assert_eq!(error.to_string(), "HLS encryption SAMPLE-AES is not supported, only AES-128 of whole segments");
}

#[tokio::test]
async fn a_codec_that_is_not_supported_is_told() {
    let lines = format!("#EXT-X-PLAYLIST-TYPE:VOD\n{}#EXT-X-ENDLIST", segments(&["sound.aac"]));
    let origin = Origin::new(move |asked| match asked.path.as_str() {
        "/list" => playlist(&lines),
        _ => Answer::ok(b"ID3\x04"),
    })
    .await;
    let error = error(&origin.url("/list"), &local()).await;
    assert!(
        matches!(error, PullError::Unacceptable(_)) && error.to_string().contains("without a container"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_over_at_first_sight_is_ended() {
    let lines = format!("{}#EXT-X-ENDLIST", segments(&["0.ts", "1.ts"]));
    let origin =
        Origin::new(move |asked| if asked.path == "/list" { playlist(&lines) } else { resource(&asked.path) }).await;
    assert!(matches!(error(&origin.url("/list"), &local()).await, PullError::Ended));
    assert_eq!(origin.asked().len(), 1);
}
