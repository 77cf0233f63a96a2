//! TODO(pull): srt

use std::convert::Infallible;

use weir_media::pull::PullUri;

use super::network::Network;
use super::{Outlet, PullError};

/// Fetches a source.
pub async fn fetch(_source: &PullUri, _network: &Network, _outlet: &Outlet) -> Result<Infallible, PullError> {
    Err(PullError::Refused("not built".to_owned()))
}
