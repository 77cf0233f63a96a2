use std::io::Read;

use actix_web::App;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::test::{self, TestRequest};
use futures_util::future::poll_fn;

use super::*;
use crate::shelf::fixture::{begin, part, segments, shelf};

/// Patience of tests that wait in vain.
const BRIEF: Duration = Duration::from_millis(30);

macro_rules! app {
    ($shelf:expr, $patience:expr) => {
        test::init_service(
            App::new().app_data($shelf.clone()).configure(configure(Delivery { client_id: 1, patience: $patience })),
        )
        .await
    };
}

fn header<'a, B>(response: &'a ServiceResponse<B>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// The answer to a GET, not awaited.
macro_rules! get {
    ($app:expr, $file:expr) => {
        test::call_service(&$app, TestRequest::get().uri(&format!("/cmaf/1_5/{}", $file)).to_request())
    };
}

async fn body(response: ServiceResponse) -> String {
    String::from_utf8(test::read_body(response).await.to_vec()).unwrap()
}

#[actix_web::test]
async fn what_cannot_be_played_says_why() {
    let shelf = Data::new(shelf());
    let app = app!(shelf, PATIENCE);
    let code = async |uri: &str| {
        let response = test::call_service(&app, TestRequest::get().uri(uri).to_request()).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(header(&response, "cache-control"), "public, max-age=1");
        assert_eq!(header(&response, "access-control-allow-origin"), "*");
        assert!(header(&response, "access-control-expose-headers").contains("X-Err-Code"));
        header(&response, "x-err-code").to_owned()
    };
    assert_eq!(code("/cmaf/1_5/master.m3u8").await, "1000");
    for unreadable in ["5", "1_", "_5", "1_5b", "1_+5", "a_5", "1_5_6", "1_99999999999999999999"] {
        assert_eq!(code(&format!("/cmaf/{unreadable}/index.mpd")).await, "2000", "{unreadable}");
    }
    let sink = begin(&shelf);
    assert_eq!(code("/cmaf/1_5/master.m3u8").await, "3000");
    assert_eq!(code("/cmaf/2_5/master.m3u8").await, "1000", "another client's");
    segments(&sink, 0..1);
    assert_eq!(code("/cmaf/2_5/master.m3u8").await, "1000");
    for absent in ["media_7.m3u8", "seg-0-99.m4s", "seg-0-900.m4s", "part-0-100.9.m4s", "init-1-0.mp4", "x", "..%2fx"] {
        assert_eq!(code(&format!("/cmaf/1_5/{absent}")).await, "", "{absent}");
    }
}

#[actix_web::test]
async fn manifests_come_with_their_types_and_compressed_when_asked() {
    let shelf = Data::new(shelf());
    let sink = begin(&shelf);
    segments(&sink, 0..3);
    let app = app!(shelf, PATIENCE);
    for (file, kind, word) in [
        ("master.m3u8", "application/vnd.apple.mpegurl", "#EXT-X-STREAM-INF"),
        ("media_0.m3u8", "application/vnd.apple.mpegurl", "#EXT-X-PRELOAD-HINT"),
        ("index.mpd", "application/dash+xml", "type=\"dynamic\""),
    ] {
        let plain = get!(app, file).await;
        assert_eq!(plain.status(), StatusCode::OK);
        assert_eq!((header(&plain, "content-type"), header(&plain, "content-encoding")), (kind, ""));
        assert_eq!((header(&plain, "vary"), header(&plain, "cache-control")), ("Accept-Encoding", "public, max-age=1"));
        assert!(body(plain).await.contains(word));

        let ask = |accepted: &'static str| {
            TestRequest::get()
                .uri(&format!("/cmaf/1_5/{file}"))
                .insert_header(("accept-encoding", accepted))
                .to_request()
        };
        let packed = test::call_service(&app, ask("br;q=1, gzip;q=0.5")).await;
        assert_eq!(header(&packed, "content-encoding"), "gzip");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&test::read_body(packed).await[..]).read_to_string(&mut text).unwrap();
        assert!(text.contains(word));
        let refused = test::call_service(&app, ask("gzip;q=0")).await;
        assert_eq!(header(&refused, "content-encoding"), "");
    }
}

