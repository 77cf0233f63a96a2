//! What receivers of webhooks are told of streams: a message for each event that changes what they know.
//!
//! A message is written in the transaction of its event, whole: a second try and a replay send the same bytes, with the flags as they were
//! when the event happened. It holds no secret: push addresses without their token, pull addresses as [`PullUri`] shows them.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use weir_actors::event::{EventKind, StreamEvent};
use weir_media::id::{Protocol, Slot, StreamId};
use weir_media::pull::PullUri;

use super::stream::{key, ms};
use super::vault::Column;
use super::{Store, StoreError};
use crate::timestamp::timestamp;

/// Where a slot's encoder pushes by a protocol, with a mask for the token.
pub type PushUri = dyn Fn(StreamId, Slot, Protocol) -> Option<String> + Send + Sync;

/// A stream as its receivers know it, and what the next message needs. A JSON object in the database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Told {
    live: bool,
    backup_live: bool,
    transcoding: bool,
    /// Of the latest session of each slot.
    protocols: [Option<Protocol>; 2],
    /// The slot that was on air last.
    on_air: Option<Slot>,
    /// As of the last message: what is told of a stream that is deleted while it is live.
    channel: Channel,
}

/// What of a stream's fields is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Channel {
    client_user_id: Option<i64>,
    client_entity_data: Option<String>,
    pull: bool,
    uri: Option<String>,
}

/// The documented body, with three fields more at its end.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    message: Message<'a>,
    event_id: i64,
    sequence: i64,
    at: String,
}

#[derive(Serialize)]
struct Message<'a> {
    stream: Fields<'a>,
}

#[derive(Serialize)]
struct Fields<'a> {
    id: StreamId,
    live: bool,
    backup_live: bool,
    recording: bool,
    client_user_id: Option<i64>,
    client_entity_data: Option<&'a str>,
    pull: bool,
    uri: Option<&'a str>,
    stream_source_type: Option<&'static str>,
    transcoding: bool,
}

impl Told {
    /// Takes an event in; whether it changes what receivers know.
    fn take(&mut self, kind: &EventKind) -> bool {
        let before = self.flags();
        match *kind {
            EventKind::SessionOpened { slot, protocol, .. } => self.protocols[slot as usize] = Some(protocol),
            EventKind::LiveChanged { slot: Slot::Primary, live } => self.live = live,
            EventKind::LiveChanged { slot: Slot::Backup, live } => self.backup_live = live,
            EventKind::TranscodingChanged { transcoding } => self.transcoding = transcoding,
            EventKind::OnAirChanged { slot: Some(slot) } => self.on_air = Some(slot),
            _ => {}
        }
        self.flags() != before
    }

    fn flags(&self) -> [bool; 3] {
        [self.live, self.backup_live, self.transcoding]
    }

    /// What ended with the last run of the server.
    fn left_open(&self) -> Vec<EventKind> {
        let ended = [
            (self.transcoding, EventKind::TranscodingChanged { transcoding: false }),
            (self.live, EventKind::LiveChanged { slot: Slot::Primary, live: false }),
            (self.backup_live, EventKind::LiveChanged { slot: Slot::Backup, live: false }),
        ];
        ended.into_iter().filter_map(|(open, end)| open.then_some(end)).collect()
    }

    /// The slot that speaks for the stream.
    fn slot(&self) -> Slot {
        match (self.live, self.backup_live) {
            (true, false) => Slot::Primary,
            (false, true) => Slot::Backup,
            _ => self.on_air.unwrap_or(Slot::Primary),
        }
    }

