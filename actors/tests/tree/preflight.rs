//! A preflight: who comes is looked at, nothing goes on air, and nobody else notices.

use std::time::Duration;

use weir_actors::control::{EndPreflight, GetPreflight, OpenPreflight, PutStream, StreamSpec};
use weir_actors::event::EventKind;
use weir_actors::ingest::{CloseReason, IngestFact, Publish};
use weir_actors::preflight::{PreflightDetail, PreflightPhase, PreflightVerdict};
use weir_media::id::Slot;
use weir_policy::admission::{PreflightRefusal, Refusal};

use crate::doctor::send;
use crate::support::*;

async fn open(tree: &Tree, slot: Slot, seconds: u64) -> Result<PreflightDetail, PreflightRefusal> {
    let window = Duration::from_secs(seconds);
    tree.root.send(OpenPreflight { stream: STREAM, slot, window }).await.unwrap().expect("a known stream")
}

async fn report(tree: &Tree) -> PreflightDetail {
    tree.root.send(GetPreflight(STREAM)).await.unwrap().expect("there was one")
}

/// Whether anything of a stream that nobody may see was seen.
fn nothing_on_air(tree: &Tree) -> bool {
    let status = tree.board.get(STREAM);
    !status.live && !status.backup_live && tree.factory.seen().is_empty()
}

/// Nothing is asked of a pipeline, no event is told, the window ends the session, and the next one goes on air.
#[actix_rt::test]
async fn who_comes_in_a_preflight_is_looked_at_and_the_next_one_goes_on_air() {
    let tree = Tree::new().await;
    assert_eq!(open(&tree, Slot::Primary, 60).await.unwrap().state, PreflightPhase::Waiting);
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(59_000).await;
    let checking = report(&tree).await;
    let session = checking.session.expect("a session");
    assert_eq!((checking.state, session.id, session.preflight), (PreflightPhase::Checking, wire.session, true));
    assert!(nothing_on_air(&tree), "{:?}", tree.factory.seen());
    let detail = tree.detail().await;
    assert_eq!((detail.state.as_str(), detail.on_air), ("idle", None));
    pass(1_100).await;
    assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::PreflightOver));
    let done = report(&tree).await;
    assert_eq!(done.state, PreflightPhase::Done);
    assert_eq!(done.closed.as_deref(), Some("preflight is over, connect again to go on air"));
    assert!(nothing_on_air(&tree) && tree.events.reason_of(wire.session).is_none());
    let next = tree.wire(1).await;
    next.tell(Cmd::Flow).await;
    pass(1_000).await;
    assert!(tree.board.get(STREAM).live && tree.events.count(&EventKind::BroadcastStarted) == 1);
    assert_eq!(report(&tree).await.session.map(|session| session.id), Some(wire.session), "the report stays");
}

#[actix_rt::test]
async fn its_report_has_what_was_found_also_when_the_encoder_is_gone() {
    let tree = Tree::new().await;
    open(&tree, Slot::Primary, 60).await.unwrap();
    let grant = send(tree.try_publish(publish(1)).await.unwrap(), 12, 1280).await;
    assert!(tree.samples.0.lock().unwrap().is_empty(), "no health of what is not on air");
    grant.facts.try_send(IngestFact::Closed { reason: CloseReason::Unpublished }).unwrap();
    drop(grant);
    settle().await;
    let left = report(&tree).await;
    assert_eq!((left.state, left.verdict), (PreflightPhase::Waiting, Some(PreflightVerdict::Warnings)));
    assert_eq!(left.closed.as_deref(), Some("encoder ended the stream"));
    let codes: Vec<_> = left.findings.iter().map(|finding| finding.code.name()).collect();
    assert_eq!(codes, ["gop_long", "audio_missing"]);
    assert!(left.session.is_some_and(|session| session.video_units > 100));
    let journal: Vec<_> = tree.detail().await.journal.into_iter().map(|line| line.text).collect();
    assert!(journal.iter().any(|line| line.contains("gop_long: keyframes are")), "{journal:?}");
}

