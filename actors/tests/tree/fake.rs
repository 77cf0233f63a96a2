//! A pipeline without a worker process: it notes what it is told, decodes what its feeds bring, and reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use weir_actors::clock;
use weir_media::access_unit::Track;
use weir_media::failover::{HandOver, InputEdge, Shown, Standby};
use weir_media::feed::{Feed, FeedItem};
use weir_media::grid::Grid;
use weir_media::id::{SessionId, Slot};
use weir_media::ladder::Ladder;
use weir_media::pipeline::{BroadcastSpec, Pipeline, PipelineEvent, PipelineEvents, PipelineFactory};
use weir_media::protocol::{InputReport, Output, Report};
use weir_media::time::FrameRate;
use weir_policy::failover::Fact;

#[derive(Clone)]
pub struct FakeFactory {
    /// What pipelines were told, with the time.
    pub calls: Arc<Mutex<Vec<(Instant, String)>>>,
    /// What pipelines were made with, oldest first.
    pub specs: Arc<Mutex<Vec<BroadcastSpec>>>,
    /// Where the events of each broadcast's pipeline go, oldest first; `None` when it has let go of it.
    pub events: Arc<Mutex<Vec<Option<PipelineEvents>>>>,
    /// Workers decode, report and make parts.
    pub healthy: Arc<AtomicBool>,
    /// Workers decode and report, but wait for an input that they can begin their output with.
    pub waiting: Arc<AtomicBool>,
    /// How many of the next `open` calls panic.
    pub panics: Arc<AtomicU32>,
    /// Sessions that bring nothing that decodes.
    pub blind: Arc<Mutex<BTreeSet<SessionId>>>,
    /// What workers told of inputs, in order, since somebody last took it.
    pub told: Arc<Mutex<Vec<Fact>>>,
    /// Workers that died by [`Self::kill`]; one that is older does nothing any more.
    lives: Arc<AtomicU32>,
}

impl Default for FakeFactory {
    fn default() -> Self {
        Self {
            calls: Arc::default(),
            specs: Arc::default(),
            events: Arc::default(),
            healthy: Arc::new(AtomicBool::new(true)),
            waiting: Arc::default(),
            panics: Arc::default(),
            blind: Arc::default(),
            told: Arc::default(),
            lives: Arc::default(),
        }
    }
}

impl FakeFactory {
    pub fn emit(&self, number: usize, event: PipelineEvent) {
        let events = self.events.lock().unwrap()[number - 1].clone();
        if let Some(events) = events {
            events(event);
        }
    }

    /// The worker of the latest broadcast dies.
    pub fn kill(&self) {
        self.lives.fetch_add(1, Relaxed);
        let number = self.events.lock().unwrap().len();
        self.emit(number, PipelineEvent::Exited { reason: "signal 11".into(), expected: false });
    }

    fn tell(&self, fact: Fact) {
        self.told.lock().unwrap().push(fact);
    }

    /// The pipeline of a broadcast lets go of its events' sink.
    pub fn hang_up(&self, number: usize) {
        self.events.lock().unwrap()[number - 1] = None;
    }

    pub fn seen(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(_, call)| call.clone()).collect()
    }

    pub fn when(&self, wanted: &str) -> Option<Instant> {
        self.calls.lock().unwrap().iter().find(|(_, call)| call == wanted).map(|(at, _)| *at)
    }

    pub fn count(&self, wanted: &str) -> usize {
        self.seen().iter().filter(|call| *call == wanted).count()
    }
}

impl PipelineFactory for FakeFactory {
    fn broadcast(&self, spec: BroadcastSpec, events: PipelineEvents) -> Box<dyn Pipeline> {
        let mut all = self.events.lock().unwrap();
        all.push(Some(events));
        let hot = spec.failover.standby == Standby::Hot;
        self.specs.lock().unwrap().push(spec);
        Box::new(FakePipeline {
            factory: self.clone(),
            number: all.len(),
            hot,
            workers: 0,
            tasks: vec![],
            inputs: BTreeMap::new(),
            on_air: None,
            prepared: [false; 2],
            report: Arc::default(),
        })
    }
}

struct FakePipeline {
    factory: FakeFactory,
    number: usize,
    hot: bool,
    workers: u32,
    /// The running worker's.
    tasks: Vec<JoinHandle<()>>,
    inputs: BTreeMap<SessionId, Input>,
    on_air: Option<SessionId>,
    prepared: [bool; 2],
    report: Arc<Mutex<Report>>,
}

struct Input {
    slot: Slot,
    feed: Feed,
    decoding: Arc<AtomicBool>,
}

impl FakePipeline {
    fn note(&self, call: String) {
        self.factory.calls.lock().unwrap().push((clock::now(), format!("{}: {call}", self.number)));
    }

    fn emit(&self, event: PipelineEvent) {
        self.factory.emit(self.number, event);
    }

    fn stop(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
        self.inputs.values().for_each(|input| input.decoding.store(false, Relaxed));
        *self.report.lock().unwrap() = Report::default();
    }

    fn end(&mut self, reason: &str, expected: bool) {
        self.stop();
        self.emit(PipelineEvent::Exited { reason: reason.into(), expected });
    }

    /// Begins or stops to decode what should be or need not be.
    fn look_at_decoders(&self) {
        if self.tasks.is_empty() {
            return;
        }
        for (session, input) in &self.inputs {
            let wanted = self.hot || self.on_air == Some(*session) || self.prepared[input.slot as usize];
            if input.decoding.swap(wanted, Relaxed) != wanted {
                self.factory.tell(Fact::Decoding(*session, wanted));
                self.emit(PipelineEvent::Input { session: *session, edge: InputEdge::Decoding(wanted) });
            }
        }
    }

