//! Programmes made from a seed: 48 kHz mono, about -20 dBFS.

use std::f32::consts::PI;

pub const RATE: usize = 48_000;

/// Xorshift: the same numbers everywhere for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Uniform in `from..to`.
    pub fn range(&mut self, from: f64, to: f64) -> f64 {
        from + (self.next() >> 11) as f64 / (1u64 << 53) as f64 * (to - from)
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    /// White noise, -1 to 1.
    pub fn noise(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sound {
    Speech,
    Music,
    /// Music of so many beats a minute.
    Beat(f64),
    /// Speech over music.
    Mix,
    Noise,
    /// Dense short bursts of noise.
    Applause,
    Silence,
    Sine,
    Chord,
    /// 50 Hz with overtones, and a little hiss.
    Hum,
    /// A click each half second.
    Metronome,
    /// Music that repeats after this many seconds.
    Loop(f64),
}

impl Sound {
    pub fn make(self, seconds: f64, random: &mut Random) -> Vec<f32> {
        let len = (seconds * RATE as f64) as usize;
        let tone = |hz: f32| (0..len).map(move |k| (2.0 * PI * hz * (k % RATE) as f32 / RATE as f32).sin());
        match self {
            Self::Speech => speech(len, random),
            Self::Music => music(len, random.range(90.0, 140.0), random),
            Self::Beat(tempo) => music(len, tempo, random),
            Self::Mix => mix(&speech(len, random), &music(len, 100.0, random), 0.5),
            Self::Noise => noise(len, random),
            Self::Applause => applause(len, random),
            Self::Silence => vec![0.0; len],
            Self::Sine => tone(1_000.0).map(|x| 0.1 * x).collect(),
            Self::Chord => mix(&mix3(tone(262.0), tone(330.0), tone(392.0)), &tone(523.0).collect::<Vec<_>>(), 1.0),
            Self::Hum => mix3(tone(50.0), tone(100.0), tone(150.0).map(|x| x + 0.001 * random.noise())),
            Self::Metronome => metronome(len, random),
            Self::Loop(period) => {
                let turn = music((period * RATE as f64) as usize, 120.0, random);
                turn.iter().copied().cycle().take(len).collect()
            }
        }
    }
}

pub fn mix(a: &[f32], b: &[f32], part: f32) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + part * b).collect()
}

fn mix3(a: impl Iterator<Item = f32>, b: impl Iterator<Item = f32>, c: impl Iterator<Item = f32>) -> Vec<f32> {
    a.zip(b).zip(c).map(|((a, b), c)| 0.1 * a + 0.05 * b + 0.03 * c).collect()
}

/// A second-order resonator.
#[derive(Clone, Copy)]
struct Resonator {
    feedback: [f32; 2],
    gain: f32,
    last: [f32; 2],
}

impl Resonator {
    fn new(hz: f32, width: f32) -> Self {
        let radius = (-PI * width / RATE as f32).exp();
        let feedback = [2.0 * radius * (2.0 * PI * hz / RATE as f32).cos(), -radius * radius];
        Self { feedback, gain: 1.0 - radius, last: [0.0; 2] }
    }

    /// Answers without the gain for its width.
    fn ring(&mut self, x: f32) -> f32 {
        self.pass(x / self.gain)
    }

    fn pass(&mut self, x: f32) -> f32 {
        let y = self.gain * x + self.feedback[0] * self.last[0] + self.feedback[1] * self.last[1];
        self.last = [y, self.last[0]];
        y
    }
}

