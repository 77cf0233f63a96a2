//! A panic in any actor, wherever it can be entered: the right subtree starts afresh and nobody else notices.
//!
//! [`ENTRIES`] is the table of all entries. One life of a tree passes every one of them; it is lived once per entry, which panics
//! when it is first passed. An entry that is missing in the table, or in the code, or that no life passes, fails.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use weir_media::failover::{FailoverSpec, Standby};
use weir_media::id::{Slot, StreamId};

use self::support::sources::Does;
use self::support::{Cmd, STREAM, Tree, Wire, digest, pass, publish, pulled, settle, spec};
use super::{arm, is_spent};
use crate::control::{
    ChooseSlot, Drain, EndPreflight, GetJournal, GetPreflight, GetRefusals, GetStream, GetSurvey, GetTree,
    OpenPreflight, PutStream, RemoveStream, RestartActor, Restartable, Stop, StreamActor, StreamSpec,
};
use crate::ingest::{Grant, Publish};
use crate::probe::Probe;
use crate::status::TreeNode;
use crate::{Door, ServeFactory, TreeConfig};

#[allow(dead_code)] // Shared with the tests that look at the tree from outside.
#[path = "../../tests/tree/support.rs"]
pub(super) mod support;

/// Where each actor can be entered.
const ENTRIES: &[(&str, &[&str])] = &[
    (
        "Root",
        &[
            "started",
            "RootReport",
            "Publish",
            "Publish answered",
            "PublishAgain",
            "PutStream",
            "RemoveStream",
            "ChooseSlot",
            "RestartActor",
            "GetStream",
            "GetJournal",
            "GetRefusals",
            "OpenPreflight",
            "GetPreflight",
            "EndPreflight",
            "GetTree",
            "GetSurvey",
            "Drain",
            "Stop",
            "restart timer",
        ],
    ),
    ("Listener", &["started", "accept loop ended", "StopAccepting", "Probe"]),
    (
        "StreamSupervisor",
        &[
            "started",
            "StreamReport",
            "Admit",
            "Wishes",
            "Choose",
            "RestartChild",
            "DescribeChildren",
            "Describe",
            "CloseSessions",
            "EndPreflight",
            "Retire",
            "Probe",
            "timer",
            "restart timer",
        ],
    ),
    ("FailoverActor", &["started", "Told", "Probe", "timer"]),
    (
        "PipelineActor",
        &[
            "started",
            "PipelineEvent",
            "PipelineEvent finished",
            "OpenInput",
            "CloseInput",
            "PutOnAir",
            "PrepareSlot",
            "InputLive",
            "Finish",
            "Probe",
            "timer",
        ],
    ),
    ("PullActor", &["started", "SessionTold", "try over", "Probe", "timer"]),
    ("IngestConnection", &["started", "IngestFact", "IngestFact finished", "EndSession", "Probe", "timer"]),
];

/// The stream that nothing is done to.
const OTHER: StreamId = StreamId(43);

fn entries() -> Vec<String> {
    let of = |(actor, entries): &(&str, &[&str])| {
        entries.iter().map(|entry| format!("{actor}: {entry}")).collect::<Vec<_>>()
    };
    ENTRIES.iter().flat_map(of).collect()
}

/// A stream whose backup is decoded on demand.
fn warm(id: StreamId) -> StreamSpec {
    StreamSpec { failover: FailoverSpec { standby: Standby::Warm, ..FailoverSpec::default() }, ..spec(id) }
}

/// A tree with a door and two streams.
struct Life {
    tree: Tree,
    wires: BTreeMap<StreamId, Wire>,
    /// An encoder that never reacts.
    held: Option<Grant>,
    /// Each change ends the door's accept loop.
    door: watch::Sender<u32>,
    hosts: u8,
}