    fn body(&self, event: &StreamEvent, event_id: i64, sequence: i64) -> Result<String, StoreError> {
        let protocol = self.protocols[self.slot() as usize].filter(|_| self.transcoding);
        let stream = Fields {
            id: event.stream,
            live: self.live,
            backup_live: self.backup_live,
            recording: false,
            client_user_id: self.channel.client_user_id,
            client_entity_data: self.channel.client_entity_data.as_deref(),
            pull: self.channel.pull,
            uri: self.channel.uri.as_deref(),
            stream_source_type: protocol.map(Protocol::source_type),
            transcoding: self.transcoding,
        };
        let (r#type, at) = ("stream", timestamp(event.at));
        let body = Body { r#type, message: Message { stream }, event_id, sequence, at };
        // Not by way of a value, whose fields would be in the order of their names.
        serde_json::to_string(&body).map_err(|error| sqlx::Error::Encode(error.into()).into())
    }
}

impl Store {
    /// Notes what an event means to receivers; the id of the message, if there is one to be sent.
    pub(super) async fn tell(
        &self,
        connection: &mut SqliteConnection,
        event: &StreamEvent,
        id: i64,
        push_uri: &PushUri,
    ) -> Result<Option<i64>, StoreError> {
        let known: Option<(i64, String)> = sqlx::query_as("SELECT sequence, state FROM told WHERE stream = ?")
            .bind(key(event.stream))
            .fetch_optional(&mut *connection)
            .await?;
        let (mut sequence, state) = known.unwrap_or_default();
        // What cannot be read is as good as nothing, and the next events set it right.
        let before: Told = serde_json::from_str(&state).unwrap_or_default();
        let mut told = before.clone();
        let changes = told.take(&event.kind);
        if told == before {
            return Ok(None);
        }
        let mut exists = true;
        if changes {
            match self.channel(connection, event.stream, &told, push_uri).await? {
                Some(channel) => told.channel = channel,
                None => exists = false,
            }
            sequence += 1;
            sqlx::query("INSERT INTO messages (id, stream, sequence, at, body) VALUES (?, ?, ?, ?, ?)")
                .bind(id)
                .bind(key(event.stream))
                .bind(sequence)
                .bind(ms(event.at))
                .bind(told.body(event, id, sequence)?)
                .execute(&mut *connection)
                .await?;
        }
        let keep = if exists || told.flags().contains(&true) {
            sqlx::query(
                "INSERT INTO told VALUES (?1, ?2, ?3) ON CONFLICT (stream) DO UPDATE SET sequence = ?2, state = ?3",
            )
            .bind(key(event.stream))
            .bind(sequence)
            .bind(serde_json::json!(told).to_string())
        } else {
            // A deleted stream has ended, and its id is never given again.
            sqlx::query("DELETE FROM told WHERE stream = ?").bind(key(event.stream))
        };
        keep.execute(connection).await?;
        Ok(changes.then_some(id))
    }

    /// What is told of a stream's fields; `None` when it was deleted.
    async fn channel(
        &self,
        connection: &mut SqliteConnection,
        id: StreamId,
        told: &Told,
        push_uri: &PushUri,
    ) -> Result<Option<Channel>, StoreError> {
        type Row = (Option<i64>, Option<String>, bool, Option<Vec<u8>>);
        let row: Option<Row> =
            sqlx::query_as("SELECT client_user_id, client_entity_data, pull, sealed_uri FROM streams WHERE id = ?")
                .bind(key(id))
                .fetch_optional(connection)
                .await?;
        let Some((client_user_id, client_entity_data, pull, sealed)) = row else { return Ok(None) };
        let uri = if pull {
            // An address that cannot be opened is missing here, and costs no stream its events.
            sealed.and_then(|sealed| self.vault.open_sealed(id, Column::Uri, &sealed).ok()).and_then(|uri| shown(&uri))
        } else {
            let slot = told.slot();
            push_uri(id, slot, told.protocols[slot as usize].unwrap_or(Protocol::Rtmp))
        };
        Ok(Some(Channel { client_user_id, client_entity_data, pull, uri }))
    }

    /// The ends of what the last run of the server left open in its receivers' eyes.
    pub(super) async fn left_open(&self, at: SystemTime) -> Result<Vec<StreamEvent>, StoreError> {
        let all: Vec<(i64, String)> =
            sqlx::query_as("SELECT stream, state FROM told ORDER BY stream").fetch_all(&self.pool).await?;
        let ends = all.into_iter().flat_map(|(stream, state)| {
            let told: Told = serde_json::from_str(&state).unwrap_or_default();
            let event = move |kind| StreamEvent { stream: StreamId(stream as u64), at, kind };
            told.left_open().into_iter().map(event)
        });
        Ok(ends.collect())
    }
}

/// A list of pull addresses without what may be secret.
fn shown(list: &str) -> Option<String> {
    let sources = PullUri::parse_list(list).ok()?;
    Some(sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
