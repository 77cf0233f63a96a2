//! The aligner as the worker uses it: inputs that stall, come back, begin silent or fall silent, and files pushed in a loop.

use super::encoders::Encoder;
use super::sounds::{RATE, Random, Sound};
use super::{ERROR_MS, LOCK_SECONDS};
use weir_media::align::{Aligner, SearchRange, State, Tap};

/// Samples that are delivered at a time: an AAC frame.
const BLOCK: usize = 1_024;
/// Where both programmes begin before the inputs do, samples: more than any lag.
const LEAD: i64 = 6 * RATE as i64;

/// One input: the programme as its encoder makes it, numbered on its own timeline.
struct Input {
    sound: Vec<[f32; 2]>,
    tap: Tap,
    /// Number of `sound[0]`.
    base: i64,
    /// How late it is, samples.
    lag: i64,
    /// Up to where it is delivered; `None` before it begins.
    sent: Option<i64>,
}

impl Input {
    fn new(sound: Vec<[f32; 2]>, base: i64, lag: f64) -> Self {
        Self { sound, tap: Tap::new(SearchRange::default()), base, lag: samples(lag), sent: None }
    }

    /// Delivers what has been said up to `now`.
    fn deliver(&mut self, now: i64) {
        let to = LEAD + now - self.lag;
        let from = self.sent.replace(to).unwrap_or(to);
        for at in (from..to).step_by(BLOCK) {
            self.tap.push(self.base + at, &self.sound[at as usize..to.min(at + BLOCK as i64) as usize]);
        }
    }

    /// A new session: another timeline, another lag.
    fn reconnect(&mut self, base: i64, lag: f64) {
        (self.tap, self.base, self.lag, self.sent) = (Tap::new(SearchRange::default()), base, samples(lag), None);
    }
}

fn samples(seconds: f64) -> i64 {
    (seconds * RATE as f64) as i64
}

/// A pair of inputs of one programme.
struct Worker {
    aligner: Aligner,
    inputs: [Input; 2],
    now: i64,
    windows: u32,
}

/// What is held at one instant.
#[derive(Clone, Copy, Debug)]
struct Seen {
    seconds: f64,
    /// Number of the lock, and its error at the newest sound of a.
    lock: Option<(u32, f64)>,
}

impl Worker {
    fn new(a: Input, b: Input) -> Self {
        Self { aligner: Aligner::new(SearchRange::default()), inputs: [a, b], now: 0, windows: 0 }
    }

    /// The same sound by two encoders.
    fn of(programme: &[f32], lag: f64, random: &mut Random) -> Self {
        let [a, b] = [Encoder::Codec, Encoder::Resampled].map(|encoder| encoder.pass(programme, random));
        Self::new(Input::new(a, 1_017, 0.0), Input::new(b, 48_000_005, lag))
    }

    /// Goes on until `seconds`; the inputs for which `stalls` says so deliver nothing meanwhile, and all of it later.
    fn run(&mut self, seconds: f64, stalls: [bool; 2]) -> Vec<Seen> {
        let mut seen = vec![];
        while self.now < samples(seconds) {
            self.now += BLOCK as i64;
            for (input, _) in self.inputs.iter_mut().zip(stalls).filter(|(_, stalls)| !stalls) {
                input.deliver(self.now);
            }
            let [a, b] = &self.inputs;
            self.windows += u32::from(self.aligner.take(&a.tap, &b.tap).map(|windows| windows.measure()).is_some());
            let lock = match self.aligner.state() {
                State::Locked(alignment) => {
                    let newest = (a.base + a.sent.unwrap()) * 1_000_000 / 48;
                    let truth = (b.base - a.base) as f64 / 48.0;
                    Some((alignment.number, alignment.offset_at(newest) as f64 / 1e6 - truth))
                }
                _ => None,
            };
            seen.push(Seen { seconds: self.now as f64 / RATE as f64, lock });
        }
        assert_right(&seen);
        seen
    }
}

fn assert_right(seen: &[Seen]) {
    let wrong = seen.iter().find(|seen| seen.lock.is_some_and(|(_, error)| error.abs() > ERROR_MS));
    assert!(wrong.is_none(), "{wrong:?}");
}

/// When a lock stands first.
fn locked(seen: &[Seen]) -> f64 {
    seen.iter().find(|seen| seen.lock.is_some()).map_or(f64::INFINITY, |seen| seen.seconds)
}

fn always_locked(seen: &[Seen], number: u32) -> bool {
    seen.iter().all(|seen| seen.lock.is_some_and(|lock| lock.0 == number))
}

const BOTH: [bool; 2] = [false; 2];

#[test]
fn a_session_that_reconnects_is_found_again_in_time() {
    for (seed, side) in [(3_000, 0), (3_001, 1)] {
        let mut random = Random::new(seed);
        let programme = Sound::Mix.make(60.0, &mut random);
        let mut worker = Worker::of(&programme, 0.7, &mut random);
        assert!(locked(&worker.run(20.0, BOTH)) <= LOCK_SECONDS);
        let mut stalls = BOTH;
        stalls[side] = true;
        worker.run(23.0, stalls);
        worker.inputs[side].reconnect(7_777_777, -1.1);
        worker.aligner.restart();
        let time = locked(&worker.run(45.0, BOTH)) - 23.0;
        println!("input {side} comes back: locked after {time:.1} s");
        assert!(time <= LOCK_SECONDS);
    }
}

