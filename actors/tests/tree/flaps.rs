//! Random flaps of two publishers, their decoders, the worker and the operator, on the real tree: what is on air is what the oracle
//! of the failover rule says, and the journal explains every switch. Seeds are fixed; a failure names its own.

use std::time::Duration;

use weir_actors::TreeConfig;
use weir_actors::control::{ChooseSlot, GetJournal, PutStream, StreamSpec};
use weir_actors::ingest::{CloseReason, Grant, IngestFact, Publish};
use weir_actors::journal::JournalReader;
use weir_media::access_unit::{AccessUnit, Track};
use weir_media::failover::{FailoverSpec, Standby};
use weir_media::id::{SessionId, Slot};
use weir_media::pipeline::PipelineEvent;
use weir_media::time::Timestamp;
use weir_policy::failover::{Fact, Policy};

use crate::TICK;
use crate::explained::{Reader, Times};
use crate::oracle::{Oracle, Seen};
use crate::support::*;

const SCHEDULES: u64 = 200;
/// Ticks of one schedule: two minutes.
const TICKS: u64 = 1_200;
const SLOTS: [Slot; 2] = [Slot::Primary, Slot::Backup];

/// One slot's encoder.
#[derive(Default)]
struct Encoder {
    grant: Option<Grant>,
    /// The next access unit is due; it sends one in so many ticks.
    next: u64,
    every: u64,
    /// It does something else then.
    until: u64,
    sends: bool,
    units: u64,
}

struct Flaps {
    tree: Tree,
    dice: Dice,
    start: tokio::time::Instant,
    encoders: [Encoder; 2],
    newest: [Option<SessionId>; 2],
    hosts: u8,
    next_kill: u64,
    facts: Vec<(u64, Fact)>,
    journal: JournalReader,
    read: u64,
    reader: Reader,
}

fn config() -> TreeConfig {
    TreeConfig {
        hold: TICK * 150,
        linger: TICK * 120,
        silent_close: Duration::from_secs(3_600),
        connect_burst: 1_000,
        ..TreeConfig::default()
    }
}

fn policy(standby: Standby) -> Policy {
    let TreeConfig { stall, hold, linger, .. } = config();
    Policy { stall, hold, linger, standby, ..Policy::default() }
}

fn failover(standby: Standby) -> FailoverSpec {
    FailoverSpec { standby, ..FailoverSpec::default() }
}

impl Flaps {
    async fn new(seed: u64, standby: Standby) -> Self {
        let tree = Tree::with(config(), vec![]).await;
        tree.root.send(PutStream(StreamSpec { failover: failover(standby), ..spec(STREAM) })).await.unwrap();
        pass(1).await; // whole milliseconds from here on
        let journal = tree.root.send(GetJournal(STREAM)).await.unwrap().unwrap();
        Self {
            tree,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            start: tokio::time::Instant::now(),
            encoders: Default::default(),
            newest: [None; 2],
            hosts: 0,
            next_kill: 300,
            facts: vec![],
            journal,
            read: 0,
            reader: Reader::default(),
        }
    }

    /// What the fake pipeline has told since it was last asked. It stands where it was told among the facts.
    fn take_told(&mut self, tick: u64) {
        let told = std::mem::take(&mut *self.tree.factory.told.lock().unwrap());
        self.facts.extend(told.into_iter().map(|fact| (tick, fact)));
    }

    async fn act(&mut self, tick: u64) {
        for slot in SLOTS {
            self.act_in(slot, tick).await;
        }
        if tick >= self.next_kill && self.dice.roll(100) == 0 && self.worker_runs() {
            self.next_kill = tick + 300;
            for session in self.newest.into_iter().flatten() {
                self.facts.push((tick, Fact::Decoding(session, false)));
                self.facts.push((tick, Fact::Content(session, false)));
            }
            self.tree.factory.kill();
            settle().await;
            self.take_told(tick);
        }
        if self.dice.roll(150) == 0 {
            let slot = [None, Some(Slot::Primary), Some(Slot::Backup)][self.dice.roll(3) as usize];
            let told = self.tree.root.send(ChooseSlot { stream: STREAM, slot }).await.unwrap();
            if told == Some(Ok(())) {
                self.facts.push((tick, Fact::Chosen(slot)));
            }
            settle().await;
            self.take_told(tick);
        }
    }

