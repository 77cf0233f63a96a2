//! Measurements of the server as a whole: readiness, the tree, the store, certificates.

use std::collections::BTreeMap;

use weir_actors::status::TreeNode;

use super::page::Page;
use super::{Snapshot, Sources, streams};

/// Kinds of actor that are restarted when they fail; told from the start, so that the first restart of each is seen as a change.
const RESTARTED: [&str; 7] =
    ["FailoverActor", "PipelineActor", "PullActor", "RtmpListener", "RtmpsListener", "SrtListener", "StreamSupervisor"];

/// What one kind of actor is doing.
#[derive(Default)]
struct Kind<'a> {
    states: BTreeMap<&'a str, u64>,
    lag_s: Option<f64>,
}

pub(super) fn write(page: &mut Page, snapshot: &Snapshot, sources: &Sources) {
    let help = "Version of the server.";
    page.gauge("weir_build_info", help, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    page.flag("weir_ready", "Whether publishers and viewers are served.", &[], snapshot.ready);
    let help = "Age of the last tick of the thread that all actors share; it ticks once a second.";
    page.gauge("weir_tree_tick_age_seconds", help, &[], snapshot.tick_age_s);
    let answers = &snapshot.answers;
    let help = "Whether the supervision tree answered in time; without its answer nothing of streams is told.";
    let answered = answers.survey.is_ok() && answers.tree.as_ref().is_ok_and(|root| root.state != "unresponsive");
    page.flag("weir_tree_responding", help, &[], answered);
    if let Ok(root) = &answers.tree {
        actors(page, root);
    }
    if let Ok(survey) = &answers.survey {
        survey.strangers.iter().for_each(|(rule, count)| streams::refusals(page, "", rule, *count));
        let counted = survey.restarts.keys().copied().filter(|actor| !RESTARTED.contains(actor));
        for actor in RESTARTED.into_iter().chain(counted) {
            let count = survey.restarts.get(actor).copied().unwrap_or_default();
            let help = "Restarts of failed actors; of worker processes see weir_worker_restarts_total.";
            page.counter("weir_actor_restarts_total", help, &[("actor", actor)], count);
        }
    }
    outside(page, snapshot, sources);
}

fn actors(page: &mut Page, root: &TreeNode) {
    let mut kinds: BTreeMap<&str, Kind<'_>> = BTreeMap::new();
    let mut left = vec![root];
    while let Some(node) = left.pop() {
        left.extend(&node.children);
        let kind = kinds.entry(node.actor).or_default();
        *kind.states.entry(&node.state).or_default() += 1;
        let lag = node.mailbox_lag.map(|lag| lag.as_secs_f64());
        kind.lag_s = [kind.lag_s, lag].into_iter().flatten().reduce(f64::max);
    }
    for (actor, Kind { states, lag_s }) in kinds {
        for (state, count) in states {
            let help = "Actors by kind and state; of a pipeline the state is its worker's.";
            page.gauge("weir_actors", help, &[("actor", actor), ("state", state)], count as f64);
        }
        if let Some(lag) = lag_s {
            let help = "How long a message waits in a mailbox: the longest of each kind of actor that answered.";
            page.gauge("weir_actor_mailbox_lag_seconds", help, &[("actor", actor)], lag);
        }
    }
}

/// What is no part of the tree.
fn outside(page: &mut Page, snapshot: &Snapshot, sources: &Sources) {
    let help = "Writes to the database that failed and are tried again.";
    page.counter("weir_store_write_failures_total", help, &[], snapshot.failed_writes);
    if let Some(outbox) = sources.outbox.upgrade() {
        page.counter("weir_events_dropped_total", "Events lost because too many waited.", &[], outbox.dropped());
        let help = "Events that wait to be written to the database.";
        page.gauge("weir_events_waiting", help, &[], outbox.waiting() as f64);
    }
    if let Some(media) = &sources.media {
        let help = "Tasks of wire connections and worker sockets.";
        page.gauge("weir_media_tasks", help, &[], media.metrics().num_alive_tasks() as f64);
    }
    for (door, certificate) in &sources.certificates {
        if let Some(until) = certificate.not_after() {
            let help = "When the certificate that the door presents ends, seconds since 1970.";
            page.gauge("weir_certificate_expiry_timestamp_seconds", help, &[("door", *door)], until as f64);
        }
    }
    if let Some(backlog) = &sources.webhooks {
        page.gauge("weir_webhook_backlog", "Webhook deliveries that wait.", &[], backlog() as f64);
    }
}
