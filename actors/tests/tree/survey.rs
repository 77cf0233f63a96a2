//! What monitoring is told: counts that outlive supervisors, and nothing of a stream that is gone.

use weir_actors::control::{GetSurvey, PutStream, RemoveStream};
use weir_actors::ingest::Publish;
use weir_actors::survey::{StreamSurvey, Survey};
use weir_actors::token::Token;
use weir_media::id::{Slot, StreamId};

use crate::support::*;

async fn survey(tree: &Tree) -> Survey {
    tree.root.send(GetSurvey).await.unwrap()
}

fn of(survey: &Survey, id: StreamId) -> StreamSurvey {
    survey.streams.iter().find(|stream| stream.detail.id == id).cloned().unwrap()
}

#[actix::test]
async fn a_survey_tells_sessions_switches_starts_and_refusals() {
    let tree = Tree::new().await;
    let quiet = of(&survey(&tree).await, STREAM);
    assert!(quiet.active && !quiet.in_use && !quiet.transcoding);
    let (wire, backup) = (tree.wire(1).await, tree.backup(2).await);
    wire.tell(Cmd::Flow).await;
    backup.tell(Cmd::Flow).await;
    pass(1_000).await;
    for (stream, token) in [(Some(STREAM), "wrong"), (Some(StreamId(9)), TOKEN), (None, TOKEN)] {
        tree.try_publish(Publish { stream, token: Token::new(token), ..publish(3) }).await.unwrap_err();
    }
    wire.tell(Cmd::Vanish).await;
    pass(3_000).await;
    let told = survey(&tree).await;
    let stream = of(&told, STREAM);
    assert!(stream.in_use && stream.transcoding && stream.detail.journal.is_empty());
    assert_eq!((stream.detail.on_air, stream.tally.sessions), (Some(Slot::Backup), [1, 1]));
    let switches: Vec<_> = stream.tally.switches.into_iter().collect();
    assert_eq!(switches, [((Some(Slot::Primary), "media"), 1), ((Some(Slot::Backup), "primary_lost"), 1)]);
    assert_eq!((stream.tally.broadcasts, stream.tally.startups.count()), (1, 1));
    assert_eq!(stream.refusals.into_iter().collect::<Vec<_>>(), [("not_authorized", 1)]);
    assert_eq!(told.strangers.into_iter().collect::<Vec<_>>(), [("not_authorized", 2)]);
}

#[actix::test]
async fn counts_outlive_the_supervisor_and_go_with_the_stream() {
    let tree = Tree::new().await;
    let wire = tree.wire(1).await;
    wire.tell(Cmd::Flow).await;
    pass(11_000).await;
    tree.factory.hang_up(1);
    pass(2_000).await;
    assert_eq!(survey(&tree).await.restarts.into_iter().collect::<Vec<_>>(), [("PipelineActor", 1)]);
    wire.tell(Cmd::Unpublish).await;
    pass(65_000).await;
    assert!(tree.node(&["StreamSupervisor"]).await.is_none());
    let stream = of(&survey(&tree).await, STREAM);
    assert!(stream.in_use && !stream.transcoding);
    assert_eq!(stream.tally.sessions, [1, 0]);
    let mut off = spec(STREAM);
    off.active = false;
    tree.root.send(PutStream(off)).await.unwrap();
    assert!(!of(&survey(&tree).await, STREAM).active);
    tree.root.send(RemoveStream(STREAM)).await.unwrap();
    assert!(survey(&tree).await.streams.is_empty());
}
