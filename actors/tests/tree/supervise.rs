//! The one way of supervision, with children of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture};
use tokio::sync::mpsc;
use weir_actors::probe::{Lag, Probe};
use weir_actors::supervise::{Body, Children, ExitReason, Report, Uplink};
use weir_policy::restart::RestartPolicy;

use crate::support::settle;

#[derive(Message)]
#[rtype(result = "()")]
enum Do {
    Stop,
    Fail,
    Panic,
    Tell(u32),
    /// Handles nothing more until then.
    Busy(Duration),
}

struct Child {
    uplink: Uplink<u8, u32>,
    dropped: Arc<AtomicBool>,
}

impl Actor for Child {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_secs(1), |_, _| ()); // keeps it alive without addresses
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.dropped.store(true, Relaxed);
    }
}

impl Handler<Do> for Child {
    type Result = ();

    fn handle(&mut self, order: Do, ctx: &mut Self::Context) {
        match order {
            Do::Stop => ctx.stop(),
            Do::Fail => {
                self.uplink.fail("gave up");
                ctx.stop();
            }
            Do::Panic => panic!("on purpose"),
            Do::Busy(time) => ctx.wait(tokio::time::sleep(time).into_actor(self)),
            Do::Tell(fact) => {
                if self.uplink.report(fact).is_err() {
                    ctx.stop();
                }
            }
        }
    }
}

impl Handler<Probe> for Child {
    type Result = MessageResult<Probe>;

    fn handle(&mut self, probe: Probe, _: &mut Self::Context) -> Self::Result {
        MessageResult(probe.waited())
    }
}

type Queue = mpsc::Receiver<Report<u8, u32>>;

const POLICY: RestartPolicy = RestartPolicy::ACTOR;

fn children(capacity: usize) -> (Children<u8, u32>, Queue) {
    Children::new(capacity)
}

fn child(uplink: Uplink<u8, u32>) -> Child {
    Child { uplink, dropped: Arc::default() }
}

async fn exit(children: &mut Children<u8, u32>, queue: &mut Queue) -> Option<ExitReason> {
    let report = queue.recv().await.unwrap();
    match children.accept(report) {
        Some((_, Body::Exited(reason))) => Some(reason),
        _ => None,
    }
}

#[actix::test]
async fn however_a_child_ends_its_parent_hears_why() {
    let (mut children, mut queue) = children(4);
    let table = [
        (Do::Stop, ExitReason::Normal),
        (Do::Fail, ExitReason::Failed("gave up".into())),
        (Do::Panic, ExitReason::Panicked("on purpose".into())),
    ];
    for (order, reason) in table {
        children.start(1, POLICY, child).do_send(order);
        assert_eq!(exit(&mut children, &mut queue).await, Some(reason.clone()));
        assert_eq!(children.vitals(&1).unwrap().last_exit.unwrap().reason, reason);
    }
    assert_eq!(children.vitals(&1).unwrap().restarts, 2);
}

#[actix::test]
async fn facts_come_before_the_exit_and_in_order() {
    let (mut children, mut queue) = children(8);
    let addr = children.start(1, POLICY, child);
    for fact in 0..3 {
        addr.do_send(Do::Tell(fact));
    }
    addr.do_send(Do::Panic);
    for fact in 0..3 {
        let report = queue.recv().await.unwrap();
        assert!(matches!(children.accept(report), Some((1, Body::Fact(seen))) if seen == fact));
    }
    assert!(matches!(exit(&mut children, &mut queue).await, Some(ExitReason::Panicked(_))));
}

#[actix::test]
async fn late_reports_of_a_dead_generation_are_dropped() {
    let (mut children, mut queue) = children(8);
    let old = children.start(1, POLICY, child);
    old.send(Do::Tell(1)).await.unwrap();
    let new = children.start(1, POLICY, child); // aborts the old one
    new.send(Do::Tell(2)).await.unwrap();
    settle().await;
    let mut seen = vec![];
    let mut dropped = 0;
    while let Ok(report) = queue.try_recv() {
        match children.accept(report) {
            Some((_, Body::Fact(fact))) => seen.push(fact),
            Some((_, Body::Exited(reason))) => panic!("the living one did not exit: {reason}"),
            None => dropped += 1,
        }
    }
    assert_eq!((seen, dropped), (vec![2], 2), "its fact and its exit");
    assert!(!old.connected() && new.connected());
}

