//! The media worker: one live stream's decoders, mixer and encoders, alone in a process.
//!
//! ```text
//! socket ─▶ Input ─▶ Decoder ─▶ Session ─▶ mixer ─▶ Encoder ─▶ cut ─▶ Outbox ─▶ socket
//!           compressed   one per   decoded,   owns the  one per   parts on
//!           units        track     on the     output    stream    the grid
//!                                  wall clock clock
//!                                  ▲          ▲
//!                            aligner          director
//!                            keeps two inputs picks the input
//!                            in step          of each frame
//! ```
//!
//! Contract: [`run`] speaks `weir_media::protocol` on its socket until `Stop` (publishes what is encoded, within 1.5 s) or until the socket
//! ends, which means that the parent is gone. No queue grows: compressed units are skipped to the next keyframe in front of a full
//! decoder, decoders are held by full picture and sound queues, the mixer falls behind in front of full encoders.

mod aligner;
mod anchor;
mod audio_ring;
mod bilinear;
mod cut;
mod decode;
mod delay;
mod director;
mod elements;
mod encode;
mod fade;
mod gap;
mod input;
mod lateness;
mod messages;
mod mixer;
mod outbox;
mod rate;
mod report;
pub mod sandbox;
mod scale;
mod screenshot;
mod session;
mod stage;
mod standby;
mod timeline;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use weir_media::grid::Grid;
use weir_media::id::{SessionId, Slot};
use weir_media::protocol::{FromWorker, Output, ProtocolError, ToWorker, WorkerSpec};

use self::encode::Encoder;
use self::input::Input;
use self::messages::Messages;
use self::outbox::Outbox;
use self::report::{Edges, Speedometer};
use self::session::Session;
use self::stage::{Clock, Stage};
use self::standby::Standbys;
use self::timeline::Timeline;