impl Life {
    async fn begin() -> Self {
        let door = watch::Sender::new(0);
        let slam = door.clone();
        let serve: ServeFactory = Arc::new(move |_, mut shutdown| {
            let mut slammed = slam.subscribe();
            Box::pin(async move {
                tokio::select! {
                    _ = shutdown.wait_for(|down| *down) => Ok(()),
                    _ = slammed.changed() => Err("slammed".to_owned()),
                }
            })
        });
        let one = Door { actor: "RtmpListener", name: "a door".into(), runtime: Handle::current(), serve };
        let tree = Tree::with(TreeConfig::default(), vec![one]).await;
        tree.root.do_send(PutStream(warm(STREAM)));
        Self { tree, wires: BTreeMap::new(), held: None, door, hosts: 0 }
    }

    async fn ask(&mut self, stream: StreamId) -> Option<Grant> {
        self.hosts += 1;
        let asked = Publish { stream: Some(stream), ..publish(self.hosts) };
        self.tree.root.send(asked).await.ok()?.ok()
    }

    /// A new publisher that sends.
    async fn publisher(&mut self, stream: StreamId) -> Option<()> {
        let wire = Wire::start(self.ask(stream).await?);
        wire.tell(Cmd::Flow).await;
        self.wires.insert(stream, wire);
        Some(())
    }

    async fn tell(&self, command: Cmd) {
        self.wires[&STREAM].tell(command).await;
    }

    async fn unpublish(&mut self) {
        if let Some(wire) = self.wires.remove(&STREAM) {
            wire.tell(Cmd::Unpublish).await;
        }
    }

    async fn root_node(&self) -> Option<TreeNode> {
        self.tree.root.send(GetTree(Probe::now())).await.ok()
    }

    async fn node(&self, name: &str) -> Option<TreeNode> {
        self.root_node().await?.children.into_iter().find(|node| node.name == name)
    }

    async fn journal(&self, stream: StreamId) -> Vec<String> {
        let detail = self.tree.root.send(GetStream(stream)).await.ok().flatten();
        detail.into_iter().flat_map(|detail| detail.journal).map(|line| line.text).collect()
    }

    /// Everything that can happen to a stream and to the tree; stops as soon as the armed entry has panicked.
    async fn live(&mut self) {
        macro_rules! then {
            ($step:expr) => {
                let _ = $step;
                settle().await;
                if is_spent() {
                    return;
                }
            };
        }
        let root = self.tree.root.clone();
        then!(self.publisher(STREAM).await);
        then!(pass(1_500).await);
        then!(self.root_node().await);
        then!(root.send(GetSurvey).await);
        then!(self.journal(STREAM).await);
        then!(root.send(GetJournal(STREAM)).await);
        then!(root.send(GetRefusals(Some(STREAM))).await);
        then!(root.send(PutStream(warm(STREAM))).await);
        then!(root.send(ChooseSlot { stream: STREAM, slot: Some(Slot::Primary) }).await);
        // Silence, the end of a session, and another one in the same broadcast.
        then!(self.tell(Cmd::Silence).await);
        then!(pass(3_500).await);
        then!(self.unpublish().await);
        then!(self.publisher(STREAM).await);
        then!(pass(500).await);
        // The supervisor breaks, and a publisher waits for the next one.
        *self.tree.events.poisoned_for.lock().unwrap() = Some(STREAM);
        then!(self.unpublish().await);
        let held = self.ask(STREAM).await;
        then!(self.held = held);
        // A token reset, with an encoder that does not react.
        let reset = StreamSpec { token: digest(STREAM, "other"), ..warm(STREAM) };
        then!(root.send(PutStream(reset)).await);
        then!(root.send(PutStream(warm(STREAM))).await);
        then!(pass(6_000).await);
        then!(self.held = None);
        // The pipeline breaks, the door breaks.
        then!(self.publisher(STREAM).await);
        then!(pass(500).await);
        let pipelines = self.tree.factory.events.lock().unwrap().len();
        then!(self.tree.factory.hang_up(pipelines));
        then!(pass(2_000).await);
        then!(self.door.send_modify(|slams| *slams += 1));
        then!(pass(2_000).await);
        // The broadcast ends, the stream goes, the server goes.
        then!(self.unpublish().await);
        then!(pass(61_000).await);
        then!(self.publisher(STREAM).await);
        then!(pass(500).await);
        // Its backup is looked at before it goes on air.
        let window = Duration::from_secs(60);
        then!(root.send(OpenPreflight { stream: STREAM, slot: Slot::Backup, window }).await);
        let asked = Publish { slot: Slot::Backup, ..publish(200) };
        let checked = root.send(asked).await.ok().and_then(Result::ok).map(Wire::start);
        then!(root.send(GetPreflight(STREAM)).await);
        then!(root.send(EndPreflight(STREAM)).await);
        then!(drop(checked));
        // It is pulled; the first source breaks off, the second one has its turn.
        for host in ["a", "b"] {
            self.tree.sources.set(host, Does::Play);
        }
        then!(root.send(PutStream(pulled(STREAM, &["a", "b"]))).await);
        then!(pass(2_000).await);
        then!(self.root_node().await);
        then!(self.tree.sources.set("a", Does::Refuse));
        then!(pass(4_000).await);
        then!(root.send(RestartActor(Restartable::Stream(STREAM, StreamActor::Pull))).await);
        then!(pass(1_000).await);
        then!(root.send(RemoveStream(STREAM)).await);
        then!(pass(1_000).await);
        then!(root.send(Drain).await);
        then!(root.send(Stop).await);
    }

