//! `/streaming/statistics`: the documented series of a stream's health.

use std::time::SystemTime;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Iso8601;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{ApiError, FieldErrors};
use super::streams::{stream_id, unknown};
use crate::store::health::HealthRow;

/// Longest interval of a row, seconds: a hundred years.
const LONGEST_INTERVAL: i64 = 3_155_760_000;
/// Most rows in an answer: 10 s rows of a week.
const MOST_ROWS: u32 = 60_480;

/// Query of the series.
#[derive(Debug, Deserialize, IntoParams)]
pub struct FfprobeQuery {
    /// The stream.
    #[param(value_type = u64)]
    stream_id: Option<String>,
    /// Begin, ISO 8601; without an offset it is UTC.
    #[param(value_type = String)]
    date_from: Option<String>,
    /// End, ISO 8601.
    #[param(value_type = String)]
    date_to: Option<String>,
    /// Length of a row in `units`, 10 by default. Samples have 10 s, so shorter rows are 10 s apart.
    #[param(value_type = Option<u32>)]
    interval: Option<String>,
    /// `second` (default), `minute`, `hour`, `day`, `week` or `month` (30 days).
    units: Option<String>,
}

/// The series.
#[derive(Serialize, ToSchema)]
pub struct FfprobeView {
    /// Oldest first; times in which the stream was off have no row.
    data: Vec<FfprobeRow>,
}

/// What the input on air brought within one interval.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct FfprobeRow {
    /// Begin of the interval, UTC, e.g. `2023-10-01 00:01:00`.
    time: String,
    /// Pictures and sound, kbit/s.
    avg_bitrate: f64,
    /// Pictures.
    sum_frames: i64,
    /// Pixels.
    max_height: i64,
    /// Pictures a second.
    max_fps: f64,
    /// Longest distance of keyframes, pictures.
    max_keyframe_interval: i64,
}

/// What is asked for.
#[derive(Debug)]
struct Wanted {
    from: SystemTime,
    to: SystemTime,
    step_s: i64,
}

/// A stream's health: bit rate, frames, picture height, frame rate and keyframe distance of the input on air.
#[utoipa::path(get, path = "/streaming/statistics/ffprobe", tag = "statistics", params(FfprobeQuery), responses(
    (status = 200, body = FfprobeView),
    (status = 404, description = "No such stream"),
    (status = 422, description = "Missing or wrong parameters: `{\"errors\": {parameter: [texts]}}`"),
))]
pub async fn ffprobe(api: web::Data<Api>, query: web::Query<FfprobeQuery>) -> Result<HttpResponse, ApiError> {
    let Wanted { from, to, step_s } = wanted(&query)?;
    let id = stream_id(query.stream_id.as_deref().unwrap_or_default())?;
    api.store.stream(id).await?.ok_or_else(|| unknown(id))?;
    let rows = api.store.health(id, (from, to), step_s, MOST_ROWS).await?;
    Ok(HttpResponse::Ok().json(FfprobeView { data: rows.iter().map(FfprobeRow::from).collect() }))
}

/// Reads the query, and tells everything that is wrong with it at once.
fn wanted(query: &FfprobeQuery) -> Result<Wanted, ApiError> {
    let mut errors = FieldErrors::new();
    let mut wrong = |field: &str, text: &str| {
        errors.insert(field.to_owned(), vec![text.to_owned()]);
    };
    if query.stream_id.as_deref().is_none_or(str::is_empty) {
        wrong("stream_id", "is required");
    }
    let mut moment = |field: &str, given: &Option<String>| match given.as_deref().filter(|text| !text.is_empty()) {
        None => {
            wrong(field, "is required");
            None
        }
        Some(text) => {
            let read = moment(text);
            if read.is_none() {
                wrong(field, "must be a date and time in ISO 8601, e.g. 2023-10-01T00:00:00Z");
            }
            read
        }
    };
    let (from, to) = (moment("date_from", &query.date_from), moment("date_to", &query.date_to));
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        wrong("date_to", "must not be before date_from");
    }
    let unit_s: Option<i64> = match query.units.as_deref().unwrap_or_default() {
        "" | "second" => Some(1),
        "minute" => Some(60),
        "hour" => Some(3_600),
        "day" => Some(86_400),
        "week" => Some(604_800),
        "month" => Some(30 * 86_400),
        _ => None,
    };
    if unit_s.is_none() {
        wrong("units", "must be second, minute, hour, day, week or month");
    }
    let interval = match query.interval.as_deref().unwrap_or_default() {
        "" => Some(10),
        text => text.parse::<i64>().ok().filter(|interval| *interval >= 1),
    };
    let step_s = interval.and_then(|interval| interval.checked_mul(unit_s.unwrap_or(1)));
    let step_s = step_s.filter(|step| *step <= LONGEST_INTERVAL);
    if step_s.is_none() {
        wrong("interval", "must be a whole number from 1, and at most a hundred years");
    }
    match (from, to, step_s) {
        (Some(from), Some(to), Some(step_s)) if errors.is_empty() => Ok(Wanted { from, to, step_s }),
        _ => Err(ApiError::Invalid(errors)),
    }
}