#[actix::test]
async fn a_child_whose_parent_does_not_keep_up_fails_and_the_exit_is_not_lost() {
    let (mut children, mut queue) = children(2);
    let addr = children.start(1, POLICY, child);
    for fact in 0..3 {
        addr.do_send(Do::Tell(fact));
    }
    settle().await;
    assert!(!addr.connected());
    let mut facts = 0;
    let reason = loop {
        let report = queue.recv().await.unwrap();
        match children.accept(report) {
            Some((_, Body::Exited(reason))) => break reason,
            _ => facts += 1,
        }
    };
    let overrun = "supervisor does not keep up with its children's reports";
    assert_eq!((facts, reason), (2, ExitReason::Failed(overrun.into())));
}

#[actix::test]
async fn a_dead_parent_leaves_no_orphans() {
    let (mut children, _queue) = children(2);
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let addr = children.start(1, POLICY, |uplink| Child { uplink, dropped: flag });
    settle().await;
    drop(children);
    settle().await;
    assert!(dropped.load(Relaxed) && !addr.connected());
}

#[actix::test]
async fn restarts_follow_the_budget() {
    tokio::time::pause();
    let (mut children, mut queue) = children(2);
    children.start(1, POLICY, child).do_send(Do::Panic);
    exit(&mut children, &mut queue).await;
    let now = weir_actors::clock::now();
    let soon = children.restart(&1, now, 0.5).unwrap();
    assert_eq!(soon.at - now, Duration::from_millis(500));
    let addr = children.start(1, POLICY, child);
    tokio::time::sleep(Duration::from_secs(10)).await;
    addr.do_send(Do::Panic);
    exit(&mut children, &mut queue).await;
    let now = weir_actors::clock::now();
    assert_eq!(children.restart(&1, now, 0.5).unwrap().at, now, "at once after 10 s of health");
    assert!(!children.vitals(&1).unwrap().running);
}

#[actix::test]
async fn a_mailbox_tells_its_lag_and_a_stuck_one_keeps_nobody_waiting() {
    tokio::time::pause();
    let (mut children, mut queue) = children(2);
    let within = Duration::from_millis(500);
    let addr = children.start(1, POLICY, child);
    assert_eq!(children.lag(&1, within).await, Lag::Measured(Duration::ZERO));
    addr.do_send(Do::Busy(Duration::from_millis(300)));
    let Lag::Measured(lag) = children.lag(&1, within).await else { panic!("it is only busy") };
    assert!((300..=302).contains(&lag.as_millis()), "{lag:?}");
    addr.do_send(Do::Busy(Duration::from_secs(3_600)));
    let asked = tokio::time::Instant::now();
    assert_eq!(children.lag(&1, within).await, Lag::Unresponsive);
    assert!((500..=502).contains(&asked.elapsed().as_millis()));
    let addr = children.start(1, POLICY, child);
    addr.do_send(Do::Panic);
    while exit(&mut children, &mut queue).await.is_none() {}
    assert_eq!(children.lag(&1, within).await, Lag::Down);
    assert_eq!(children.lag(&2, within).await, Lag::Down, "no such child");
}

#[actix::test]
async fn a_child_that_is_given_up_is_not_started_again() {
    let (mut children, mut queue) = children(2);
    for n in 0..4 {
        children.start(1, POLICY, child).do_send(Do::Panic);
        exit(&mut children, &mut queue).await;
        let restart = children.restart(&1, weir_actors::clock::now(), 0.5);
        assert_eq!(restart.is_some(), n < 3, "end {n}");
    }
}