/// Syllables: a pulse train with a gliding pitch, or noise, through three formants; pauses between, some of them long.
fn speech(len: usize, random: &mut Random) -> Vec<f32> {
    let mut out = Vec::with_capacity(len);
    let voice = random.range(90.0, 220.0);
    while out.len() < len {
        let syllable = (random.range(0.1, 0.3) * RATE as f64) as usize;
        let voiced = random.range(0.0, 1.0) < 0.75;
        let mut formants = if voiced {
            [(250.0, 800.0), (900.0, 2_300.0), (2_300.0, 3_200.0)].map(|(low, high)| (random.range(low, high), 90.0))
        } else {
            [(1_800.0, 3_000.0), (3_000.0, 5_000.0), (5_000.0, 7_000.0)]
                .map(|(low, high)| (random.range(low, high), 700.0))
        }
        .map(|(hz, width)| Resonator::new(hz as f32, width));
        let (mut phase, mut pitch) = (0.0, voice * random.range(0.8, 1.25));
        let glide = random.range(-0.3, 0.3) * pitch / syllable as f64;
        for k in 0..syllable {
            phase += pitch / RATE as f64;
            pitch += glide;
            let pulse = phase >= 1.0;
            phase = phase.fract();
            let source = if voiced { if pulse { 12.0 } else { 0.02 * random.noise() } } else { 0.6 * random.noise() };
            let envelope = (PI * k as f32 / syllable as f32).sin();
            out.push(envelope * formants.iter_mut().map(|formant| formant.pass(source)).sum::<f32>());
        }
        let pause = if random.range(0.0, 1.0) < 0.1 { random.range(0.3, 0.9) } else { random.range(0.02, 0.12) };
        out.extend(std::iter::repeat_n(0.0, (pause * RATE as f64) as usize));
    }
    out.truncate(len);
    out
}

/// Chords on the beat, a random melody on the half beat, a drum: on a strict beat, as music is.
fn music(len: usize, tempo: f64, random: &mut Random) -> Vec<f32> {
    const SCALE: [f32; 7] = [0.0, 2.0, 4.0, 5.0, 7.0, 9.0, 11.0];
    let mut out = vec![0.0; len];
    let step = (RATE as f64 * 30.0 / tempo) as usize;
    for (half_beat, start) in (0..len).step_by(step).enumerate() {
        let notes = if half_beat % 2 == 0 { 3 } else { 1 };
        for _ in 0..notes {
            let semitones = SCALE[random.below(7)] + 12.0 * random.below(3) as f32;
            let hz = 130.8 * (semitones / 12.0).exp2();
            // A struck resonator rings as a decaying tone does.
            let width = random.range(0.5, 2.0) as f32;
            let mut partials =
                [(1.0, 0.06), (2.0, 0.06), (3.0, 0.05)].map(|(n, level)| (Resonator::new(n * hz, width), n * level));
            for (k, sample) in out[start..].iter_mut().take(2 * step).enumerate() {
                let strike = if k == 0 { hz * RATE as f32 / 8e6 } else { 0.0 };
                *sample += partials.iter_mut().map(|(partial, level)| partial.ring(*level * strike)).sum::<f32>();
            }
        }
        for (k, sample) in out[start..].iter_mut().take(step / 2).enumerate() {
            *sample += 0.08 * (-(k as f32) / 1_500.0).exp() * random.noise();
        }
    }
    out
}

/// Noise that falls by 6 dB per octave above 600 Hz.
fn noise(len: usize, random: &mut Random) -> Vec<f32> {
    let mut last = 0.0;
    let mut next = || {
        last += 0.08 * (random.noise() - last);
        last
    };
    (0..len).map(|_| next()).collect()
}

/// Claps, each coloured as noise is here.
fn applause(len: usize, random: &mut Random) -> Vec<f32> {
    let mut strength = 0.0;
    let mut out = noise(len, random);
    for sample in &mut out {
        strength = if random.below(400) == 0 { random.range(0.5, 3.0) as f32 } else { strength * 0.995 };
        *sample *= strength;
    }
    out
}

fn metronome(len: usize, random: &mut Random) -> Vec<f32> {
    let click: Vec<f32> = (0..2_000).map(|k| 0.3 * (-(k as f32) / 300.0).exp() * random.noise()).collect();
    let mut out = vec![0.0; len];
    for start in (0..len).step_by(RATE / 2) {
        out[start..].iter_mut().zip(&click).for_each(|(sample, x)| *sample += x);
    }
    out
}
