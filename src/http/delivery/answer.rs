//! Answers of the delivery: headers, compression, ranges.

use std::convert::Infallible;
use std::io::Write;

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use weir_media::package::{Media, Page};

use crate::http::gzip::accepts_gzip;

const ERR_CODE: HeaderName = HeaderName::from_static("x-err-code");
const EXPOSED: &str = "X-Err-Code, Date, Content-Length, Content-Range";
/// For what the next second may change.
const SHORT: &str = "public, max-age=1";
/// For a picture that another one takes the place of in 10 s.
const PICTURE: &str = "public, max-age=5";
/// For a playlist that was asked for by number: six target durations (RFC 8216bis B.1).
const BY_NUMBER: &str = "public, max-age=12";
/// For what has one content for ever.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Kinds of manifest.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// HLS.
    Playlist,
    /// DASH.
    Mpd,
}

fn answer(status: StatusCode, cache: &'static str) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CACHE_CONTROL, cache))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED));
    response
}

/// 404 for a stream that has nothing to play.
pub(super) fn no_stream(code: u16) -> HttpResponse {
    answer(StatusCode::NOT_FOUND, SHORT).insert_header((ERR_CODE, code.to_string())).finish()
}

/// 404 for a file of a stream that plays.
pub(super) fn missing() -> HttpResponse {
    answer(StatusCode::NOT_FOUND, SHORT).finish()
}

/// 400.
pub(super) fn refused(reason: &str) -> HttpResponse {
    answer(StatusCode::BAD_REQUEST, SHORT).content_type("text/plain; charset=utf-8").body(reason.to_owned())
}

/// 503: media did not come in time, or too many wait for it.
pub(super) fn unavailable() -> HttpResponse {
    answer(StatusCode::SERVICE_UNAVAILABLE, "no-store").insert_header((header::RETRY_AFTER, "1")).finish()
}

/// A manifest from the packager's cache. `by_number`: it was asked for by sequence number.
pub(super) fn page(request: &HttpRequest, kind: Kind, page: &Page, by_number: bool) -> HttpResponse {
    let cache = if by_number { BY_NUMBER } else { SHORT };
    match accepts_gzip(request) {
        true => manifest(kind, cache, page.packed(gzip).clone(), true),
        false => manifest(kind, cache, page.text().clone(), false),
    }
}

fn manifest(kind: Kind, cache: &'static str, body: Bytes, packed: bool) -> HttpResponse {
    let mut response = answer(StatusCode::OK, cache);
    response.insert_header((header::VARY, "Accept-Encoding")).content_type(match kind {
        Kind::Playlist => "application/vnd.apple.mpegurl",
        Kind::Mpd => "application/dash+xml",
    });
    if packed {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    response.body(body)
}

/// A screenshot.
pub(super) fn picture(jpeg: Bytes) -> HttpResponse {
    answer(StatusCode::OK, PICTURE)
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .content_type("image/jpeg")
        .body(jpeg)
}

/// The start of an answer with media that never changes.
pub(super) fn immutable(audio: bool) -> HttpResponseBuilder {
    let mut response = answer(StatusCode::OK, FOREVER);
    response.content_type(if audio { "audio/mp4" } else { "video/mp4" });
    response
}

/// Media that is complete, or the range of it that was asked for.
pub(super) fn media(request: &HttpRequest, media: Media) -> HttpResponse {
    let total: u64 = media.parts.iter().map(|part| part.len() as u64).sum();
    let mut response = immutable(media.audio);
    response.insert_header((header::ACCEPT_RANGES, "bytes"));
    let asked = request.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
    match asked.map_or(Range::Whole, |asked| range(asked, total)) {
        Range::Whole => chain(response, media.parts, total),
        Range::Within(start, end) => {
            response.status(StatusCode::PARTIAL_CONTENT);
            response.insert_header((header::CONTENT_RANGE, format!("bytes {start}-{}/{total}", end - 1)));
            chain(response, cut(media.parts, start, end), end - start)
        }
        Range::Outside => answer(StatusCode::RANGE_NOT_SATISFIABLE, SHORT)
            .insert_header((header::CONTENT_RANGE, format!("bytes */{total}")))
            .finish(),
    }
}

/// A body of parts one after the other, without copying them.
fn chain(mut response: HttpResponseBuilder, mut parts: Vec<Bytes>, length: u64) -> HttpResponse {
    if let [part] = parts.as_mut_slice() {
        return response.body(std::mem::take(part));
    }
    response.body(SizedStream::new(length, stream::iter(parts.into_iter().map(Ok::<_, Infallible>))))
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// No range, or one that RFC 9110 lets a server ignore.
    Whole,
    /// From, to (exclusive); not empty.
    Within(u64, u64),
    /// 416.
    Outside,
}

/// One range of `bytes=`; several at once are ignored.
fn range(header: &str, total: u64) -> Range {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Range::Whole;
    };
    let (start, end) = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(start), Ok(last)) if start <= last => (start, last.saturating_add(1).min(total)),
        (Ok(start), Err(_)) if last.trim().is_empty() => (start, total),
        (Err(_), Ok(length)) if first.trim().is_empty() => (total.saturating_sub(length), total),
        _ => return Range::Whole,
    };
    if start < end { Range::Within(start, end) } else { Range::Outside }
}

fn cut(parts: Vec<Bytes>, start: u64, end: u64) -> Vec<Bytes> {
    let mut at = 0;
    let mut cut = Vec::with_capacity(parts.len());
    for part in parts {
        let length = part.len() as u64;
        let (from, to) = (start.saturating_sub(at).min(length), end.saturating_sub(at).min(length));
        if from < to {
            cut.push(part.slice(from as usize..to as usize));
        }
        at += length;
    }
    cut
}

fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 3), Compression::fast());
    // A Vec takes all that is written.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_rfc_9110() {
        assert_eq!(range("bytes=0-3", 10), Range::Within(0, 4));
        assert_eq!(range("bytes=4-", 10), Range::Within(4, 10));
        assert_eq!(range("bytes=-3", 10), Range::Within(7, 10));
        assert_eq!(range("bytes=-30", 10), Range::Within(0, 10));
        assert_eq!(range("bytes=8-18446744073709551615", 10), Range::Within(8, 10));
        assert_eq!(range("bytes=10-", 10), Range::Outside);
        assert_eq!(range("bytes=-0", 10), Range::Outside);
        for ignored in ["bytes=3-1", "bytes=0-1,3-4", "items=0-1", "bytes=", "bytes=-", "bytes=a-b"] {
            assert_eq!(range(ignored, 10), Range::Whole, "{ignored}");
        }
    }

    #[test]
    fn a_cut_goes_over_the_seams() {
        let parts = || vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de"), Bytes::from_static(b"fgh")];
        assert_eq!(cut(parts(), 0, 8).concat(), b"abcdefgh");
        assert_eq!(cut(parts(), 2, 6).concat(), b"cdef");
        assert_eq!(cut(parts(), 3, 5), [Bytes::from_static(b"de")]);
    }
}
