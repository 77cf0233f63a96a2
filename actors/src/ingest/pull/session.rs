//! One try of a source: fetched until it delivers a picture, then a session like a publisher's.
//!
//! Before the first picture that can be decoded nothing is known of it but to the actor that makes the tries: a source that is connected
//! and silent is no session. With the picture it asks for a grant, and from there on its [`Intake`] tells of it. A fetch whose media nobody takes
//! waits, so what comes too fast is held back at its source.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};
use weir_media::access_unit::Track;
use weir_media::codec::{AudioConfig, TrackConfig, VideoConfig};
use weir_media::feed::FeedItem;
use weir_media::pull::{PullUri, Scheme};

use super::{CONNECT_WITHIN, Fetched, Outlet, PullError};
use crate::clock;
use crate::ingest::intake::{Intake, Patience};
use crate::ingest::{CloseReason, Grant};
use crate::network::Network;

/// Silence of a source that has answered, after which it makes way; an SRT source's latency comes on top.
const SILENT: Duration = Duration::from_secs(3);
/// From the first byte to the first picture: a source that began before us sends a keyframe per GOP.
const PICTURE_WITHIN: Duration = Duration::from_secs(10);
/// For the stream's supervisor to take the session.
const GRANTED_WITHIN: Duration = Duration::from_secs(5);
/// Of a session: its first picture is there, and silence is the stream's to judge long before.
const PATIENCE: Patience = Patience { first_video: Duration::from_secs(3), idle: Duration::from_secs(10) };

/// Fetches sources. Tests put their own in its place.
pub trait Fetch: Send + Sync {
    /// See [`super::fetch`].
    fn fetch(&self, source: PullUri, outlet: Outlet) -> BoxFuture<'static, PullError>;
}

impl Fetch for Network {
    fn fetch(&self, source: PullUri, outlet: Outlet) -> BoxFuture<'static, PullError> {
        let network = self.clone();
        Box::pin(async move { super::fetch(&source, &network, &outlet).await })
    }
}

/// What a try tells of itself. Nothing comes after either.
#[derive(Debug)]
pub enum TryFact {
    /// There is a picture: it asks for a grant, and is a session with it.
    Ready(oneshot::Sender<Grant>),
    /// There is none.
    Failed(PullError),
}

/// Runs one try to its end. Dropping the future before the grant ends it too.
pub async fn attempt(source: PullUri, fetch: Arc<dyn Fetch>, tell: oneshot::Sender<TryFact>) {
    let (outlet, mut fetched) = Outlet::new();
    let mut fetching = fetch.fetch(source.clone(), outlet);
    let mut opening = Opening::new(&source, clock::now());
    let failed = loop {
        let due = opening.due();
        tokio::select! {
            biased;
            Some(one) = fetched.recv() => if opening.take(one, clock::now()) { break None },
            error = &mut fetching => break Some(error),
            () = sleep_until(due.into()) => break Some(opening.overdue()),
        }
    };
    if let Some(error) = failed {
        // Nobody listens to a try that was cut.
        let _ = tell.send(TryFact::Failed(error));
        return;
    }
    let (ask, granted) = oneshot::channel();
    if tell.send(TryFact::Ready(ask)).is_err() {
        return;
    }
    let Ok(Ok(grant)) = timeout(GRANTED_WITHIN, granted).await else { return };
    tracing::info!(session = %grant.session, stream = %grant.stream, %source, "pull session begins");
    let mut session = Session { intake: Intake::new(grant, PATIENCE, clock::now()) };
    let reason = session.run(opening, &mut fetched, &mut fetching).await;
    let farewell = session.intake.end(reason, clock::now());
    drop(fetching);
    farewell.say();
}

/// What came before the first picture.
struct Opening {
    /// Silence that it may begin with.
    quiet: Duration,
    began: Instant,
    /// First and latest sign of the source.
    heard: Option<(Instant, Instant)>,
    bytes: usize,
    video: Option<VideoConfig>,
    audio: Option<AudioConfig>,
    picture: Option<FeedItem>,
}