    /// Reads a feed as the worker does.
    fn read(&mut self, session: SessionId) {
        let Some(input) = self.inputs.get(&session).filter(|_| self.workers > 0) else { return };
        let (mut reader, decoding) = (input.feed.reader(), Arc::clone(&input.decoding));
        let (factory, number, report) = (self.factory.clone(), self.number, Arc::clone(&self.report));
        let life = factory.lives.load(Relaxed);
        self.tasks.push(actix_rt::spawn(async move {
            let mut begun = false;
            while let Some(item) = reader.next().await {
                let mut items = vec![item];
                while let Some(Some(item)) = reader.next().now_or_never() {
                    items.push(item);
                }
                let video = |item: &&FeedItem| matches!(item, FeedItem::Unit(unit) if unit.track == Track::Video);
                let pictures = items.iter().filter(video).count() as u64;
                if factory.lives.load(Relaxed) != life {
                    return;
                }
                let sees = factory.healthy.load(Relaxed) && !factory.blind.lock().unwrap().contains(&session);
                if !(sees && decoding.load(Relaxed) && pictures > 0) {
                    continue;
                }
                let told = {
                    let mut report = report.lock().unwrap();
                    let known = report.inputs.iter().position(|input| input.session == session);
                    let at = known.unwrap_or_else(|| {
                        report.inputs.push(nothing_of(session));
                        report.inputs.len() - 1
                    });
                    report.inputs[at].decoded_frames += pictures;
                    report.inputs[at].since_decoded_ms = Some(0);
                    report.clone()
                };
                factory.tell(Fact::Decoded(session));
                factory.emit(number, PipelineEvent::Report(told));
                report.lock().unwrap().inputs.iter_mut().for_each(|input| input.since_decoded_ms = None);
                if !std::mem::replace(&mut begun, true) {
                    factory.tell(Fact::Content(session, true));
                    factory.emit(number, PipelineEvent::Input { session, edge: InputEdge::Content(true) });
                }
            }
        }));
    }
}

/// What workers make.
pub fn output() -> Output {
    let renditions = Ladder::default().renditions(1280, 720);
    Output { grid: Grid::new(FrameRate::whole(30)), renditions, audio_bitrate_kbps: 128, epoch_ns: 0 }
}

fn nothing_of(session: SessionId) -> InputReport {
    InputReport {
        session,
        decoded_frames: 0,
        decoded_until_ns: None,
        since_decoded_ms: None,
        errors: 0,
        gop_ms: None,
        buffered_ms: None,
    }
}

impl Pipeline for FakePipeline {
    fn start(&mut self) {
        self.note("start".into());
        self.stop();
        self.workers += 1;
        self.emit(PipelineEvent::Started { pid: 1_000 * self.number as u32 + self.workers });
        let (factory, number, report) = (self.factory.clone(), self.number, Arc::clone(&self.report));
        let life = factory.lives.load(Relaxed);
        self.tasks.push(actix_rt::spawn(async move {
            let waiting = factory.waiting.load(Relaxed);
            if !waiting {
                factory.emit(number, PipelineEvent::Output(output()));
            }
            let mut tick = tokio::time::interval(Duration::from_millis(250));
            tick.tick().await;
            for n in 1u64.. {
                tick.tick().await;
                if factory.lives.load(Relaxed) != life {
                    return;
                }
                if !factory.healthy.load(Relaxed) {
                    continue;
                }
                let told = {
                    let mut report = report.lock().unwrap();
                    if !waiting {
                        (report.frames, report.speed_milli) = (n * 7, 1_000);
                    }
                    report.clone()
                };
                factory.emit(number, PipelineEvent::Report(told));
                if n == 2 && !waiting {
                    factory.emit(number, PipelineEvent::Playable);
                }
            }
        }));
        self.look_at_decoders();
        self.inputs.keys().copied().collect::<Vec<_>>().into_iter().for_each(|session| self.read(session));
        if self.on_air.is_some() {
            self.emit(PipelineEvent::Shown(Shown { session: self.on_air, covers: false, frame: 0 }));
        }
    }

    fn open(&mut self, session: SessionId, slot: Slot, feed: Feed) {
        if self.factory.panics.load(Relaxed) > 0 {
            self.factory.panics.fetch_sub(1, Relaxed);
            panic!("poisoned open");
        }
        self.note(format!("open {session} {slot}"));
        self.inputs.insert(session, Input { slot, feed, decoding: Arc::default() });
        if !self.tasks.is_empty() {
            self.look_at_decoders();
            self.read(session);
        }
    }

    fn close(&mut self, session: SessionId) {
        self.note(format!("close {session}"));
        self.inputs.remove(&session);
    }

    fn prepare(&mut self, slot: Slot, decode: bool) {
        self.note(format!("{} {slot}", if decode { "prepare" } else { "rest" }));
        self.prepared[slot as usize] = decode;
        self.look_at_decoders();
    }

    fn on_air(&mut self, session: Option<SessionId>, hand_over: HandOver) {
        let how = if hand_over == HandOver::AtOnce { " at once" } else { "" };
        self.note(session.map_or("hold".into(), |session| format!("show {session}{how}")));
        self.on_air = session;
        self.look_at_decoders();
        if !self.tasks.is_empty() && session.is_some() {
            self.emit(PipelineEvent::Shown(Shown { session, covers: false, frame: 0 }));
        }
    }

    fn kill(&mut self) {
        self.note("kill".into());
        self.end("signal 9", false);
    }

    fn finish(&mut self) {
        self.note("finish".into());
        self.end("exit 0", true);
    }

    fn pid(&self) -> Option<u32> {
        None
    }
}

impl Drop for FakePipeline {
    fn drop(&mut self) {
        self.note("drop".into());
        self.stop();
    }
}
