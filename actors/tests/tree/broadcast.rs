//! Live, on air, holding, ended: at exact times.

use weir_actors::control::{PutStream, StreamSpec};
use weir_actors::event::EventKind;
use weir_actors::ingest::CloseReason;
use weir_actors::status::JournalEvent;
use weir_media::failover::{Alignment, AlignmentState, FailoverSpec, Mode};
use weir_media::id::{Protocol, Slot};
use weir_media::pipeline::PipelineEvent;

use crate::support::*;

#[actix::test]
async fn live_ends_three_seconds_after_the_last_media() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    assert!(!tree.board.get(STREAM).live, "admitted is not live");
    wire.tell(Cmd::Media).await;
    pass(2_000).await;
    let last = wire.tell(Cmd::Media).await;
    assert!(tree.board.get(STREAM).live);
    pass(2_990).await;
    assert!(tree.board.get(STREAM).live);
    pass(20).await;
    assert!(!tree.board.get(STREAM).live);
    let edge = ms(last, tree.events.when(&live(false)));
    assert!((3_000..=3_002).contains(&edge), "{edge} ms");
    assert_eq!(tree.events.when(&EventKind::OnAirChanged { slot: None }), tree.events.when(&live(false)));
    assert_eq!(tree.detail().await.state, "holding");
    assert!(tree.board.get(STREAM).finished_at_primary.is_some());
}

#[actix::test]
async fn while_the_last_picture_is_held_the_status_tells_where_it_came_from() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(1_000).await;
    wire.tell(Cmd::Unpublish).await;
    pass(4_000).await;
    let status = tree.board.get(STREAM);
    assert!(!status.live && status.transcoding);
    assert_eq!(status.protocol, Some(Protocol::Rtmp));
    pass(60_000).await;
    assert_eq!(tree.board.get(STREAM).protocol, None);
}

#[actix::test]
async fn a_silent_session_is_closed_after_ten_seconds() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    let last = wire.tell(Cmd::Media).await;
    pass(9_990).await;
    assert!(!wire.ended.is_finished());
    let session = wire.session;
    assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::Silent));
    settle().await;
    let closed = EventKind::SessionClosed { session, slot: Slot::Primary, reason: CloseReason::Silent.to_string() };
    let edge = ms(last, tree.events.when(&closed));
    assert!((10_000..=10_002).contains(&edge), "{edge} ms");
}

#[actix::test]
async fn the_broadcast_ends_sixty_seconds_after_the_last_media_and_the_next_publisher_opens_another() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    let last = wire.tell(Cmd::Media).await;
    wire.tell(Cmd::Unpublish).await;
    pass(59_990).await;
    assert_eq!(tree.factory.count("1: finish"), 0);
    pass(20).await;
    let finish = ms(last, tree.factory.when("1: finish"));
    assert!((60_000..=60_002).contains(&finish), "{finish} ms");
    settle().await;
    assert_eq!(tree.events.count(&EventKind::BroadcastEnded), 1);
    assert_eq!(tree.events.count(&EventKind::TranscodingChanged { transcoding: false }), 1);
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Media).await;
    assert_eq!(tree.factory.count("2: start"), 1);
    assert_eq!(tree.events.count(&EventKind::BroadcastStarted), 2);
}

#[actix::test]
async fn a_return_within_linger_continues_the_broadcast() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Media).await;
    wire.tell(Cmd::Vanish).await;
    pass(59_000).await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(5_000).await;
    wire.tell(Cmd::Silence).await;
    pass(2_000).await;
    assert_eq!(tree.factory.count("1: finish"), 0);
    assert_eq!(tree.events.count(&EventKind::BroadcastStarted), 1);
    assert_eq!(tree.factory.seen().last().unwrap(), &format!("1: show {}", wire.session));
}

#[actix::test]
async fn an_idle_stream_leaves_the_tree() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Media).await;
    wire.tell(Cmd::Unpublish).await;
    assert!(tree.node(&["StreamSupervisor"]).await.is_some());
    pass(61_000).await;
    assert!(tree.node(&["StreamSupervisor"]).await.is_none());
    assert!(tree.factory.seen().contains(&"1: drop".to_owned()));
    let detail = tree.detail().await;
    assert!(detail.journal.iter().any(|entry| entry.text.contains("broadcast ends")), "the journal stays");
}

#[actix::test]
async fn status_shows_the_input_on_air_and_the_output() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(2_000).await;
    let status = tree.board.get(STREAM);
    assert!(status.live && status.transcoding && !status.backup_live);
    assert_eq!(status.protocol, Some(Protocol::Rtmp));
    assert_eq!(status.qualities, ["720p", "468p", "360p"]);
    assert_eq!((status.frame_rate, status.transcoding_speed), (Some(30.0), Some(1.0)));
    assert!(status.started_at_primary.is_some());
    let detail = tree.detail().await;
    assert_eq!((detail.state.as_str(), detail.on_air), ("on_air", Some(Slot::Primary)));
    let pipeline = detail.pipeline.unwrap();
    assert_eq!((pipeline.state.as_str(), pipeline.pid), ("running", Some(1_001)));
    assert_eq!(pipeline.renditions[0], "720p 1280x720 1800 kbit/s");
    let session = detail.slots[0].session.clone().unwrap();
    assert_eq!((session.id, session.agent.as_deref()), (wire.session, Some("test/1")));
    assert!(session.video_units >= 8);
}

#[actix::test]
async fn an_input_that_cannot_be_decoded_is_closed_with_the_reason() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Media).await;
    let reason = "High 4:4:4 is not supported".to_owned();
    tree.factory.emit(1, PipelineEvent::Rejected { session: wire.session, reason: reason.clone() });
    assert_eq!(wire.ended.await.unwrap(), Some(CloseReason::Unacceptable(reason)));
}

#[actix::test]
async fn settings_made_after_an_encoder_that_brought_no_media_are_the_next_broadcasts() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Unpublish).await;
    let failover = FailoverSpec { mode: Mode::Hitless, ..FailoverSpec::default() };
    tree.root.send(PutStream(StreamSpec { failover, ..spec(STREAM) })).await.unwrap();
    settle().await;
    assert_eq!(tree.detail().await.mode, Mode::Hitless);
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(1_000).await;
    let detail = tree.detail().await;
    assert_eq!((detail.mode, detail.on_air), (Mode::Hitless, Some(Slot::Primary)));
    assert_eq!(tree.factory.seen()[..3], ["1: open 1 primary", "1: start", "1: close 1"]);
    assert_eq!(tree.factory.count("2: start"), 1);
    assert_eq!(
        (tree.events.count(&EventKind::BroadcastStarted), tree.events.count(&EventKind::BroadcastEnded)),
        (1, 0)
    );
}

#[actix::test]
async fn the_journal_says_in_words_how_far_apart_both_programmes_are() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    let searching = Alignment { state: AlignmentState::Searching, ..Alignment::default() };
    let locked = Alignment { state: AlignmentState::Locked, offset_us: Some(-12_340), ..Alignment::default() };
    [searching, locked].into_iter().for_each(|told| tree.factory.emit(1, PipelineEvent::Alignment(told)));
    settle().await;
    let journal = tree.detail().await.journal;
    let alignments = journal.iter().filter(|entry| matches!(entry.what, JournalEvent::Alignment { .. }));
    let texts: Vec<&str> = alignments.map(|entry| &*entry.text).collect();
    assert_eq!(
        texts,
        [
            "knows how far apart both programmes are: the backup is 12.3 ms early",
            "looks for how far apart both programmes are"
        ]
    );
}
