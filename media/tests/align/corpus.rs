//! Every kind of pair that the aligner meets, from seeds that are kept in `seeds.txt`, as one table.
//!
//! A window is one measurement. A lock is wrong where nothing may lock, or where its offset is more than [`ERROR_MS`] off at any
//! measurement while it stands. Time to lock counts from the instant from which both inputs are delivered; they sound from there on.

use std::fs;
use std::path::PathBuf;

use super::coded::{CODECS, coded};
use super::encoders::{Encoder, resample};
use super::pair::{Outcome, Pair};
use super::sounds::{RATE, Random, Sound};
use super::{ERROR_MS, LAG, LEAD, LOCK_SECONDS};

/// A line for each kind: its name, its seeds. One that ever failed stays.
const SEEDS: &str = include_str!("seeds.txt");
/// Lags of the loop that two encoders push as a file, seconds.
const LOOP_LAGS: [f64; 3] = [0.0, 0.7, -0.5];

/// What both inputs have in common.
#[derive(Clone, Copy, Debug)]
enum Common {
    /// One programme.
    Programme(Sound),
    /// One programme that is the same at more than one lag, or has nothing to hold on to.
    Repeating(Sound),
    /// Two programmes.
    Nothing(Sound, Sound),
}

/// What is done to the sound before it is coded.
#[derive(Clone, Copy, Debug)]
enum Way {
    Plain,
    /// Each input has its own level, -40 to 0 dB.
    Levels,
    /// b goes through another equaliser and a compressor.
    Processed,
    /// b's clock is 100 ppm fast or slow.
    Drift,
    /// Each input has its own commentator, as loud as the programme.
    Commentaries,
}

struct Kind {
    name: &'static str,
    common: Common,
    way: Way,
}

const fn one(name: &'static str, sound: Sound, way: Way) -> Kind {
    Kind { name, common: Common::Programme(sound), way }
}

const fn repeating(name: &'static str, sound: Sound) -> Kind {
    Kind { name, common: Common::Repeating(sound), way: Way::Plain }
}

const fn two(name: &'static str, a: Sound, b: Sound) -> Kind {
    Kind { name, common: Common::Nothing(a, b), way: Way::Plain }
}

const KINDS: [Kind; 41] = [
    one("speech", Sound::Speech, Way::Plain),
    one("music", Sound::Music, Way::Plain),
    one("speech over music", Sound::Mix, Way::Plain),
    one("noise", Sound::Noise, Way::Plain),
    one("applause", Sound::Applause, Way::Plain),
    one("speech, levels", Sound::Speech, Way::Levels),
    one("music, levels", Sound::Music, Way::Levels),
    one("noise, levels", Sound::Noise, Way::Levels),
    one("speech, processed", Sound::Speech, Way::Processed),
    one("music, processed", Sound::Music, Way::Processed),
    one("speech over music, processed", Sound::Mix, Way::Processed),
    one("speech, drift", Sound::Speech, Way::Drift),
    one("music, drift", Sound::Music, Way::Drift),
    one("speech over music, drift", Sound::Mix, Way::Drift),
    one("noise, drift", Sound::Noise, Way::Drift),
    one("music, two commentaries", Sound::Music, Way::Commentaries),
    one("applause, two commentaries", Sound::Applause, Way::Commentaries),
    one("loop of 10 s", Sound::Loop(10.0), Way::Plain),
    repeating("silence", Sound::Silence),
    repeating("1 kHz sine", Sound::Sine),
    repeating("chord", Sound::Chord),
    repeating("hum", Sound::Hum),
    repeating("metronome", Sound::Metronome),
    repeating("loop of 0.5 s", Sound::Loop(0.5)),
    repeating("loop of 1 s", Sound::Loop(1.0)),
    repeating("loop of 2 s", Sound::Loop(2.0)),
    repeating("loop of 4 s", Sound::Loop(4.0)),
    two("two speakers", Sound::Speech, Sound::Speech),
    two("two pieces of music", Sound::Music, Sound::Music),
    two("two pieces, one beat", Sound::Beat(120.0), Sound::Beat(120.0)),
    two("two mixes", Sound::Mix, Sound::Mix),
    two("two noises", Sound::Noise, Sound::Noise),
    two("two applauses", Sound::Applause, Sound::Applause),
    two("two hums", Sound::Hum, Sound::Hum),
    two("two loops of 1 s", Sound::Loop(1.0), Sound::Loop(1.0)),
    two("two loops of 4 s", Sound::Loop(4.0), Sound::Loop(4.0)),
    two("speech and music", Sound::Speech, Sound::Music),
    two("speech and noise", Sound::Speech, Sound::Noise),
    two("music and applause", Sound::Music, Sound::Applause),
    two("music and silence", Sound::Music, Sound::Silence),
    two("sine and speech", Sound::Sine, Sound::Speech),
];

