//! A stream as the API answers it.

use serde::Serialize;
use utoipa::ToSchema;
use weir_actors::status::StreamStatus;
use weir_media::id::Slot;

use crate::http::urls::Urls;
use crate::store::{Projection, RecordType, Stream};
pub use crate::timestamp::timestamp;

/// The region code of an ingest point that is receiving: this server is the only one.
const REGION: &str = "local";

/// A stream: what clients wrote, then what the server knows. Fields come in the documented order.
// Holds the token: no `Debug`. Not a doc comment, because those are the API's description.
#[derive(Serialize, ToSchema)]
pub struct StreamView {
    /// Its name; need not be unique.
    name: String,
    /// Off refuses publishers and stops pulling.
    active: bool,
    /// The server fetches it from `uri`; pushes are refused.
    pull: bool,
    /// Sources to pull from, separated by spaces: `rtmp`, `rtmps`, `srt`, `http`, `https`, `rtsp`; at most 16.
    uri: Option<String>,
    /// SRT encryption, 10 to 79 printable ASCII characters without spaces; another one closes the stream's SRT sessions.
    srt_passphrase: Option<String>,
    /// Record while live.
    auto_record: bool,
    /// What a recording keeps.
    record_type: RecordType,
    /// Keep a window to rewind in.
    dvr_enabled: bool,
    /// That window, seconds, 30 to 14400.
    dvr_duration: i64,
    /// Put an end tag into the MPEG-TS playlist.
    hls_mpegts_endlist_tag: bool,
    /// Its quality set; null for the default one.
    quality_set_id: Option<i64>,
    /// The client's own number.
    client_user_id: Option<i64>,
    /// The client's own text, at most 4096 characters.
    client_entity_data: Option<String>,
    /// The client's CDN resource.
    cdn_id: Option<i64>,
    /// Burn HTML overlays in.
    html_overlay: bool,
    /// Multi-camera pages it belongs to.
    broadcast_ids: Vec<i64>,
    /// How players show it.
    projection: Projection,
    /// Its id.
    id: u64,
    /// Its push token.
    token: String,
    /// The primary input receives.
    live: bool,
    /// The backup input receives.
    backup_live: bool,
    /// Where the primary input is received; null while it is not.
    active_ingest_region_primary: Option<&'static str>,
    /// Where the backup input is received; null while it is not.
    active_ingest_region_backup: Option<&'static str>,
    /// `rtmp`, `srt` or `webrtc`; of a pulled stream `rtmp`, `srt`, `https` (HLS, or MPEG-TS over HTTP) or `rtsp`. Null while not transcoding.
    stream_source_type: Option<&'static str>,
    /// Where to push by RTMP; by RTMPS where that door alone is open.
    push_url: Option<String>,
    /// Where the backup encoder pushes by RTMP; by RTMPS where that door alone is open.
    backup_push_url: Option<String>,
    /// Where to push by SRT.
    push_url_srt: Option<String>,
    /// Where the backup encoder pushes by SRT.
    backup_push_url_srt: Option<String>,
    /// Where to push by WHIP.
    push_url_whip: Option<String>,
    /// When it was made.
    created_at: String,
    /// When the primary input last began.
    started_at_primary: Option<String>,
    /// When the backup input last began.
    started_at_backup: Option<String>,
    /// When the primary input last stopped; earlier than its start while it runs.
    finished_at_primary: Option<String>,
    /// The player page.
    iframe_url: String,
    /// The DASH manifest.
    dash_url: String,
    /// The HLS playlist.
    hls_cmaf_url: String,
    /// The MPEG-TS HLS playlist.
    hls_mpegts_url: Option<String>,
    /// The latest picture as JPEG, a new one every 10 s while it is on; 404 before the first.
    screenshot: String,
    /// Renditions being made; null while not transcoding.
    transcoded_qualities: Option<Vec<String>>,
    /// Length of the running recording, seconds.
    recording_duration: Option<f64>,
    /// Speed of the transcoder, 1.0 keeps up; null while not transcoding.
    transcoding_speed: Option<f64>,
    /// Frames per second of the input on air.
    frame_rate: Option<f64>,
    /// Pixels of the input on air.
    video_height: Option<u32>,
    /// Pixels of the input on air.
    video_width: Option<u32>,
    /// HTML overlays: none.
    html_overlays: Vec<String>,
    /// Multi-camera pages: none. Only in a list that asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    broadcasts: Option<Vec<String>>,
}

impl StreamView {
    /// Joins what is kept of a stream with its present state.
    pub fn new(stream: Stream, status: StreamStatus, urls: &Urls) -> Self {
        let (id, fields) = (stream.id, stream.fields);
        let on = status.transcoding;
        Self {
            name: fields.name,
            active: fields.active,
            pull: fields.pull,
            uri: fields.uri,
            srt_passphrase: fields.srt_passphrase,
            auto_record: fields.auto_record,
            record_type: fields.record_type,
            dvr_enabled: fields.dvr_enabled,
            dvr_duration: fields.dvr_duration,
            hls_mpegts_endlist_tag: fields.hls_mpegts_endlist_tag,
            quality_set_id: fields.quality_set_id,
            client_user_id: fields.client_user_id,
            client_entity_data: fields.client_entity_data,
            cdn_id: fields.cdn_id,
            html_overlay: fields.html_overlay,
            broadcast_ids: fields.broadcast_ids.0,
            projection: fields.projection,
            id: id.0,
            live: status.live,
            backup_live: status.backup_live,
            active_ingest_region_primary: status.live.then_some(REGION),
            active_ingest_region_backup: status.backup_live.then_some(REGION),
            stream_source_type: status.protocol.filter(|_| on).map(|protocol| protocol.source_type()),
            push_url: urls.push(id, Slot::Primary, &stream.token),
            backup_push_url: urls.push(id, Slot::Backup, &stream.token),
            push_url_srt: urls.push_srt(id, Slot::Primary, &stream.token),
            backup_push_url_srt: urls.push_srt(id, Slot::Backup, &stream.token),
            push_url_whip: Some(urls.push_whip(id, &stream.token)),
            token: stream.token.expose().to_owned(),
            created_at: timestamp(stream.created_at),
            // The tree knows this run, the store all runs; either may be a moment behind.
            started_at_primary: status.started_at_primary.max(stream.started_at_primary).map(timestamp),
            started_at_backup: status.started_at_backup.max(stream.started_at_backup).map(timestamp),
            finished_at_primary: status.finished_at_primary.max(stream.finished_at_primary).map(timestamp),
            iframe_url: urls.iframe(id),
            dash_url: urls.dash(id),
            hls_cmaf_url: urls.hls(id),
            hls_mpegts_url: None,
            screenshot: urls.screenshot(id),
            transcoded_qualities: on.then_some(status.qualities),
            recording_duration: None,
            transcoding_speed: status.transcoding_speed.filter(|_| on).map(hundredths),
            frame_rate: status.frame_rate.filter(|_| on).map(hundredths),
            video_height: status.video_height.filter(|_| on),
            video_width: status.video_width.filter(|_| on),
            html_overlays: Vec::new(),
            broadcasts: None,
        }
    }

    /// Adds the empty list of multi-camera pages.
    pub fn with_broadcasts(self) -> Self {
        Self { broadcasts: Some(Vec::new()), ..self }
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_rate_is_told_in_hundredths() {
        assert_eq!(hundredths(30000.0 / 1001.0), 29.97);
    }
}
