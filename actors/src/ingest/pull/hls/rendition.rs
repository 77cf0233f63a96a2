//! One media playlist: follows it, and makes configurations and access units of its segments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::sleep_until;
use url::Url;
use weir_media::access_unit::Track;
use weir_media::codec::TrackConfig;
use weir_media::feed::FeedItem;
use weir_media::hls::decrypt::{self, KEY};
use weir_media::hls::follow::{Follow, Next, Step};
use weir_media::hls::playlist::{Encryption, Map, Media, Playlist, PlaylistError, Range, Reference, Segment};
use weir_media::hls::segment::{SegmentError, SegmentReader};

use super::super::http::client::{Client, HttpError, Response};
use super::super::{Outlet, PullError};
use crate::clock;

/// Bytes that are taken of a playlist, an initialization section and a segment.
const MOST_PLAYLIST: usize = 1 << 20;
const MOST_INIT: usize = 1 << 20;
const MOST_SEGMENT: usize = 64 << 20;
/// For the body of a playlist, a key or an initialization section.
const SMALL_WITHIN: Duration = Duration::from_secs(5);
/// For the body of a segment. One that takes longer than it plays makes the source stall anyway.
const SEGMENT_WITHIN: Duration = Duration::from_secs(60);

/// What a segment came to.
#[derive(Debug)]
pub struct Batch {
    /// By decoding times.
    pub items: Vec<FeedItem>,
    /// Timestamps may begin anew.
    pub discontinuity: bool,
    /// No later segment is listed.
    pub last: bool,
    keeps: Option<Track>,
}

impl Batch {
    /// The tracks that it is of.
    pub fn tracks(&self) -> impl Iterator<Item = Track> + use<> {
        let keeps = self.keeps;
        [Track::Video, Track::Audio].into_iter().filter(move |&track| keeps.is_none_or(|kept| kept == track))
    }
}

/// Why there is no playlist.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not answered.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It cannot be read.
    #[error(transparent)]
    Playlist(#[from] PlaylistError),
    /// A list of lists where segments are wanted.
    #[error("HLS playlist lists playlists where segments are wanted")]
    Nested,
}

impl From<LoadError> for PullError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Http(error) => error.into(),
            LoadError::Playlist(_) | LoadError::Nested => Self::Unacceptable(error.to_string()),
        }
    }
}

/// Why there is nothing of a segment.
#[derive(Debug, thiserror::Error)]
enum SegmentFailure {
    /// The server has to be asked again.
    #[error(transparent)]
    Http(HttpError),
    /// It will not get better.
    #[error("{0}")]
    Damaged(String),
    /// Nor will the next.
    #[error(transparent)]
    Fatal(#[from] PullError),
}

impl From<HttpError> for SegmentFailure {
    fn from(error: HttpError) -> Self {
        if error.is_forbidden() { Self::Fatal(error.into()) } else { Self::Http(error) }
    }
}

impl From<SegmentError> for SegmentFailure {
    fn from(error: SegmentError) -> Self {
        let words = error.to_string();
        if error.is_damage() { Self::Damaged(words) } else { Self::Fatal(PullError::Unacceptable(words)) }
    }
}

/// One media playlist's state.
pub struct Rendition<'a> {
    client: &'a Client,
    outlet: &'a Outlet,
    /// Where the playlist is asked for.
    url: Url,
    /// Where it came from the last time, which is what its references are relative to.
    base: Url,
    target: Duration,
    follow: Follow,
    reader: SegmentReader,
    /// The initialization section in force.
    map: Option<Arc<Map>>,
    /// The last key, and where it is from.
    key: Option<(Url, [u8; KEY])>,
    /// The only track that is handed on; `None` for both.
    pub keeps: Option<Track>,
}

impl<'a> Rendition<'a> {
    /// A rendition whose playlist is there.
    pub fn new(client: &'a Client, url: Url, outlet: &'a Outlet) -> Self {
        Self {
            client,
            outlet,
            base: url.clone(),
            url,
            target: Duration::ZERO,
            follow: Follow::default(),
            reader: SegmentReader::default(),
            map: None,
            key: None,
            keeps: None,
        }
    }

    /// One that a master playlist refers to.
    pub async fn open(
        client: &'a Client,
        base: &Url,
        reference: &Reference,
        outlet: &'a Outlet,
    ) -> Result<Self, PullError> {
        let url = base.join(reference.as_str());
        let url = url.map_err(|_| PullError::Refused("HLS playlist has a damaged address".to_owned()))?;
        let mut rendition = Self::new(client, url, outlet);
        rendition.load().await?;
        Ok(rendition)
    }

    /// Its target duration.
    pub fn target(&self) -> Duration {
        self.target
    }

    /// Takes note of a playlist that came from `base`, asked for at that time.
    pub fn loaded(&mut self, media: Media, base: Url, began: Instant) {
        (self.base, self.target) = (base, media.target_duration);
        self.follow.loaded(media, began, clock::now());
    }

    /// Fetches segment after segment into `batches`, until the playlist ends.
    pub async fn run(mut self, batches: mpsc::Sender<Batch>) -> Result<(), PullError> {
        loop {
            match self.follow.step(clock::now()) {
                Step::Load => self.reload().await?,
                Step::Wait(until) => sleep_until(until.into()).await,
                Step::Ended => return Ok(()),
                Step::Fetch(next) => {
                    if let Some(batch) = self.fetch(next).await? {
                        batches.send(batch).await.map_err(|_| PullError::Unwanted)?;
                    }
                }
            }
        }
    }