/// Where the codecs come from.
enum Coder {
    /// The `ffmpeg` command, with files in this folder.
    Real(PathBuf),
    /// What a low bit rate leaves, without a codec.
    Imitated,
}

impl Coder {
    fn pass(&self, sound: &[[f32; 2]], random: &mut Random) -> Vec<[f32; 2]> {
        let codec = CODECS[random.below(CODECS.len())];
        match self {
            Self::Real(folder) => coded(sound, codec, folder),
            Self::Imitated => Encoder::Codec.pass(&sound.iter().map(|[left, _]| *left).collect::<Vec<_>>(), random),
        }
    }
}

/// What two encoders make of a kind of pair. `b` has at `index / rate` what `a` has at `index`.
struct Inputs {
    a: Vec<[f32; 2]>,
    b: Vec<[f32; 2]>,
    rate: f64,
}

impl Kind {
    fn make(&self, seconds: f64, coder: &Coder, random: &mut Random) -> Inputs {
        let (first, second) = match self.common {
            Common::Programme(sound) | Common::Repeating(sound) => (sound.make(seconds, random), None),
            Common::Nothing(a, b) => (a.make(seconds, random), Some(b.make(seconds, random))),
        };
        let rate = if matches!(self.way, Way::Drift) { 1.0 + [-100e-6, 100e-6][random.below(2)] } else { 1.0 };
        let second = second.unwrap_or_else(|| if rate == 1.0 { first.clone() } else { resample(&first, rate) });
        let mut level = || Encoder::Gain(random.range(-40.0, 0.0) as f32);
        let [at_a, at_b] = match self.way {
            Way::Plain | Way::Drift => [Encoder::Clean; 2],
            Way::Levels => [level(), level()],
            Way::Processed => [Encoder::Clean, Encoder::Processed],
            Way::Commentaries => [Encoder::Commentary; 2],
        };
        let [a, b] = [at_a.pass(&first, random), at_b.pass(&second, random)].map(|sound| coder.pass(&sound, random));
        Inputs { a, b, rate }
    }

    fn may_lock(&self) -> bool {
        matches!(self.common, Common::Programme(_))
    }

    /// Where each has a voice of its own as loud as the programme, likeness lies about its least: some pairs are refused.
    fn locks_in_time(&self) -> bool {
        self.may_lock() && !matches!(self.way, Way::Commentaries)
    }

    fn lag(&self, pair: usize, random: &mut Random) -> f64 {
        match self.common {
            Common::Programme(Sound::Loop(_)) => LOOP_LAGS[pair % LOOP_LAGS.len()],
            _ => random.range(-LAG, LAG),
        }
    }

    fn seeds(&self) -> Vec<u64> {
        let of_kind = |line: &&str| line.split_once(':').is_some_and(|(name, _)| name == self.name);
        let line = SEEDS.lines().find(of_kind).unwrap_or_else(|| panic!("no seeds for {}", self.name));
        line.split_once(':').unwrap().1.split_whitespace().map(|seed| seed.parse().unwrap()).collect()
    }
}

impl Inputs {
    /// A pair of `length` samples from `from` on, in which b is `lag` seconds late.
    fn run(&self, from: usize, length: usize, lag: f64) -> Outcome {
        let from_b = (from as f64 / self.rate - lag * RATE as f64).round() as usize;
        let b_index = |index: f64| (from as f64 + index) / self.rate - from_b as f64;
        Pair { a: &self.a[from..from + length], b: &self.b[from_b..from_b + length], b_index: &b_index }.run()
    }
}