#[actix_rt::test]
async fn the_backup_is_looked_at_while_the_primary_is_on_air_and_its_output_never_notices() {
    let tree = Tree::new().await;
    let primary = tree.wire(1).await;
    primary.tell(Cmd::Flow).await;
    pass(2_000).await;
    assert_eq!(open(&tree, Slot::Primary, 60).await.unwrap_err(), PreflightRefusal::SlotTaken(Slot::Primary));
    let before = tree.factory.seen();
    open(&tree, Slot::Backup, 10).await.unwrap();
    let backup = tree.backup(2).await;
    backup.tell(Cmd::Flow).await;
    pass(11_000).await;
    assert_eq!(backup.ended.await.unwrap(), Some(CloseReason::PreflightOver));
    assert_eq!(tree.factory.seen(), before);
    let status = tree.board.get(STREAM);
    assert_eq!((status.live, status.backup_live), (true, false));
    assert!(!primary.ended.is_finished());
}

#[actix_rt::test]
async fn the_operator_can_end_it_and_only_one_runs_at_a_time() {
    let tree = Tree::new().await;
    assert!(tree.root.send(GetPreflight(STREAM)).await.unwrap().is_none());
    assert!(tree.root.send(EndPreflight(STREAM)).await.unwrap().is_none());
    open(&tree, Slot::Primary, 300).await.unwrap();
    assert_eq!(open(&tree, Slot::Backup, 60).await.unwrap_err(), PreflightRefusal::Running(Slot::Primary));
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    let ended = tree.root.send(EndPreflight(STREAM)).await.unwrap().expect("it ran");
    assert_eq!(ended.state, PreflightPhase::Done);
    assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::PreflightOver));
    let next = tree.wire(2).await;
    next.tell(Cmd::Flow).await;
    pass(1_000).await;
    assert!(tree.board.get(STREAM).live);
}

#[actix_rt::test]
async fn the_usual_rules_hold_for_who_comes_and_streams_that_take_nobody_have_none() {
    let tree = Tree::new().await;
    open(&tree, Slot::Primary, 60).await.unwrap();
    let wrong = Publish { token: weir_actors::token::Token::new("wrong"), ..publish(1) };
    assert_eq!(tree.try_publish(wrong).await.unwrap_err(), Refusal::NotAuthorized { known: true });
    let _wire = tree.wire(2).await;
    assert_eq!(tree.try_publish(publish(3)).await.unwrap_err(), Refusal::SlotTaken);
    for (spec, refusal) in [
        (StreamSpec { active: false, ..spec(STREAM) }, PreflightRefusal::StreamOff),
        (StreamSpec { pull: true, ..spec(STREAM) }, PreflightRefusal::PullStream),
    ] {
        tree.root.send(PutStream(spec)).await.unwrap();
        assert_eq!(open(&tree, Slot::Primary, 60).await.unwrap_err(), refusal);
    }
}

/// The window is Root's, so who comes back to the next supervisor is still only looked at.
#[actix_rt::test]
async fn a_supervisor_that_dies_meanwhile_puts_nobody_on_air() {
    let tree = Tree::new().await;
    open(&tree, Slot::Backup, 60).await.unwrap();
    let checked = tree.backup(1).await;
    checked.tell(Cmd::Flow).await;
    pass(1_000).await;
    *tree.events.poisoned_for.lock().unwrap() = Some(STREAM);
    let _ = tree.try_publish(publish(2)).await;
    settle().await;
    assert_eq!(checked.ended.await.unwrap(), Some(CloseReason::Restart));
    pass(5_000).await;
    let gone = report(&tree).await;
    assert!(gone.state == PreflightPhase::Waiting && gone.closed.is_some_and(|why| why.contains("panicked")));
    let again = tree.backup(3).await;
    again.tell(Cmd::Flow).await;
    pass(5_000).await;
    assert!(!tree.board.get(STREAM).backup_live);
    assert_eq!(report(&tree).await.session.map(|session| session.id), Some(again.session));
    pass(60_000).await;
    assert_eq!(again.ended.await.unwrap(), Some(CloseReason::PreflightOver));
}
