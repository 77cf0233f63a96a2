//! A segment that is still growing, sent part by part by chunked transfer (low-latency DASH).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use weir_media::package::{Lookup, Media};

use super::answer;
use crate::shelf::Channel;

/// The rest of the segment does not come: the connection is cut, so that nobody takes the torso for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the segment stopped growing")]
struct Cut;

struct Growing {
    channel: Arc<Channel>,
    track: u8,
    number: u64,
    /// Parts handed over.
    sent: usize,
    ready: VecDeque<Bytes>,
    complete: bool,
    patience: Duration,
    _permit: OwnedSemaphorePermit,
}

impl Growing {
    async fn next(mut self) -> Option<(Result<Bytes, Cut>, Self)> {
        if let Some(part) = self.ready.pop_front() {
            self.sent += 1;
            return Some((Ok(part), self));
        }
        if self.complete {
            return None;
        }
        let (track, number, sent) = (self.track, self.number, self.sent);
        let more = self.channel.wait(track, Instant::now() + self.patience, |packager| {
            match packager.segment(track, number, sent) {
                Lookup::Found(media) if media.parts.is_empty() && !media.complete => None,
                Lookup::Found(media) => Some(Some(media)),
                Lookup::Soon | Lookup::Missing => Some(None),
            }
        });
        let Some(Media { parts, complete, .. }) = more.await.flatten() else {
            self.complete = true;
            return Some((Err(Cut), self));
        };
        self.ready = parts.into();
        self.complete = complete;
        // The broadcast may have ended between two parts: then there is nothing left to send.
        let part = self.ready.pop_front()?;
        self.sent += 1;
        Some((Ok(part), self))
    }
}

/// Answers with what there is of the segment and with each further part as it comes.
pub(super) fn respond(
    channel: Arc<Channel>,
    track: u8,
    number: u64,
    begun: Media,
    patience: Duration,
    permit: OwnedSemaphorePermit,
) -> HttpResponse {
    let mut response = answer::immutable(begun.audio);
    let growing = Growing {
        channel,
        track,
        number,
        sent: 0,
        ready: begun.parts.into(),
        complete: begun.complete,
        patience,
        _permit: permit,
    };
    response.streaming(stream::unfold(growing, Growing::next))
}
