//! What monitoring wants to know of the whole tree at once: values that the tree has anyway, gathered by one question to Root.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::status::StreamDetail;
use crate::tally::Tally;

/// Refused tries by the rule that refused them.
pub type RefusalCounts = BTreeMap<&'static str, u64>;

/// The answer to [`GetSurvey`](crate::control::GetSurvey).
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Every stream, in order of ids.
    pub streams: Vec<StreamSurvey>,
    /// Tries that named no stream that exists.
    pub strangers: RefusalCounts,
    /// Times that each kind of actor was restarted since the server started.
    pub restarts: BTreeMap<&'static str, u64>,
}

/// One stream.
#[derive(Clone, Debug)]
pub struct StreamSurvey {
    /// It is switched on.
    pub active: bool,
    /// It has a supervisor, or somebody published to it since the server started.
    pub in_use: bool,
    /// Its playlists answer 200 and parts advance.
    pub transcoding: bool,
    /// How it is now, without its journal.
    pub detail: StreamDetail,
    /// What happened to it.
    pub tally: Tally,
    /// Who was refused on it.
    pub refusals: RefusalCounts,
}

/// Restarts by kind of actor, counted where they are ordered.
#[derive(Debug, Default)]
pub(crate) struct RestartCounts(Mutex<BTreeMap<&'static str, u64>>);

impl RestartCounts {
    pub fn add(&self, actor: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(actor).or_default() += 1;
    }

    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