/// What is counted of one kind.
#[derive(Default)]
struct Row {
    pairs: usize,
    windows: usize,
    locked_windows: usize,
    times: Vec<f64>,
    errors: Vec<f64>,
    wrong: usize,
}

impl Row {
    /// Counts a pair, and says what is wrong with it.
    fn add(&mut self, outcome: &Outcome, may_lock: bool, in_time: bool) -> Option<String> {
        let errors: Vec<f64> = outcome.steps.iter().filter_map(|step| step.error_ms).map(f64::abs).collect();
        // Asked this way round, what is no number is wrong.
        let right = |error: &&f64| may_lock && **error <= ERROR_MS;
        let wrong = errors.len() - errors.iter().filter(right).count();
        let time = outcome.time_to_lock();
        self.pairs += 1;
        self.windows += outcome.steps.len();
        self.locked_windows += errors.len();
        self.times.extend(time);
        self.errors.extend(&errors);
        self.wrong += wrong;
        if wrong > 0 {
            return Some(format!(
                "{wrong} of {} locked windows are wrong, up to {:.1} ms",
                errors.len(),
                outcome.worst_ms()
            ));
        }
        let verdicts = || outcome.steps.iter().map(|step| step.measurement.verdict.err()).collect::<Vec<_>>();
        let late = in_time && time.is_none_or(|time| time > LOCK_SECONDS);
        late.then(|| format!("locks after {time:?} s: {:?}", verdicts()))
    }
}

fn print(name: &str, row: &mut Row) {
    row.times.sort_by(f64::total_cmp);
    row.errors.sort_by(f64::total_cmp);
    let of = |figures: &[f64], digits: usize| match figures {
        [] => "-".to_owned(),
        [.., last] => format!("{:.digits$} / {last:.digits$}", figures[figures.len() / 2]),
    };
    println!(
        "{name:28} | {:5} | {:7} | {:5} | {:>10} | {:>13} | {:5}",
        row.pairs,
        row.windows,
        row.times.len(),
        of(&row.times, 1),
        of(&row.errors, 3),
        row.wrong
    );
}

/// Runs `most` seeds of each kind, `pairs` pairs of `seconds` from each; returns how many windows were measured.
fn run(coder: &Coder, most: usize, pairs: usize, seconds: usize) -> usize {
    let length = seconds * RATE;
    let (mut failures, mut whole) = (vec![], Row::default());
    println!("kind                         | pairs | windows | locks | s to lock  | error, ms     | wrong");
    for kind in &KINDS {
        let mut row = Row::default();
        for seed in kind.seeds().into_iter().take(most) {
            let mut random = Random::new(seed);
            let inputs = kind.make((2 * LEAD + pairs * length) as f64 / RATE as f64, coder, &mut random);
            for pair in 0..pairs {
                let lag = kind.lag(pair, &mut random);
                let outcome = inputs.run(LEAD + pair * length, length, lag);
                let name = kind.name;
                let failure = row.add(&outcome, kind.may_lock(), kind.locks_in_time());
                failures.extend(failure.map(|why| format!("{name}, seed {seed}, pair {pair}, {lag:.2} s: {why}")));
            }
        }
        print(kind.name, &mut row);
        whole.pairs += row.pairs;
        whole.windows += row.windows;
        whole.locked_windows += row.locked_windows;
        whole.wrong += row.wrong;
        whole.times.append(&mut row.times);
        whole.errors.append(&mut row.errors);
    }
    print("all", &mut whole);
    println!("median / largest; {} windows were locked; seeds are those of seeds.txt", whole.locked_windows);
    assert!(failures.is_empty(), "{} pairs failed:\n{}", failures.len(), failures.join("\n"));
    whole.windows
}

#[test]
fn the_corpus_in_short() {
    assert!(run(&Coder::Imitated, 1, 1, 11) >= 80);
}

#[test]
#[ignore = "minutes, and needs ffmpeg with aac and libopus"]
fn corpus() {
    let folder = std::env::temp_dir().join(format!("weir-corpus-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let windows = run(&Coder::Real(folder.clone()), usize::MAX, 3, 15);
    fs::remove_dir_all(folder).unwrap();
    assert!(windows >= 2_000, "{windows}");
}