impl Opening {
    fn new(source: &PullUri, now: Instant) -> Self {
        let latency = match source.scheme() {
            Scheme::Srt => source.srt().ok().and_then(|srt| srt.latency).unwrap_or_default(),
            _ => Duration::ZERO,
        };
        Self { quiet: SILENT + latency, began: now, heard: None, bytes: 0, video: None, audio: None, picture: None }
    }

    /// Takes what was fetched; whether that is the first picture. Sound before it would begin the session without one.
    fn take(&mut self, fetched: Fetched, now: Instant) -> bool {
        match fetched {
            Fetched::Heard(bytes) => {
                self.bytes += bytes;
                self.heard = Some((self.heard.map_or(now, |(first, _)| first), now));
            }
            Fetched::Item(FeedItem::Config(TrackConfig::Video(config))) => self.video = Some(config),
            Fetched::Item(FeedItem::Config(TrackConfig::Audio(config))) => self.audio = Some(config),
            Fetched::Item(FeedItem::Unit(unit)) => {
                if unit.track == Track::Video && unit.keyframe && self.video.is_some() {
                    self.picture = Some(FeedItem::Unit(unit));
                }
            }
            Fetched::Transport(_) => {}
        }
        self.picture.is_some()
    }

    fn due(&self) -> Instant {
        match self.heard {
            None => self.began + CONNECT_WITHIN.max(self.quiet),
            Some((first, latest)) => (latest + self.quiet).min(first + PICTURE_WITHIN),
        }
    }

    /// Why it is over when it is.
    fn overdue(&self) -> PullError {
        match (self.heard, &self.video) {
            (None, _) => PullError::Timeout(CONNECT_WITHIN.max(self.quiet)),
            (Some((first, latest)), _) if latest + self.quiet <= first + PICTURE_WITHIN => {
                PullError::Refused(format!("connected, but nothing comes for {} s", self.quiet.as_secs_f64()))
            }
            (Some(_), None) => PullError::Unacceptable(format!("no video within {} s", PICTURE_WITHIN.as_secs())),
            (Some(_), Some(_)) => PullError::Unacceptable(format!("no keyframe within {} s", PICTURE_WITHIN.as_secs())),
        }
    }

    /// What the session begins with, in order.
    fn items(self) -> impl Iterator<Item = FeedItem> {
        let video = self.video.map(TrackConfig::Video).map(FeedItem::Config);
        let audio = self.audio.map(TrackConfig::Audio).map(FeedItem::Config);
        video.into_iter().chain(audio).chain(self.picture)
    }
}

struct Session {
    intake: Intake,
}

impl Session {
    async fn run(
        &mut self,
        opening: Opening,
        fetched: &mut mpsc::Receiver<Fetched>,
        fetching: &mut BoxFuture<'static, PullError>,
    ) -> CloseReason {
        self.intake.count(opening.bytes);
        for item in opening.items() {
            if let Err(reason) = self.intake.deliver(item, clock::now()) {
                return reason;
            }
        }
        loop {
            let due = self.intake.due();
            let done = tokio::select! {
                biased;
                reason = self.intake.ordered_to_end() => return reason,
                () = sleep_until(due.into()) => self.intake.look_at_clock(clock::now(), "no video"),
                Some(one) = fetched.recv() => self.take(one),
                error = &mut *fetching => return self.ended(&error, fetched),
            };
            if let Err(reason) = done {
                return reason;
            }
        }
    }

    fn take(&mut self, fetched: Fetched) -> Result<(), CloseReason> {
        let now = clock::now();
        match fetched {
            Fetched::Heard(bytes) => {
                self.intake.count(bytes);
                self.intake.heard(now);
                Ok(())
            }
            Fetched::Item(item) => {
                self.intake.heard(now);
                self.intake.deliver(item, now)
            }
            Fetched::Transport(stats) => self.intake.transport(stats),
        }
    }

    /// Takes what the fetch had delivered before it ended.
    fn ended(&mut self, error: &PullError, fetched: &mut mpsc::Receiver<Fetched>) -> CloseReason {
        while let Ok(one) = fetched.try_recv() {
            if let Err(reason) = self.take(one) {
                return reason;
            }
        }
        CloseReason::Source(error.to_string())
    }
}
