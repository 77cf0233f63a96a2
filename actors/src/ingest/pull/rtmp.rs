//! Pulling by RTMP and RTMPS: connects, asks a server to play, and hands on what it plays.
//!
//! The protocol is [`weir_media::rtmp::player`]; here are socket and deadlines. Some servers keep a player whose publisher has left: that nothing
//! comes is not judged here. Application, stream name and `tcUrl` may hold a secret, so only the source's [`PullUri`] is ever shown.

use std::convert::Infallible;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use weir_media::access_unit::Track;
use weir_media::feed::FeedItem;
use weir_media::pull::{PullUri, Scheme};
use weir_media::rtmp::media::{Given, Media, MediaReader};
use weir_media::rtmp::player::{Event, PlayRequest, Player};

use super::{CONNECT_WITHIN, Fetched, Outlet, PullError};
use crate::clock;
use crate::ingest::rtmp::transfer::{read_media, send};
use crate::network::Network;

/// For the server to take what we say.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

/// Fetches a source.
pub async fn fetch(source: &PullUri, network: &Network, outlet: &Outlet) -> Result<Infallible, PullError> {
    let deadline = (clock::now() + CONNECT_WITHIN).into();
    let request = PlayRequest::of(source).ok_or_else(|| PullError::Refused("address names no stream".to_owned()))?;
    let (host, port) = (source.host(), source.port());
    if source.scheme() == Scheme::Rtmps {
        let socket = within(deadline, async { Ok(network.connect_tls(&host, port).await?) }).await?;
        Playback::new(socket, request, source, outlet).run(deadline).await
    } else {
        let socket = within(deadline, async { Ok(network.connect(&host, port).await?) }).await?;
        Playback::new(socket, request, source, outlet).run(deadline).await
    }
}

/// Ends what takes longer than a source has to answer.
async fn within<T>(deadline: Instant, work: impl Future<Output = Result<T, PullError>>) -> Result<T, PullError> {
    timeout_at(deadline, work).await.unwrap_or(Err(PullError::Timeout(CONNECT_WITHIN)))
}

/// One connection to a server.
struct Playback<'a, S> {
    socket: S,
    player: Player,
    reader: MediaReader,
    source: &'a PullUri,
    outlet: &'a Outlet,
    /// The server said that it plays.
    started: bool,
    /// There was a keyframe: servers may begin between two.
    decodable: bool,
}

impl<'a, S> Playback<'a, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn new(socket: S, request: PlayRequest, source: &'a PullUri, outlet: &'a Outlet) -> Self {
        let (player, reader) = (Player::new(request), MediaReader::default());
        Self { socket, player, reader, source, outlet, started: false, decodable: false }
    }

    async fn run(mut self, deadline: Instant) -> Result<Infallible, PullError> {
        within(deadline, self.start()).await?;
        loop {
            self.turn().await?;
        }
    }

    /// Handshake and commands until the server plays.
    async fn start(&mut self) -> Result<(), PullError> {
        self.process().await?;
        while !self.started {
            self.turn().await?;
        }
        Ok(())
    }

    /// Says what there is to say, and takes what comes next.
    async fn turn(&mut self) -> Result<(), PullError> {
        let lost = |error: std::io::Error| PullError::Lost(error.to_string());
        send(&mut self.socket, &self.player.take_output(), WRITE_WITHIN).await.map_err(lost)?;
        match read_media(&mut self.socket, self.player.buffer()).await.map_err(lost)? {
            0 if self.started => return Err(PullError::Lost("closed without an end of the stream".to_owned())),
            0 => return Err(PullError::Lost("closed before the stream was played".to_owned())),
            count => self.player.received(count),
        }
        self.process().await
    }

    /// Hands on what came.
    async fn process(&mut self) -> Result<(), PullError> {
        let mut heard = 0;
        loop {
            match self.player.poll_event() {
                Ok(Some(Event::Media(media))) => {
                    heard += media.length();
                    self.media(media).await?;
                }
                Ok(Some(Event::Started)) => self.started = true,
                Ok(Some(Event::Refused(reason))) => return Err(PullError::Refused(reason)),
                Ok(Some(Event::Ended)) => return Err(PullError::Ended),
                Ok(None) if heard == 0 => return Ok(()),
                Ok(None) => return self.outlet.put(Fetched::Heard(heard)).await,
                Err(error) if self.started => return Err(PullError::Unacceptable(error.to_string())),
                Err(error) => return Err(PullError::Refused(error.to_string())),
            }
        }
    }

    async fn media(&mut self, media: Media) -> Result<(), PullError> {
        if let Media::UndecodableData(error) = &media {
            tracing::debug!(source = %self.source, error, "data message ignored");
        }
        match self.reader.read(media) {
            Ok(Given::Item(item)) => {
                if let FeedItem::Unit(unit) = &item
                    && unit.track == Track::Video
                {
                    self.decodable |= unit.keyframe;
                    if !self.decodable {
                        return Ok(());
                    }
                }
                self.outlet.put(Fetched::Item(item)).await
            }
            Ok(Given::Nothing) => Ok(()),
            Ok(Given::Damaged { error, total }) => {
                // A server that damages every other frame must not fill the log.
                if total.is_power_of_two() {
                    tracing::warn!(source = %self.source, %error, dropped = total, "frame dropped");
                }
                Ok(())
            }
            Err(error) => Err(PullError::Unacceptable(error.to_string())),
        }
    }
}