    /// Loads the playlist again. What fails is tried again later, but for what must not be connected to.
    async fn reload(&mut self) -> Result<(), PullError> {
        match self.load().await {
            Ok(()) => {}
            Err(LoadError::Http(error)) if error.is_forbidden() => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, "HLS playlist is not loaded");
                self.follow.not_loaded(clock::now());
            }
        }
        Ok(())
    }

    async fn load(&mut self) -> Result<(), LoadError> {
        let began = clock::now();
        let response = self.client.get(&self.url, None).await?;
        let base = response.url().clone();
        match playlist(response).await? {
            Playlist::Media(media) => self.loaded(media, base, began),
            Playlist::Master(_) => return Err(LoadError::Nested),
        }
        Ok(())
    }

    /// Fetches a segment; `None` when there is nothing of it now.
    async fn fetch(&mut self, next: Next) -> Result<Option<Batch>, PullError> {
        match self.segment(&next).await {
            Ok(mut items) => {
                self.follow.done();
                items.retain(|item| self.keeps.is_none_or(|kept| track(item) == kept));
                let Next { discontinuity, last, .. } = next;
                return Ok(Some(Batch { items, discontinuity, last, keeps: self.keeps }));
            }
            Err(SegmentFailure::Fatal(error)) => return Err(error),
            Err(SegmentFailure::Http(error)) => {
                let given_up = self.follow.failed(clock::now());
                tracing::debug!(%error, number = next.segment.sequence, given_up, "HLS segment is not fetched");
            }
            Err(SegmentFailure::Damaged(error)) => {
                self.follow.leave_out();
                tracing::debug!(%error, number = next.segment.sequence, "HLS segment is left out");
            }
        }
        Ok(None)
    }

    async fn segment(&mut self, next: &Next) -> Result<Vec<FeedItem>, SegmentFailure> {
        let Next { segment, discontinuity, gap, .. } = next;
        if segment.map != self.map {
            self.map = None;
            if let Some(map) = &segment.map {
                let Map { uri, range, encryption } = &**map;
                let part = Part { uri, range: *range, encryption, number: segment.sequence };
                let section = self.part(part, MOST_INIT, SMALL_WITHIN, None).await?;
                self.reader.init(&section)?;
            }
            self.map = segment.map.clone();
        }
        let Segment { uri, range, encryption, sequence, .. } = segment;
        let part = Part { uri, range: *range, encryption, number: *sequence };
        let bytes = self.part(part, MOST_SEGMENT, SEGMENT_WITHIN, Some(self.outlet)).await?;
        if *discontinuity || *gap {
            self.reader.hole();
        }
        Ok(self.reader.read(&bytes, self.map.is_some())?)
    }

    /// A segment or an initialization section, decrypted.
    async fn part(
        &mut self,
        part: Part<'_>,
        most: usize,
        within: Duration,
        heard: Option<&Outlet>,
    ) -> Result<Vec<u8>, SegmentFailure> {
        let key = match part.encryption {
            Encryption::None => None,
            Encryption::Aes128(key) => {
                let vector = key.iv.unwrap_or(decrypt::vector(part.number));
                Some((self.key(&key.uri).await?, vector))
            }
            Encryption::Other(method) => {
                let words = format!("HLS encryption {method} is not supported, only AES-128 of whole segments");
                return Err(PullError::Unacceptable(words).into());
            }
        };
        let url = self.address(part.uri)?;
        let mut bytes = self.client.get(&url, part.range).await?.body(most, within, heard).await?;
        if let Some((key, vector)) = key {
            decrypt::decrypt(&mut bytes, &key, &vector).map_err(|error| SegmentFailure::Damaged(error.to_string()))?;
        }
        Ok(bytes)
    }

    /// The key of that address, asked for when it is another one than before.
    async fn key(&mut self, reference: &Reference) -> Result<[u8; KEY], SegmentFailure> {
        let url = self.address(reference)?;
        if let Some((known, key)) = &self.key
            && *known == url
        {
            return Ok(*key);
        }
        let body = self.client.get(&url, None).await?.body(KEY, SMALL_WITHIN, None).await?;
        let key = body.try_into().map_err(|_| SegmentFailure::Damaged("HLS key has not 16 bytes".to_owned()))?;
        self.key = Some((url, key));
        Ok(key)
    }

    fn address(&self, reference: &Reference) -> Result<Url, SegmentFailure> {
        let url = self.base.join(reference.as_str());
        url.map_err(|_| SegmentFailure::Damaged("HLS playlist has a damaged address".to_owned()))
    }
}

/// What is fetched for a segment.
struct Part<'a> {
    uri: &'a Reference,
    range: Option<Range>,
    encryption: &'a Encryption,
    /// The segment's.
    number: u64,
}

/// Reads a playlist that is answered.
pub async fn playlist(response: Response) -> Result<Playlist, LoadError> {
    let body = response.body(MOST_PLAYLIST, SMALL_WITHIN, None).await?;
    Ok(Playlist::parse(&body)?)
}

fn track(item: &FeedItem) -> Track {
    match item {
        FeedItem::Config(TrackConfig::Video(_)) => Track::Video,
        FeedItem::Config(TrackConfig::Audio(_)) => Track::Audio,
        FeedItem::Unit(unit) => unit.track,
    }
}
