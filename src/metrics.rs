//! What monitoring reads: one page of measurements in Prometheus's text format.
//!
//! Nearly all of it is *read* at the time of the scrape from what the server knows anyway: the tree's survey, the tree itself, the process,
//! the store, the certificates. Only requests are counted as they happen ([`requests`]). So a page costs no more than `/ops/tree`, and what is
//! gone, a deleted stream above all, is gone from the page. Labels are ids and words of closed sets: never a name, an address or a token.
//!
//! Names and units follow Prometheus's conventions: prefix `weir_`, seconds and bytes, `_total` for what only grows.

mod node;
mod page;
pub mod requests;
mod streams;

use std::sync::{Arc, Weak};

use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder};
use tokio::runtime::Handle;
use weir_actors::status::TreeNode;
use weir_actors::survey::Survey;

use self::page::Page;
use self::requests::Requests;
use crate::store::Outbox;
use crate::tls::certificate::Certificate;
use crate::tree::TreeGone;

/// The page's content type.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Tells how many webhook deliveries wait.
pub type Backlog = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Parts of the server that are asked at each scrape. What is not there is not on the page.
#[derive(Clone, Default)]
pub struct Sources {
    /// Where events go. Weak, because the server's end waits for the last one that holds it.
    pub outbox: Weak<Outbox>,
    /// The doors with TLS, by the section of their keys, with what they present.
    pub certificates: Vec<(&'static str, Arc<Certificate>)>,
    /// The runtime of wire connections and worker sockets.
    pub media: Option<Handle>,
    /// Deliveries of webhooks that wait.
    pub webhooks: Option<Backlog>,
}

/// What is counted, and who is asked; cloning shares it.
#[derive(Clone)]
pub struct Metrics {
    /// Requests, as they are answered.
    pub requests: Requests,
    registry: Registry,
    sources: Sources,
}

/// The tree's answers for one page; none of a tree that does not answer in time.
pub struct Answers {
    /// To `GetSurvey`.
    pub survey: Result<Survey, TreeGone>,
    /// To `GetTree`.
    pub tree: Result<TreeNode, TreeGone>,
}

/// The rest of what a page tells.
pub struct Snapshot {
    /// The tree's part.
    pub answers: Answers,
    /// Publishers and viewers are served.
    pub ready: bool,
    /// Age of the last tick of the tree's thread, seconds.
    pub tick_age_s: f64,
    /// Writes to the store that failed since the server started.
    pub failed_writes: u64,
}

/// A page cannot be written: a defect.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

impl Metrics {
    /// Counts from zero.
    pub fn new(sources: Sources) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self { requests: Requests::register(&registry)?, registry, sources })
    }

    /// The page.
    pub fn page(&self, snapshot: &Snapshot) -> Result<String, MetricsError> {
        let mut page = Page::default();
        node::write(&mut page, snapshot, &self.sources);
        if let Ok(survey) = &snapshot.answers.survey {
            survey.streams.iter().for_each(|stream| streams::write(&mut page, stream));
        }
        let mut families = self.registry.gather();
        families.extend(page.families());
        Ok(TextEncoder::new().encode_to_string(&families)?)
    }
}

#[cfg(test)]
mod tests;