    /// Generations and restarts of a stream's actors, its supervisor first, without its sessions.
    async fn starts(&self, stream: StreamId) -> Vec<(&'static str, u64, u32)> {
        let Some(node) = self.node(&stream.to_string()).await else { return vec![] };
        let mut starts = vec![(node.actor, node.generation, node.restarts)];
        starts.extend(node.children.iter().map(|child| (child.actor, child.generation, child.restarts)));
        starts.retain(|(actor, ..)| *actor != "IngestConnection");
        starts
    }

    /// Whose journal tells of it.
    async fn victim(&self, words: &str) -> Option<StreamId> {
        for stream in [STREAM, OTHER] {
            if self.journal(stream).await.iter().any(|line| line.contains(words)) {
                return Some(stream);
            }
        }
        None
    }

    /// Its publisher never noticed.
    fn still_publishes(&self, stream: StreamId) -> bool {
        self.wires.get(&stream).is_some_and(|wire| !wire.ended.is_finished())
    }
}

/// Lives with this entry panicking, and looks at what is left.
async fn panic_at(entry: &str) {
    let mut life = Life::begin().await;
    let (actor, what) = entry.split_once(": ").unwrap();
    let early = what == "started" && ["Root", "Listener"].contains(&actor);
    if early {
        arm(entry);
    }
    let _ = life.tree.root.send(PutStream(spec(OTHER))).await;
    let _ = life.publisher(OTHER).await;
    pass(1_500).await;
    let (others, door) = (life.starts(OTHER).await, life.node("a door").await);
    if !early {
        arm(entry);
        life.live().await;
    }
    assert!(is_spent(), "no life passes it");
    let words = format!("panicked: fault at {entry}");
    if actor == "Root" {
        let end = tokio::time::timeout(Duration::from_secs(1), &mut life.tree.end).await;
        assert_eq!(end.expect("told at once").to_string(), words);
        settle().await;
        assert!(life.wires.values().all(|wire| wire.ended.is_finished()), "nothing outlives Root");
        return;
    }
    pass(1_000).await;
    let gone = ["StopAccepting", "Retire"].contains(&what);
    if actor == "Listener" {
        if !gone {
            let reopened = life.node("a door").await.expect("the door");
            assert_eq!((reopened.state.as_str(), reopened.last_exit), ("running", Some(words)));
            assert!(early || door.is_some_and(|door| door.generation < reopened.generation));
            assert_eq!(life.starts(OTHER).await, others);
            assert!(life.still_publishes(OTHER));
        }
        return;
    }
    let victim = life.victim(&words).await;
    if gone {
        assert_eq!(victim, None, "its journal went with the stream");
        assert!(life.node("42").await.is_none() && life.still_publishes(OTHER));
        return;
    }
    let victim = victim.expect("a line in a journal");
    if victim == STREAM {
        assert_eq!(life.starts(OTHER).await, others, "another stream is not touched");
        assert!(life.still_publishes(OTHER));
    } else {
        assert!(!life.wires.contains_key(&STREAM) || life.still_publishes(STREAM), "another stream is not touched");
    }
    if what == "Finish" {
        // The broadcast was over, and by now so is the supervisor.
        return works(&mut life, victim).await;
    }
    let mut node = life.node(&victim.to_string()).await.expect("the supervisor");
    for _ in 0..20 {
        // A second exit within one life waits for longer than the first.
        if node.state != "restarting" {
            break;
        }
        pass(100).await;
        node = life.node(&victim.to_string()).await.expect("the supervisor");
    }
    let child = |actor: &str| node.children.iter().find(|child| child.actor == actor);
    let told = |node: &TreeNode| (node.state != "restarting", node.last_exit.clone());
    match actor {
        "StreamSupervisor" => {
            assert_eq!(told(&node), (true, Some(words)));
            let waited = ["started", "Admit"].contains(&what);
            assert!(waited || !life.still_publishes(victim), "its sessions went with it");
            assert!(node.children.iter().all(|child| child.restarts == 0), "{node:?}");
        }
        "FailoverActor" => {
            assert_eq!(told(child("FailoverActor").unwrap()), (true, Some(words)));
            assert!(life.still_publishes(victim), "no sibling notices");
        }
        "PullActor" => {
            assert_eq!(told(child("PullActor").unwrap()), (true, Some(words)));
            assert_eq!(child("FailoverActor").map(|failover| failover.restarts), Some(0), "no sibling notices");
            // A try that was lost with it is made again when the next one is due.
            pass(4_000).await;
            assert!(life.tree.board.get(victim).live, "the source goes on, or another one does");
        }
        "PipelineActor" => {
            assert_eq!(told(child("PipelineActor").unwrap()), (true, Some(words)));
            assert_eq!(child("FailoverActor").map(|failover| failover.restarts), Some(0), "no sibling notices");
            assert!(what == "CloseInput" || life.still_publishes(victim), "no session ends");
        }
        _ => {
            assert!(!life.still_publishes(victim), "the encoder is told to come back");
            assert_eq!(child("FailoverActor").map(|failover| failover.restarts), Some(0), "no sibling notices");
            assert!(child("PipelineActor").is_none_or(|pipeline| pipeline.restarts == 0), "no sibling notices");
        }
    }
    works(&mut life, victim).await;
}