#[actix_web::test]
async fn a_screenshot_is_the_latest_one_of_the_running_broadcast() {
    use weir_media::pipeline::OutputSink;
    let shelf = Data::new(shelf());
    let sink = begin(&shelf);
    segments(&sink, 0..3);
    let app = app!(shelf, PATIENCE);
    assert_eq!(get!(app, "screenshot.jpg").await.status(), StatusCode::NOT_FOUND);
    sink.screenshot(bytes::Bytes::from_static(b"first"));
    sink.screenshot(bytes::Bytes::from_static(b"second"));
    let response = get!(app, "screenshot.jpg").await;
    assert_eq!(
        (header(&response, "content-type"), header(&response, "cache-control")),
        ("image/jpeg", "public, max-age=5")
    );
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    assert_eq!(body(response).await, "second");
    let next = begin(&shelf);
    sink.screenshot(bytes::Bytes::from_static(b"of the past"));
    segments(&next, 0..1);
    assert_eq!(get!(app, "screenshot.jpg").await.status(), StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn media_is_whole_immutable_and_cut_to_ranges() {
    let shelf = Data::new(shelf());
    let sink = begin(&shelf);
    segments(&sink, 0..3);
    let app = app!(shelf, PATIENCE);
    let whole = "<0.1.0><0.1.1><0.1.2><0.1.3>";
    for (file, kind, content) in [
        ("seg-0-101.m4s", "video/mp4", whole),
        ("part-1-101.2.m4s", "audio/mp4", "<1.1.2>"),
        ("init-100-0.mp4", "video/mp4", "....avcC\u{1}M@\u{1f}"),
    ] {
        let response = get!(app, file).await;
        assert_eq!(header(&response, "content-type"), kind);
        assert_eq!(header(&response, "cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(response.response().body().size(), BodySize::Sized(content.len() as u64));
        assert_eq!(body(response).await, content);
    }
    let ranged = async |range: &'static str| {
        let request = TestRequest::get().uri("/cmaf/1_5/seg-0-101.m4s").insert_header(("range", range)).to_request();
        let response = test::call_service(&app, request).await;
        let found = (response.status().as_u16(), header(&response, "content-range").to_owned());
        (found, body(response).await)
    };
    assert_eq!(ranged("bytes=5-15").await, ((206, "bytes 5-15/28".into()), whole[5..16].into()));
    assert_eq!(ranged("bytes=-3").await, ((206, "bytes 25-27/28".into()), ".3>".into()));
    assert_eq!(ranged("bytes=28-").await, ((416, "bytes */28".into()), String::new()));
    assert_eq!(ranged("bytes=0-1,4-5").await, ((200, String::new()), whole.into()));
}

#[actix_web::test]
async fn head_and_preflight_answer() {
    let shelf = Data::new(shelf());
    let sink = begin(&shelf);
    segments(&sink, 0..2);
    let app = app!(shelf, PATIENCE);
    let head = TestRequest::default().method(Method::HEAD).uri("/cmaf/1_5/master.m3u8").to_request();
    assert_eq!(test::call_service(&app, head).await.status(), StatusCode::OK);
    let options = TestRequest::default().method(Method::OPTIONS).uri("/cmaf/1_5/master.m3u8").to_request();
    let response = test::call_service(&app, options).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert!(header(&response, "access-control-allow-headers").contains("Range"));
}

#[actix_web::test]
async fn a_blocking_reload_answers_when_the_part_is_there() {
    let shelf = Data::new(shelf());
    let sink = begin(&shelf);
    segments(&sink, 0..2);
    let app = app!(shelf, PATIENCE);
    let (response, ()) = tokio::join!(get!(app, "media_0.m3u8?_HLS_msn=102&_HLS_part=1"), async {
        part(&sink, 0, 2, 0);
        tokio::task::yield_now().await;
        part(&sink, 0, 2, 1);
    });
    assert_eq!((response.status(), header(&response, "cache-control")), (StatusCode::OK, "public, max-age=12"));
    assert!(
        body(response).await.contains("part-0-102.1.m4s\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part-0-102.2.m4s\"")
    );

    for (query, status) in [
        ("_HLS_msn=101", 200),
        ("_HLS_msn=104", 400),
        ("_HLS_part=1", 400),
        ("_HLS_msn=x", 400),
        ("_HLS_msn=100&_HLS_part=900", 200),
    ] {
        assert_eq!(get!(app, &format!("media_0.m3u8?{query}")).await.status().as_u16(), status, "{query}");
    }
}

#[actix_web::test]
async fn a_delta_update_comes_when_asked_for_and_where_there_is_something_to_skip() {
    let shelf = Data::new(shelf());
    let sink = begin(&shelf);
    segments(&sink, 0..6);
    let app = app!(shelf, PATIENCE);
    let young = body(get!(app, "media_0.m3u8?_HLS_skip=YES").await).await;
    assert_eq!(young, body(get!(app, "media_0.m3u8").await).await);
    segments(&sink, 6..30);
    for (query, skips) in [
        ("", false),
        ("?_HLS_skip=NO", false),
        ("?_HLS_msn=129&_HLS_part=3", false),
        ("?_HLS_skip=YES", true),
        ("?_HLS_skip=v2", true),
        ("?_HLS_msn=129&_HLS_part=3&_HLS_skip=YES", true),
    ] {
        let response = get!(app, &format!("media_0.m3u8{query}")).await;
        let by_number = header(&response, "cache-control") == "public, max-age=12";
        assert_eq!(by_number, query.contains("_HLS_msn"), "{query}");
        assert_eq!(body(response).await.contains("\n#EXT-X-SKIP:SKIPPED-SEGMENTS=12\n"), skips, "{query}");
    }
}

#[actix_web::test]
async fn waiting_in_vain_ends() {
    let shelf = Data::new(shelf());
    let sink = begin(&shelf);
    segments(&sink, 0..2);
    part(&sink, 0, 2, 0);
    let app = app!(shelf, BRIEF);
    let late = get!(app, "media_0.m3u8?_HLS_msn=102").await;
    assert_eq!((late.status(), header(&late, "cache-control")), (StatusCode::SERVICE_UNAVAILABLE, "no-store"));
    assert_eq!(get!(app, "part-0-102.1.m4s").await.status(), StatusCode::NOT_FOUND);
    let growing = get!(app, "seg-0-102.m4s").await;
    assert_eq!(growing.status(), StatusCode::OK);
    assert!(test::try_read_body(growing).await.is_err(), "a torso is not taken for the whole");
}

#[actix_web::test]
async fn a_hinted_part_and_an_early_segment_are_held_until_they_exist() {
    let shelf = Data::new(shelf());
    let sink = begin(&shelf);
    segments(&sink, 0..2);
    let app = app!(shelf, PATIENCE);
    let (hinted, early, ()) =
        tokio::join!(get!(app, "part-0-102.0.m4s"), get!(app, "seg-1-102.m4s"), async { segments(&sink, 2..3) });
    assert_eq!(body(hinted).await, "<0.2.0>");
    assert_eq!(body(early).await, "<1.2.0><1.2.1><1.2.2><1.2.3>");
}

#[actix_web::test]
async fn a_growing_segment_is_sent_part_by_part_to_its_end() {
    let shelf = Data::new(shelf());
    let sink = begin(&shelf);
    segments(&sink, 0..1);
    part(&sink, 0, 1, 0);
    let app = app!(shelf, PATIENCE);
    let response = get!(app, "seg-0-101.m4s").await;
    assert_eq!(response.response().body().size(), BodySize::Stream);
    let mut body = Box::pin(response.into_body());
    let mut next = async || poll_fn(|cx| body.as_mut().poll_next(cx)).await.map(|part| part.unwrap());
    assert_eq!(next().await.unwrap(), "<0.1.0>", "at once, before the segment is complete");
    for number in 1..4 {
        let (sent, _) = tokio::join!(next(), async { part(&sink, 0, 1, number) });
        assert_eq!(sent.unwrap(), format!("<0.1.{number}>"));
    }
    assert_eq!(next().await, None);
}

#[actix_web::test]
async fn the_end_is_told_to_those_who_wait_and_to_those_who_come() {
    let shelf = Data::new(shelf());
    let sink = begin(&shelf);
    segments(&sink, 0..2);
    part(&sink, 0, 2, 0);
    part(&sink, 1, 2, 0);
    let app = app!(shelf, PATIENCE);
    let growing = get!(app, "seg-0-102.m4s").await;
    use crate::shelf::BroadcastSink;
    use weir_media::pipeline::OutputSink;
    let end = |sink: &BroadcastSink| sink.end();
    let (waiting, part, ()) =
        tokio::join!(get!(app, "media_0.m3u8?_HLS_msn=102"), get!(app, "part-0-102.1.m4s"), async { end(&sink) });
    assert!(body(waiting).await.ends_with("seg-0-102.m4s\n#EXT-X-ENDLIST\n"));
    assert_eq!(part.status(), StatusCode::NOT_FOUND);
    assert_eq!(body(growing).await, "<0.2.0>");
    assert!(body(get!(app, "index.mpd").await).await.contains("type=\"static\""));
    assert_eq!(get!(app, "master.m3u8").await.status(), StatusCode::OK);
}
