//! The report of a stream's latest preflight.
//!
//! Whether one runs is [`Admission`](weir_policy::admission::Admission)'s to say; here stands what came of it. It outlives the stream's
//! supervisor: Root begins and ends it, supervisors write into it what they see, and whoever asks is answered without one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use weir_media::id::{SessionId, Slot};
use weir_policy::doctor::{Finding, Severity};

use crate::status::SessionDetail;
use crate::status::doctor::FindingDetail;

/// Longest time that one may take.
pub const LONGEST: Duration = Duration::from_secs(300);

/// The latest preflight, if there was one; cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preflight(Arc<Mutex<Option<Report>>>);

#[derive(Debug)]
struct Report {
    slot: Slot,
    window: Duration,
    /// Its end; earlier than it was opened for when it was ended.
    until: Instant,
    seen: Option<Seen>,
}

/// The latest publisher in it.
#[derive(Debug)]
struct Seen {
    session: SessionDetail,
    /// Everything that was ever raised, as it was seen last.
    findings: Vec<Finding>,
    closed: Option<String>,
}

/// `GET /ops/streams/{id}/preflight`.
#[derive(Clone, Debug, Serialize)]
pub struct PreflightDetail {
    /// The slot.
    pub slot: Slot,
    /// How far it is.
    pub state: PreflightPhase,
    /// How long it was opened for.
    pub seconds: u64,
    /// Seconds until it is over, while it is not.
    pub ends_in_s: Option<f64>,
    /// What was received: the latest publisher that came, as it was seen last.
    pub session: Option<SessionDetail>,
    /// Why that publisher went.
    pub closed: Option<String>,
    /// Everything that was found wrong with it.
    pub findings: Vec<FindingDetail>,
    /// What that comes to; null while nobody came.
    pub verdict: Option<PreflightVerdict>,
}

/// How far a preflight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PreflightPhase {
    /// For a publisher.
    Waiting,
    /// One is there.
    Checking,
    /// It is over; the next publisher goes on air.
    Done,
}

/// What a preflight comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PreflightVerdict {
    /// Nothing is wrong, so far.
    Pass,
    /// Something is worth mending.
    Warnings,
    /// Viewers would see or hear it.
    Errors,
    /// No picture came.
    NothingReceived,
}

impl Preflight {
    /// A new one takes the place of the one before.
    pub fn open(&self, slot: Slot, window: Duration, now: Instant) {
        *self.lock() = Some(Report { slot, window, until: now + window, seen: None });
    }

    /// It is over now.
    pub fn end(&self, now: Instant) {
        if let Some(report) = &mut *self.lock() {
            report.until = report.until.min(now);
        }
    }

    /// A publisher in it is doing so.
    pub fn seen(&self, session: SessionDetail, findings: impl IntoIterator<Item = Finding>) {
        let mut report = self.lock();
        let Some(report) = &mut *report else { return };
        let earlier = report.seen.take().filter(|seen| seen.session.id == session.id);
        let mut all = earlier.map(|seen| seen.findings).unwrap_or_default();
        for finding in findings {
            match all.iter_mut().find(|known| known.code == finding.code) {
                Some(known) => *known = finding,
                None => all.push(finding),
            }
        }
        report.seen = Some(Seen { session, findings: all, closed: None });
    }

    /// A publisher in it went.
    pub fn closed(&self, session: SessionId, reason: String) {
        if let Some(seen) = self.lock().as_mut().and_then(|report| report.seen.as_mut())
            && seen.session.id == session
        {
            seen.closed.get_or_insert(reason);
        }
    }

    /// Whoever is in it is gone.
    pub fn cut(&self, reason: &str) {
        if let Some(seen) = self.lock().as_mut().and_then(|report| report.seen.as_mut()) {
            seen.closed.get_or_insert_with(|| reason.to_owned());
        }
    }

    pub fn detail(&self, now: Instant) -> Option<PreflightDetail> {
        let report = self.lock();
        let Report { slot, window, until, seen } = report.as_ref()?;
        let there = seen.as_ref().is_some_and(|seen| seen.closed.is_none());
        let state = match there {
            _ if now >= *until => PreflightPhase::Done,
            true => PreflightPhase::Checking,
            false => PreflightPhase::Waiting,
        };
        let findings = seen.as_ref().map_or(&[][..], |seen| &seen.findings);
        Some(PreflightDetail {
            slot: *slot,
            state,
            seconds: window.as_secs(),
            ends_in_s: (state != PreflightPhase::Done).then(|| until.saturating_duration_since(now).as_secs_f64()),
            session: seen.as_ref().map(|seen| seen.session.clone()),
            closed: seen.as_ref().and_then(|seen| seen.closed.clone()),
            findings: findings.iter().map(|finding| FindingDetail::new(finding, now)).collect(),
            verdict: match seen {
                Some(seen) => Some(seen.verdict()),
                None => (state == PreflightPhase::Done).then_some(PreflightVerdict::NothingReceived),
            },
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Report>> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn verdict(&self) -> PreflightVerdict {
        match self.findings.iter().map(|finding| finding.code.severity()).max() {
            _ if self.session.video_units == 0 => PreflightVerdict::NothingReceived,
            None => PreflightVerdict::Pass,
            Some(Severity::Warning) => PreflightVerdict::Warnings,
            Some(Severity::Error) => PreflightVerdict::Errors,
        }
    }
}