#[test]
fn a_stall_that_is_caught_up_keeps_the_lock() {
    for (seed, side) in [(3_010, 0), (3_011, 1)] {
        let mut random = Random::new(seed);
        let programme = Sound::Mix.make(60.0, &mut random);
        let mut worker = Worker::of(&programme, -0.5, &mut random);
        let mut stalls = BOTH;
        stalls[side] = true;
        worker.run(5.0, BOTH);
        worker.run(8.0, stalls);
        let time = locked(&worker.run(20.0, BOTH));
        println!("input {side} stalls for 3 s before the lock: locked after {time:.1} s");
        // Nothing is heard while it stalls.
        assert!(time <= LOCK_SECONDS + 3.0);
        for until in [23.0, 33.0, 40.0] {
            assert!(always_locked(&worker.run(until, if until == 23.0 { stalls } else { BOTH }), 1));
        }
    }
}

#[test]
fn a_stall_that_leaves_a_hole_in_the_timeline_is_found_again_in_time() {
    let mut random = Random::new(3_020);
    let programme = Sound::Mix.make(60.0, &mut random);
    let mut worker = Worker::of(&programme, -0.5, &mut random);
    assert!(locked(&worker.run(20.0, BOTH)) <= LOCK_SECONDS);
    worker.run(23.0, [false, true]);
    // What was said meanwhile is never delivered.
    worker.inputs[1].sent = None;
    let seen = worker.run(45.0, BOTH);
    let time = seen.iter().rfind(|seen| seen.lock.is_none()).unwrap().seconds - 23.0;
    println!("a hole of 3 s: locked after {time:.1} s");
    assert!(time <= LOCK_SECONDS);
}

#[test]
fn an_input_that_stays_late_after_a_stall_keeps_the_lock() {
    let mut random = Random::new(3_030);
    let programme = Sound::Mix.make(60.0, &mut random);
    let mut worker = Worker::of(&programme, -0.5, &mut random);
    worker.run(20.0, BOTH);
    assert!(always_locked(&worker.run(23.0, [false, true]), 1));
    worker.inputs[1].lag += samples(3.0);
    assert!(always_locked(&worker.run(45.0, BOTH), 1));
}

#[test]
fn sound_that_begins_late_locks_in_time() {
    for (seed, lag) in [(3_040, 0.0), (3_041, 0.7), (3_042, -2.5), (3_043, 4.5)] {
        let mut random = Random::new(seed);
        let mut programme = Sound::Speech.make(60.0, &mut random);
        programme[..LEAD as usize + 20 * RATE].fill(0.0);
        let mut worker = Worker::of(&programme, lag, &mut random);
        // Both sound from then on.
        let time = locked(&worker.run(45.0, BOTH)) - 20.0 - f64::max(lag, 0.0);
        println!("sound after 20 s, {lag} s late: locked after {time:.1} s");
        assert!(time <= LOCK_SECONDS);
    }
}

#[test]
fn one_side_going_silent_is_never_wrong_and_found_again_in_time() {
    for (seed, sound) in [(3_050, Sound::Speech), (3_051, Sound::Mix), (3_052, Sound::Noise)] {
        for side in [0, 1] {
            let mut random = Random::new(seed);
            let programme = sound.make(70.0, &mut random);
            let mut worker = Worker::of(&programme, 0.7, &mut random);
            let (from, to) = (LEAD as usize + 20 * RATE, LEAD as usize + 30 * RATE);
            worker.inputs[side].sound[from..to].fill([0.0; 2]);
            assert!(always_locked(&worker.run(20.0, BOTH)[samples(10.0) as usize / BLOCK..], 1));
            let seen = worker.run(50.0, BOTH);
            let lost = seen.iter().find(|seen| seen.lock.is_none()).map(|seen| seen.seconds - 20.0);
            let since = if side == 1 { 30.7 } else { 30.0 };
            let again = seen.iter().rfind(|seen| seen.lock.is_none()).map_or(0.0, |seen| seen.seconds - since);
            println!(
                "{sound:?}, input {side} silent for 10 s: lost after {lost:?}, locked again {again:.1} s after its end"
            );
            assert!(again <= LOCK_SECONDS);
        }
    }
}

#[test]
fn a_file_pushed_in_a_loop_locks_right() {
    for (seed, lag) in [(3_060, 0.0), (3_061, 0.7), (3_062, -0.5)] {
        let mut random = Random::new(seed);
        let turn = Sound::Mix.make(10.0, &mut random);
        let looped: Vec<f32> = turn.iter().copied().cycle().take(80 * RATE).collect();
        let mut worker = Worker::of(&looped, lag, &mut random);
        let seen = worker.run(60.0, BOTH);
        let time = locked(&seen);
        println!("a loop of 10 s, {lag} s late: locked after {time:.1} s");
        assert!(time <= LOCK_SECONDS && always_locked(&seen[samples(time) as usize / BLOCK..], 1));
    }
}
