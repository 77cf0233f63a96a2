//! A crash of the failover actor, which nothing from outside the crate can cause.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message};
use weir_media::feed::Feed;
use weir_media::id::{Protocol, SessionId, Slot, StreamId};
use weir_media::ladder::Ladder;
use weir_media::pipeline::{BroadcastSpec, Pipeline, PipelineEvents, PipelineFactory};

use super::{Admit, DescribeChildren, StreamSupervisor};
use crate::config::{Shared, TreeConfig};
use crate::event::{EventKind, EventSink, StreamEvent};
use crate::failover::Poison;
use crate::ingest::IngestFact;
use crate::journal::Journal;
use crate::status::StatusBoard;
use crate::{clock, ingest};

#[derive(Message)]
#[rtype(result = "()")]
struct PoisonFailover;

impl Handler<PoisonFailover> for StreamSupervisor {
    type Result = ();

    fn handle(&mut self, _: PoisonFailover, _: &mut Context<Self>) {
        self.failover.as_ref().unwrap().do_send(Poison);
    }
}

struct NoPipeline;

impl Pipeline for NoPipeline {
    fn start(&mut self) {}
    fn open(&mut self, _: SessionId, _: Slot, _: Feed) {}
    fn close(&mut self, _: SessionId) {}
    fn on_air(&mut self, _: Option<SessionId>) {}
    fn kill(&mut self) {}
    fn finish(&mut self) {}
    fn pid(&self) -> Option<u32> {
        None
    }
}

/// Keeps the event sink, as a pipeline has to.
struct NoFactory(Mutex<Vec<PipelineEvents>>);

impl PipelineFactory for NoFactory {
    fn broadcast(&self, _: BroadcastSpec, events: PipelineEvents) -> Box<dyn Pipeline> {
        self.0.lock().unwrap().push(events);
        Box::new(NoPipeline)
    }
}

#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<EventKind>>>);

impl EventSink for Events {
    fn record(&self, event: StreamEvent) {
        self.0.lock().unwrap().push(event.kind);
    }
}

async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[actix::test]
async fn a_failover_actor_that_panics_goes_on_from_the_known_state() {
    tokio::time::pause();
    let (events, board) = (Events::default(), StatusBoard::default());
    let factory = Arc::new(NoFactory(Mutex::default()));
    let shared = Shared::new(TreeConfig::default(), factory, Arc::new(events.clone()), board.clone());
    let id = StreamId(1);
    let stream = StreamSupervisor::new(id, Ladder::default(), Arc::new(shared), Journal::new(id)).start();
    let peer = ([127, 0, 0, 1], 1).into();
    let admit = Admit { slot: Slot::Primary, protocol: Protocol::Rtmp, peer, agent: None };
    let grant: ingest::Grant = stream.send(admit).await.unwrap().unwrap();
    grant.facts.try_send(IngestFact::Media { at: clock::now(), bytes: 1, video_units: 1, audio_units: 0 }).unwrap();
    pass(1_000).await;
    stream.send(PoisonFailover).await.unwrap();
    pass(1_000).await;
    let children = stream.send(DescribeChildren).await.unwrap();
    let failover = children.iter().find(|node| node.actor == "FailoverActor").unwrap();
    assert_eq!((failover.restarts, failover.last_exit.as_deref()), (1, Some("panicked: poisoned failover")));
    assert!(children.iter().filter(|node| node.actor != "FailoverActor").all(|node| node.restarts == 0));
    pass(980).await;
    assert!(board.get(id).live, "2.98 s after the last media");
    pass(40).await;
    assert!(!board.get(id).live, "the new actor kept the old deadline");
    let seen = events.0.lock().unwrap();
    let edges = seen.iter().filter(|kind| matches!(kind, EventKind::LiveChanged { .. } | EventKind::BroadcastStarted));
    assert_eq!(edges.count(), 3, "each edge once: {seen:?}");
}