/// Longest wait for a message before the worker looks after its decoders and reports.
const LOOK: Duration = Duration::from_millis(50);
/// Delay up to which the output begins before its first picture is due, nanoseconds.
const USUAL_DELAY: i64 = 150_000_000;
/// Time between two reports, nanoseconds.
const REPORT: i64 = 250_000_000;
/// How long an input that fixed the output has for its first picture when there is another one, nanoseconds.
const DOUBT: i64 = 1_000_000_000;
/// How long a closed input is kept after its last picture, nanoseconds.
const LINGER: i64 = 1_000_000_000;

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The socket broke.
    #[error("socket to the control process failed")]
    Socket(#[from] std::io::Error),
    /// The control process closed the socket.
    #[error("the control process is gone")]
    Orphaned,
    /// A message that the same binary would not send.
    #[error("bad message from the control process")]
    Protocol(#[from] ProtocolError),
    /// The first message is not `Start`.
    #[error("the first message is not a start")]
    NotStarted,
    /// GStreamer cannot start.
    #[error("gstreamer cannot start")]
    Gstreamer(#[from] gst::glib::Error),
    /// A pipeline cannot be built or run.
    #[error("pipeline: {0}")]
    Pipeline(String),
    /// The kernel takes no filter of system calls, and without it no stranger's bytes are decoded.
    #[error("sandbox cannot be installed: {0}")]
    Sandbox(#[source] std::io::Error),
    /// The sandbox' self-test found so many faults.
    #[error("the sandbox has {0} faults")]
    Leaks(usize),
    /// The ladder has no rung.
    #[error("the ladder is empty")]
    NoRendition,
}

/// Runs a worker on `socket` until it is stopped, orphaned or broken.
pub fn run(socket: UnixStream) -> Result<(), WorkerError> {
    run_behind(socket, || sandbox::install().map_err(WorkerError::Sandbox))
}

/// As [`run`], with `confine` in the sandbox' place once GStreamer is up. For tests, whose own process has more to do than a worker's.
pub fn run_behind(socket: UnixStream, confine: impl FnOnce() -> Result<(), WorkerError>) -> Result<(), WorkerError> {
    let clock = Clock::start();
    let mut messages = Messages::start(socket.try_clone()?, clock)?;
    let spec = loop {
        match messages.next()? {
            Some((_, ToWorker::Start(spec))) => break spec,
            Some(_) => return Err(WorkerError::NotStarted),
            None => {}
        }
    };
    let (outbox, writer) = Outbox::start(socket.try_clone()?)?;
    let mut worker = Worker::new(spec, outbox, clock);
    let result = elements::start().and_then(|()| confine()).and_then(|()| worker.serve(&mut messages));
    if matches!(result, Err(WorkerError::Orphaned | WorkerError::Socket(_))) {
        // Nobody reads: release whoever is blocked in a write.
        let _ = socket.shutdown(std::net::Shutdown::Both);
    } else if let Err(error) = &result {
        worker.outbox.send(FromWorker::Fault { reason: error.to_string() });
    }
    worker.stop();
    drop(worker);
    if writer.join().is_err() {
        tracing::error!("the outbox thread panicked");
    }
    result
}

/// Starts GStreamer and nothing else, so that its plugin registry is built where `GST_REGISTRY` says.
pub fn scan_plugins() -> Result<(), WorkerError> {
    elements::start()
}

/// The output side once the canvas is known.
struct Running {
    encoder: Arc<Encoder>,
    mixer: JoinHandle<()>,
    aligner: JoinHandle<()>,
    output: Output,
    /// The input whose shape was taken, and when. Nothing is published before its first picture.
    chosen: Option<(SessionId, i64)>,
}

struct Worker {
    spec: WorkerSpec,
    stage: Arc<Stage>,
    outbox: Outbox,
    inputs: BTreeMap<SessionId, Input>,
    running: Option<Running>,
    standby: Standbys,
    edges: Edges,
    /// Inputs of which there is a picture.
    showing: BTreeSet<SessionId>,
    speed: Speedometer,
    next_report: i64,
    next_look: i64,
}

impl Worker {
    fn new(spec: WorkerSpec, outbox: Outbox, clock: Clock) -> Self {
        Self {
            stage: Stage::new(clock),
            outbox,
            inputs: BTreeMap::new(),
            running: None,
            standby: Standbys::new(spec.failover, i64::from(spec.delay_ms) * 1_000_000),
            edges: Edges::default(),
            showing: BTreeSet::new(),
            spec,
            speed: Speedometer::default(),
            next_report: 0,
            next_look: 0,
        }
    }

    fn serve(&mut self, messages: &mut Messages) -> Result<(), WorkerError> {
        self.outbox.send(FromWorker::Ready);
        if let Some(resume) = self.spec.resume.clone() {
            self.start_output(resume.output, [resume.next_frame, resume.joined_by], None)?;
        }
        loop {
            let asked = self.stage.clock.now();
            let seen_until = match messages.next()? {
                Some((_, ToWorker::Stop)) => return Ok(()),
                Some((arrived, message)) => {
                    self.handle(arrived, message)?;
                    arrived
                }
                None => asked,
            };
            self.stage.lock().seen_until = seen_until;
            let now = self.stage.clock.now();
            if now >= self.next_look {
                self.next_look = now + LOOK.as_nanos() as i64;
                self.look_after(now)?;
                if self.shows_anew() {
                    self.next_report = now;
                }
            }
            if now >= self.next_report {
                self.next_report = now + REPORT;
                self.report(now)?;
            }
        }
    }

    fn handle(&mut self, arrived: i64, message: ToWorker) -> Result<(), WorkerError> {
        match message {
            // A second start is none of the parent's messages; there is nothing to start again.
            ToWorker::Start(_) | ToWorker::Stop => {}
            ToWorker::Open { session, slot } => self.open(session, slot),
            ToWorker::Config { session, config } => {
                if let Some(input) = self.inputs.get_mut(&session) {
                    input.configure(config);
                }
            }
            ToWorker::Unit { session, unit } => {
                if let Some(input) = self.inputs.get_mut(&session) {
                    input.unit(arrived, unit);
                    if self.running.is_none() {
                        self.choose_output()?;
                    }
                }
            }
            ToWorker::Close { session } => {
                if let Some(input) = self.inputs.get_mut(&session) {
                    input.close();
                }
            }
            ToWorker::Prepare { slot, decode } => {
                self.standby.prepare(slot, decode);
                self.decode_wanted();
            }
            ToWorker::OnAir { session, hand_over } => {
                let mut inputs = self.stage.lock();
                (inputs.on_air, inputs.hand_over) = (session, hand_over);
                drop(inputs);
                self.decode_wanted();
                self.stage.delivered.notify_all();
            }
        }
        Ok(())
    }

    fn open(&mut self, session: SessionId, slot: Slot) {
        let trim = i64::from(self.spec.failover.trim_ms(slot)) * 1_000_000;
        self.stage.lock().sessions.insert(session, Session::new(slot, self.delay(), trim));
        let mut input = Input::new(session, self.stage.clone(), self.standby.is_hot());
        if let Some(canvas) = self.running.as_ref().and_then(|running| running.output.renditions.first()) {
            input.set_canvas(canvas.width, canvas.height);
        }
        self.inputs.insert(session, input);
        // It may be on air already: a replaced worker hears of that first.
        self.decode_wanted();
    }

    /// How far the output runs behind arrival, nanoseconds.
    fn delay(&self) -> i64 {
        i64::from(self.spec.delay_ms) * 1_000_000
    }

    /// Has what is needed decoded, and nothing else.
    fn decode_wanted(&mut self) {
        let now = self.stage.clock.now();
        let wanted = self.standby.wanted(now, &self.stage.lock());
        for (id, input) in &mut self.inputs {
            input.want(wanted.contains(id));
        }
    }

    /// The first input whose shape is known fixes the output, unless it turns out undecodable before its first picture.
    fn choose_output(&mut self) -> Result<(), WorkerError> {
        let now = self.stage.clock.now();
        let chosen = self.inputs.iter().filter(|(_, input)| input.rejected.is_none() && !input.doubtful);
        let Some((session, shape)) = chosen.filter_map(|(id, input)| Some((*id, input.shape(now)?))).next() else {
            return Ok(());
        };
        let output = Output {
            grid: Grid::new(Grid::snap(shape.fps)),
            renditions: self.spec.ladder.renditions(shape.width, shape.height),
            audio_bitrate_kbps: self.spec.audio_bitrate_kbps,
            // The first picture is due then; what the usual delay brings is filled with it.
            epoch_ns: (shape.first_arrival + (self.delay() - USUAL_DELAY).max(0)) as u64,
        };
        self.start_output(output, [0, 0], Some(session))
    }

    fn start_output(
        &mut self,
        output: Output,
        [first_frame, joined_by]: [u64; 2],
        chosen: Option<SessionId>,
    ) -> Result<(), WorkerError> {
        let canvas = output.renditions.first().ok_or(WorkerError::NoRendition)?;
        // Decoders first: they work while the encoders start.
        for input in self.inputs.values_mut() {
            input.set_canvas(canvas.width, canvas.height);
        }
        let encoder = Arc::new(Encoder::start(&self.spec, &output, &self.outbox)?);
        let mode = self.spec.failover.mode;
        let start = mixer::Start { output: output.clone(), first_frame, joined_by, chosen, mode };
        let mixer = mixer::spawn(self.stage.clone(), encoder.clone(), start, self.outbox.clone())?;
        let timeline = Timeline { grid: output.grid, epoch: output.epoch_ns as i64 };
        let aligner = aligner::spawn(self.stage.clone(), timeline, mode, self.delay())?;
        let chosen = chosen.map(|session| (session, self.stage.clock.now()));
        self.running = Some(Running { encoder, mixer, aligner, output, chosen });
        Ok(())
    }

    /// Replaces failed decoders, forgets finished inputs, notices the end of the encoders.
    fn look_after(&mut self, now: i64) -> Result<(), WorkerError> {
        if let Some(reason) = self.running.as_ref().and_then(|running| running.encoder.failure()) {
            return Err(WorkerError::Pipeline(format!("encoders: {reason}")));
        }
        if self.running.as_ref().is_some_and(|running| running.mixer.is_finished()) {
            return Err(WorkerError::Pipeline("the mixer ended".into()));
        }
        let mut gone = vec![];
        for (id, input) in &mut self.inputs {
            input.look_after();
            if let Some(reason) = input.rejection() {
                self.outbox.send(FromWorker::Rejected { session: *id, reason });
            }
            let inputs = self.stage.lock();
            if inputs.sessions.get(id).is_some_and(|session| session.closed && session.played_out(now - LINGER)) {
                gone.push(*id);
            }
        }
        self.void_choice(now);
        for id in gone {
            self.inputs.remove(&id);
            self.stage.lock().sessions.remove(&id);
        }
        self.decode_wanted();
        self.tell(now);
        if self.running.is_none() {
            self.choose_output()?;
        }
        Ok(())
    }

    /// Takes back a choice whose input does not decode, while nothing is published: at once when that input is rejected or gone,
    /// after [`DOUBT`] when another one could be chosen.
    fn void_choice(&mut self, now: i64) {
        let Some((chosen, at)) = self.running.as_ref().and_then(|running| running.chosen) else { return };
        let gone = self.inputs.get(&chosen).is_none_or(|input| input.rejected.is_some());
        let mut others = self.inputs.iter().filter(|(id, _)| **id != chosen);
        let replaceable = now - at > DOUBT && others.any(|(_, input)| !input.doubtful && input.shape(now).is_some());
        let decoded = {
            let inputs = self.stage.lock();
            inputs.frames > 0 || inputs.sessions.get(&chosen).is_some_and(|session| session.decoded_pictures > 0)
        };
        if decoded || !(gone || replaceable) {
            return;
        }
        if let Some(input) = self.inputs.get_mut(&chosen) {
            input.doubtful = true;
        }
        self.stop_output();
        self.stage.lock().stopping = false;
        self.inputs.values_mut().for_each(Input::unset_canvas);
    }

    /// Tells what the mixer has to say, and what changed with the inputs.
    fn tell(&mut self, now: i64) {
        let told = std::mem::take(&mut self.stage.lock().told);
        for message in told {
            self.outbox.send(message);
        }
        let edges = self.edges.look(now, &self.inputs, &self.stage.lock());
        for (session, edge) in edges {
            self.outbox.send(FromWorker::Input { session, edge });
        }
    }

    /// An input has its first picture: what was refused to it until then waits for the report.
    fn shows_anew(&mut self) -> bool {
        let sessions = &self.stage.lock().sessions;
        let showing = sessions.iter().filter(|(_, session)| session.decoded_pictures > 0).map(|(id, _)| *id);
        let showing: BTreeSet<SessionId> = showing.collect();
        let anew = !showing.is_subset(&self.showing);
        self.showing = showing;
        anew
    }

    fn report(&mut self, now: i64) -> Result<(), WorkerError> {
        let speed = match &self.running {
            Some(running) => self.speed.read(now, running.encoder.encoded(), running.output.grid.frame_rate),
            None => 0,
        };
        let report = report::report(now, &self.stage.lock(), &self.inputs, speed);
        if self.outbox.offer(FromWorker::Report(report)) { Ok(()) } else { Err(WorkerError::Orphaned) }
    }

    fn stop_output(&mut self) {
        {
            let mut inputs = self.stage.lock();
            inputs.stopping = true;
            self.stage.delivered.notify_all();
            self.stage.ending.notify_all();
        }
        if let Some(running) = self.running.take() {
            for (what, thread) in [("mixer", running.mixer), ("aligner", running.aligner)] {
                if thread.join().is_err() {
                    tracing::error!("the {what} panicked");
                }
            }
        }
    }

    fn stop(&mut self) {
        self.inputs.values_mut().for_each(Input::close);
        self.stop_output();
        self.inputs.clear();
    }
}
