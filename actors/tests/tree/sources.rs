//! Sources to pull from that are not there: each does what the test says, in virtual time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use weir_actors::clock;
use weir_actors::control::StreamSpec;
use weir_actors::ingest::pull::session::Fetch;
use weir_actors::ingest::pull::{Fetched, Outlet, PullError};
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::codec::{TrackConfig, VideoCodec, VideoConfig};
use weir_media::feed::FeedItem;
use weir_media::id::StreamId;
use weir_media::pull::PullUri;
use weir_media::time::Timestamp;

/// What a source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Says no at once.
    Refuse,
    /// Takes the connection and sends nothing.
    Nothing,
    /// Sends a picture every 250 ms.
    Play,
}

/// All sources by host; who is not named refuses.
#[derive(Clone, Default)]
pub struct Sources {
    hosts: Arc<Mutex<HashMap<String, watch::Sender<Does>>>>,
    asked: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Sources {
    /// From now on; a fetch that runs notices.
    pub fn set(&self, host: &str, does: Does) {
        self.source(host).send_replace(does);
    }

    /// Hosts that were asked and when, since this was last called.
    pub fn take_asked(&self) -> Vec<(Instant, String)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn source(&self, host: &str) -> watch::Sender<Does> {
        let refusing = || watch::Sender::new(Does::Refuse);
        self.hosts.lock().unwrap().entry(host.to_owned()).or_insert_with(refusing).clone()
    }
}

impl Fetch for Sources {
    fn fetch(&self, source: PullUri, outlet: Outlet) -> BoxFuture<'static, PullError> {
        let host = source.host();
        self.asked.lock().unwrap().push((clock::now(), host.clone()));
        let mut does = self.source(&host).subscribe();
        Box::pin(async move {
            let mut units = 0;
            let mut tick = tokio::time::interval(Duration::from_millis(250));
            loop {
                let now = *does.borrow_and_update();
                if now == Does::Refuse {
                    let playing = units > 0;
                    return if playing {
                        PullError::Lost("reset".into())
                    } else {
                        PullError::Refused("refused".into())
                    };
                }
                tokio::select! {
                    _ = does.changed() => continue,
                    _ = tick.tick() => {}
                }
                let items = match (now, units) {
                    (Does::Nothing, _) => continue,
                    (_, 0) => vec![Fetched::Item(config()), Fetched::Item(picture(0))],
                    (_, units) => vec![Fetched::Item(picture(units))],
                };
                units += 1;
                for item in [Fetched::Heard(100)].into_iter().chain(items) {
                    if let Err(error) = outlet.put(item).await {
                        return error;
                    }
                }
            }
        })
    }
}

fn config() -> FeedItem {
    FeedItem::Config(TrackConfig::Video(VideoConfig {
        codec: VideoCodec::H264,
        decoder_config: Bytes::from_static(b"avcC"),
        width: 640,
        height: 360,
        pixel_aspect: (1, 1),
        frame_rate: None,
    }))
}

fn picture(units: i64) -> FeedItem {
    let time = Timestamp::from_nanos(units * 250_000_000);
    FeedItem::Unit(AccessUnit { track: Track::Video, pts: time, dts: time, keyframe: true, data: vec![0; 100].into() })
}

/// A stream that is pulled from these hosts.
pub fn pulled(id: StreamId, hosts: &[&str]) -> StreamSpec {
    let uri = |host: &&str| PullUri::parse(&format!("rtmp://{host}/live/name")).unwrap();
    StreamSpec { pull: true, sources: hosts.iter().map(uri).collect(), ..super::spec(id) }
}