    /// A broadcast runs, and its worker has been up for long enough to be replaced at once.
    fn worker_runs(&self) -> bool {
        let calls = self.tree.factory.calls.lock().unwrap();
        let (at, last) = match calls.iter().rev().find(|(_, call)| call.ends_with("start") || call.ends_with("finish"))
        {
            Some((at, call)) => (*at, call.ends_with("start")),
            None => return false,
        };
        last && weir_actors::clock::now() - at > Duration::from_secs(15)
    }

    async fn act_in(&mut self, slot: Slot, tick: u64) {
        let n = slot as usize;
        if self.encoders[n].grant.is_none() {
            if tick >= self.encoders[n].until {
                self.connect(slot, tick).await;
            }
            return;
        }
        if tick >= self.encoders[n].until {
            match self.dice.roll(12) {
                0..=3 => return self.leave(slot, tick).await,
                4 => self.toggle_blind(slot),
                5 => return self.reject(slot, tick).await,
                6 => self.connect(slot, tick).await,
                _ => self.encoders[n].sends = !self.encoders[n].sends,
            }
            self.encoders[n].until =
                tick + if self.encoders[n].sends { 20 + self.dice.roll(300) } else { 1 + self.dice.roll(70) };
        }
        if self.encoders[n].sends && tick >= self.encoders[n].next {
            self.send(slot, tick).await;
        }
    }

    /// A publisher comes; where one is already, only a silent one gives way.
    async fn connect(&mut self, slot: Slot, tick: u64) {
        self.hosts = self.hosts.wrapping_add(1);
        let before = self.facts.len();
        let asked = Publish { slot, ..publish(self.hosts) };
        let Ok(grant) = self.tree.try_publish(asked).await else { return };
        settle().await;
        let session = grant.session;
        let every = 3 + self.dice.roll(15);
        let encoder = Encoder {
            grant: Some(grant),
            next: tick,
            every,
            until: tick + 30 + self.dice.roll(300),
            sends: true,
            units: 0,
        };
        if let Some(displaced) = std::mem::replace(&mut self.encoders[slot as usize], encoder).grant {
            self.facts.insert(before, (tick, Fact::Ended(displaced.session)));
        }
        let admitted = self.facts.len();
        self.facts.insert(admitted, (tick, Fact::Admitted(slot, session)));
        self.newest[slot as usize] = Some(session);
        settle().await;
        self.take_told(tick);
    }

    async fn leave(&mut self, slot: Slot, tick: u64) {
        let quiet = tick + 1 + self.dice.roll(200);
        let said = self.dice.roll(2) == 0;
        let encoder =
            std::mem::replace(&mut self.encoders[slot as usize], Encoder { until: quiet, ..Encoder::default() });
        let Some(grant) = encoder.grant else { return };
        self.facts.push((tick, Fact::Ended(grant.session)));
        if said {
            grant.facts.try_send(IngestFact::Closed { reason: CloseReason::Unpublished }).unwrap();
        }
        drop(grant);
        settle().await;
        self.take_told(tick);
    }

    /// The worker gives it up.
    async fn reject(&mut self, slot: Slot, tick: u64) {
        let Some(session) = self.newest[slot as usize].filter(|_| self.worker_runs()) else { return };
        self.facts.push((tick, Fact::Undecodable(session)));
        let number = self.tree.factory.events.lock().unwrap().len();
        self.tree.factory.emit(number, PipelineEvent::Rejected { session, reason: "High 4:4:4".into() });
        settle().await;
        self.leave(slot, tick).await;
    }

    fn toggle_blind(&mut self, slot: Slot) {
        if let Some(session) = self.newest[slot as usize] {
            let mut blind = self.tree.factory.blind.lock().unwrap();
            if !blind.remove(&session) {
                blind.insert(session);
            }
        }
    }