/// A publisher gets in, is seen and transcoded.
async fn works(life: &mut Life, stream: StreamId) {
    life.held = None;
    // The life may have stopped behind a token reset.
    life.tree.root.send(PutStream(spec(stream))).await.unwrap();
    if let Some(wire) = life.wires.remove(&stream).filter(|wire| !wire.ended.is_finished()) {
        wire.tell(Cmd::Unpublish).await;
    }
    life.publisher(stream).await.expect("a publisher is let in");
    pass(2_000).await;
    let status = life.tree.board.get(stream);
    assert!(status.live && status.transcoding, "{status:?}");
    assert!(life.still_publishes(stream));
}

#[test]
fn a_panic_anywhere_costs_its_own_subtree_only() {
    let mut failed = vec![];
    for entry in entries() {
        let life = std::panic::AssertUnwindSafe(|| actix_rt::System::new().block_on(panic_at(&entry)));
        if std::panic::catch_unwind(life).is_err() {
            failed.push(entry);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Every way into an actor has its fault point, and the table has exactly those.
#[test]
fn every_way_into_an_actor_stands_in_the_table() {
    let mut found = BTreeSet::new();
    read_sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    assert_eq!(found, entries().into_iter().collect(), "left: in the code, right: in the table");
}

fn read_sources(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            read_sources(&path, found);
        } else if !["tests.rs", "fault.rs", "timer.rs"].contains(&name) {
            read_source(&std::fs::read_to_string(&path).unwrap(), &path.display().to_string(), found);
        }
    }
}

fn read_source(text: &str, file: &str, found: &mut BTreeSet<String>) {
    let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]").collect();
    // What the innermost `impl` is for, and of what message.
    let (mut actor, mut message) = ("", "");
    for (number, line) in lines.iter().enumerate() {
        let place = format!("{file}:{}", number + 1);
        if line.starts_with("impl") {
            (actor, message) = (between(line, " for ", " {"), between(line, "Handler<", "> for "));
        }
        let wanted = if line.starts_with("fn handle(") {
            Some(format!("\"{actor}: {message}\""))
        } else if line.starts_with("fn finished(") {
            Some(format!("\"{actor}: {message} finished\""))
        } else if line.starts_with("fn started(") {
            Some(format!("\"{actor}: started\""))
        } else if ["run_later(", "run_interval(", ".arm(", "into_actor(self).map("]
            .iter()
            .any(|call| line.contains(call))
        {
            Some(String::new())
        } else {
            None
        };
        for hook in ["fn stopping(", "fn stopped(", "ctx.notify", ".spawn(async", "ctx.wait("] {
            assert!(!line.starts_with(hook), "{place}: {hook} has no place in the table");
        }
        let Some(wanted) = wanted else { continue };
        let point = lines[number..].iter().take(4).find(|line| line.starts_with("fault!(")).copied();
        let point = point.unwrap_or_else(|| panic!("{place}: no fault point"));
        if point.contains("restart_timer") {
            found.extend(["Root: restart timer", "StreamSupervisor: restart timer"].map(str::to_owned));
        } else if point.contains("concat!") {
            let probed = lines.iter().skip_while(|line| !line.starts_with("probed!(")).skip(1);
            let actors = probed.take_while(|line| **line != ");").map(|line| line.split(' ').next().unwrap());
            found.extend(actors.map(|actor| format!("{actor}: Probe")));
        } else {
            assert!(point.contains(&wanted), "{place}: {point} should be {wanted}");
            found.insert(between(point, "(\"", "\")").to_owned());
        }
    }
}

fn between<'a>(line: &'a str, from: &str, to: &str) -> &'a str {
    let after = line.split_once(from).map_or("", |(_, after)| after);
    after.split_once(to).map_or(after, |(before, _)| before)
}

#[test]
fn the_check_of_the_sources_finds_what_is_missing() {
    let check = |text: &str| {
        let found = std::panic::catch_unwind(|| {
            let mut found = BTreeSet::new();
            read_source(text, "a.rs", &mut found);
            found.into_iter().collect::<Vec<_>>()
        });
        found.map_err(|_| ())
    };
    let handler = |body: &str| format!("impl Handler<Do> for Root {{\nfn handle(&mut self) {{\n{body}\n}}\n}}\n");
    assert_eq!(check(&handler("fault!(\"Root: Do\");")), Ok(vec!["Root: Do".to_owned()]));
    assert_eq!(check(&handler("self.work();")), Err(()), "no point");
    assert_eq!(check(&handler("fault!(\"Root: Other\");")), Err(()), "another's point");
    assert_eq!(check("ctx.run_later(DELAY, |this, ctx| {\nthis.work();\n});"), Err(()), "a timer without a point");
}
