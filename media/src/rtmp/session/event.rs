//! What a session tells its wire task: the encoder's request, its media.

use std::fmt;

use crate::rtmp::media::Media;
use crate::rtmp::name::PublishName;

/// What the encoder did.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It asks to publish; answer with [`Session::accept`](super::Session::accept) or [`Session::reject`](super::Session::reject).
    PublishRequested(PublishRequest),
    /// Media, while it publishes.
    Media(Media),
    /// It ended the publication properly.
    Unpublished,
}

/// Who wants to publish what. Its `Debug` hides the parts that hold the token.
#[derive(Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// Application of the `connect`, query included.
    pub application: String,
    /// Publish name, query included.
    pub key: String,
    /// What the encoder calls itself: at most 128 printable characters.
    pub agent: Option<String>,
}

impl PublishRequest {
    /// The destination that application and key name.
    pub fn name(&self) -> PublishName<'_> {
        PublishName::parse(&self.application, &self.key)
    }
}

impl fmt::Debug for PublishRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        f.debug_struct("PublishRequest")
            .field("stream", &name.stream)
            .field("slot", &name.slot)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}