    async fn send(&mut self, slot: Slot, tick: u64) {
        let encoder = &mut self.encoders[slot as usize];
        let Some(grant) = &mut encoder.grant else { return };
        encoder.next = tick + encoder.every;
        encoder.units += 1;
        let time = Timestamp::from_nanos(encoder.units as i64 * 100_000_000);
        let unit = AccessUnit { track: Track::Video, pts: time, dts: time, keyframe: true, data: vec![0; 10].into() };
        self.facts.push((tick, Fact::Arrived(grant.session)));
        grant.feed.push(unit);
        let at = weir_actors::clock::now();
        let fact = IngestFact::Media { at, bytes: encoder.units, video_units: encoder.units, audio_units: 0 };
        grant.facts.try_send(fact).unwrap();
        settle().await;
        self.take_told(tick);
    }

    /// What the tree shows, and whether the journal explains it.
    async fn look(&mut self, tick: u64) -> Result<Seen, String> {
        let detail = self.tree.detail().await;
        for entry in self.journal.after(self.read) {
            self.read = entry.seq;
            self.reader.read(tick, &entry, Times { stall: 30, hold: 150 })?;
        }
        let status = self.tree.board.get(STREAM);
        let live = [detail.slots[0].live, detail.slots[1].live];
        let told = self.reader.live.map(|since| since.is_some());
        if (live, [status.live, status.backup_live]) != (told, told) || detail.on_air != self.reader.on_air {
            return Err(format!(
                "tick {tick}: {live:?} {:?} is not what the journal tells: {:?}",
                detail.on_air, self.reader
            ));
        }
        if detail.on_air.is_some() && detail.shown != detail.on_air {
            return Err(format!("tick {tick}: {:?} is shown, {:?} on air", detail.shown, detail.on_air));
        }
        let inputs = self.reader.inputs.map(|input| input.unwrap_or((None, weir_policy::failover::InputState::Absent)));
        if [0, 1].map(|n| detail.slots[n].state) != inputs.map(|(_, state)| state) {
            return Err(format!("tick {tick}: {:?} is not what the journal tells: {inputs:?}", detail.slots));
        }
        let hold = detail.hold_remaining_s.map(|left| tick + (left * 10.0).ceil() as u64);
        let broadcasting = ["on_air", "holding"].contains(&detail.state.as_str());
        Ok(Seen { broadcasting, live, inputs, on_air: detail.on_air, decoded: [false; 2], hold })
    }
}

/// Plays one schedule; how many switches there were.
async fn play(seed: u64) -> Result<usize, String> {
    let standby = if seed.is_multiple_of(2) { Standby::Hot } else { Standby::Warm };
    let mut flaps = Flaps::new(seed, standby).await;
    let mut seen = vec![];
    for tick in 0..TICKS {
        tokio::time::sleep_until(flaps.start + TICK * tick as u32).await;
        flaps.act(tick).await;
        // Time goes on only when nobody has anything to do: all that is due now, and what a new worker says at once, is done by then.
        tokio::time::sleep_until(flaps.start + TICK * tick as u32 + TICK / 2).await;
        flaps.take_told(tick);
        seen.push(flaps.look(tick).await?);
    }
    let expected = Oracle::replay(policy(standby), &flaps.facts, TICKS - 1);
    for (tick, (seen, expected)) in seen.iter().zip(&expected).enumerate() {
        let expected = Seen { decoded: [false; 2], ..*expected };
        if *seen != expected {
            let around =
                flaps.facts.iter().filter(|(at, _)| (tick.saturating_sub(40)..=tick).contains(&(*at as usize)));
            return Err(format!(
                "tick {tick}:\n {seen:?} is\n {expected:?} by the oracle\n{:#?}",
                around.collect::<Vec<_>>()
            ));
        }
    }
    Ok(seen.windows(2).filter(|pair| pair[0].on_air != pair[1].on_air).count())
}

#[test]
fn two_hundred_random_flaps_are_switched_by_the_rule_and_explained() {
    let mut switches = 0;
    for seed in 1..=SCHEDULES {
        match actix_rt::System::new().block_on(play(seed)) {
            Ok(more) => switches += more,
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
    assert!(switches as u64 > 5 * SCHEDULES, "too tame: {switches} switches");
}