/// A moment in ISO 8601; a date alone is its midnight, a time without an offset is UTC.
fn moment(text: &str) -> Option<SystemTime> {
    // A plus that nobody escaped arrives as a space.
    let text = text.replacen(' ', if text.contains('T') { "+" } else { "T" }, 1);
    let parsed = OffsetDateTime::parse(&text, &Iso8601::DEFAULT).ok();
    let local = || PrimitiveDateTime::parse(&text, &Iso8601::DEFAULT).ok().map(PrimitiveDateTime::assume_utc);
    let date = || Date::parse(&text, &Iso8601::DEFAULT).ok().map(|date| date.midnight().assume_utc());
    parsed.or_else(local).or_else(date).map(SystemTime::from)
}

impl From<&HealthRow> for FfprobeRow {
    fn from(row: &HealthRow) -> Self {
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
        let at = OffsetDateTime::from_unix_timestamp(row.at_s).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let kbps = row.bytes as f64 * 8.0 / (row.covered_ms.max(1) as f64);
        Self {
            time: at.format(format).unwrap_or_default(),
            avg_bitrate: (kbps * 10.0).round() / 10.0,
            sum_frames: row.frames,
            max_height: row.height,
            max_fps: (row.fps_milli as f64 / 10.0).round() / 100.0,
            max_keyframe_interval: row.gop_frames,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn query(from: &str, to: &str, interval: &str, units: &str) -> FfprobeQuery {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        FfprobeQuery {
            stream_id: Some("1".into()),
            date_from: given(from),
            date_to: given(to),
            interval: given(interval),
            units: given(units),
        }
    }

    #[test]
    fn moments_are_read_in_the_spellings_of_iso_8601() {
        let expected = UNIX_EPOCH + Duration::from_secs(1_696_118_400);
        for text in [
            "2023-10-01",
            "2023-10-01T00:00:00",
            "2023-10-01 00:00:00",
            "2023-10-01T00:00:00Z",
            "2023-10-01T00:00:00.000Z",
            "2023-10-01T02:00:00+02:00",
            "2023-10-01T02:00:00 02:00",
        ] {
            assert_eq!(moment(text), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "1696118400", "2023-13-01", "2023-10-01T25:00:00Z"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn intervals_are_counted_in_units_and_everything_wrong_is_told_at_once() {
        let step = |interval, units| {
            wanted(&query("2023-10-01", "2023-10-02", interval, units)).map(|wanted| wanted.step_s).ok()
        };
        assert_eq!(step("", ""), Some(10));
        assert_eq!(step("1", "hour"), Some(3_600));
        assert_eq!(step("2", "week"), Some(1_209_600));
        for (interval, units) in [("0", ""), ("-1", ""), ("1.5", ""), ("9223372036854775807", "day"), ("1", "year")] {
            assert_eq!(step(interval, units), None, "{interval} {units}");
        }
        let nothing = FfprobeQuery { stream_id: None, ..query("", "x", "a", "b") };
        let Err(ApiError::Invalid(errors)) = wanted(&nothing) else { panic!("not refused") };
        let fields: Vec<&str> = errors.keys().map(String::as_str).collect();
        assert_eq!(fields, ["date_from", "date_to", "interval", "stream_id", "units"]);
        assert!(wanted(&query("2023-10-02", "2023-10-01", "", "")).is_err());
    }

    #[test]
    fn a_row_is_spelled_as_documented() {
        let row = HealthRow {
            at_s: 1_696_118_460,
            bytes: 4_375_625,
            covered_ms: 10_000,
            frames: 300,
            height: 1080,
            fps_milli: 29_970,
            gop_frames: 60,
        };
        let expected = serde_json::json!({
            "time": "2023-10-01 00:01:00", "avg_bitrate": 3500.5, "sum_frames": 300, "max_height": 1080, "max_fps": 29.97,
            "max_keyframe_interval": 60,
        });
        assert_eq!(serde_json::json!(FfprobeRow::from(&row)), expected);
    }
}
