//! The REST API over real HTTP: documented shapes, status codes and oddities. The supervision tree is a fake that remembers.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/api_server.rs"]
mod api_server;
#[path = "../support/events.rs"]
mod events;

mod changes;
mod failover;
mod follow;
mod journal;
mod metrics;
mod operations;
mod panel;
mod plain;
mod preflight;
mod requests;
mod streams;
mod webhooks;

use serde_json::Value;

const STREAMS: &str = "/streaming/streams";

fn path(stream: &Value) -> String {
    format!("{STREAMS}/{}", stream["id"])
}

/// The fields of the documented stream object, in their order.
const FIELDS: [&str; 45] = [
    "name",
    "active",
    "pull",
    "uri",
    "srt_passphrase",
    "auto_record",
    "record_type",
    "dvr_enabled",
    "dvr_duration",
    "hls_mpegts_endlist_tag",
    "quality_set_id",
    "client_user_id",
    "client_entity_data",
    "cdn_id",
    "html_overlay",
    "broadcast_ids",
    "projection",
    "id",
    "token",
    "live",
    "backup_live",
    "active_ingest_region_primary",
    "active_ingest_region_backup",
    "stream_source_type",
    "push_url",
    "backup_push_url",
    "push_url_srt",
    "backup_push_url_srt",
    "push_url_whip",
    "created_at",
    "started_at_primary",
    "started_at_backup",
    "finished_at_primary",
    "iframe_url",
    "dash_url",
    "hls_cmaf_url",
    "hls_mpegts_url",
    "screenshot",
    "transcoded_qualities",
    "recording_duration",
    "transcoding_speed",
    "frame_rate",
    "video_height",
    "video_width",
    "html_overlays",
];
