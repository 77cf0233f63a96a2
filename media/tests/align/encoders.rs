//! What an encoder may do to a programme on its way.

use super::sounds::{RATE, Random, Sound, mix};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Encoder {
    Clean,
    /// This many decibels louder.
    Gain(f32),
    /// Only the left channel has sound.
    LeftOnly,
    /// As a low bit rate leaves it: 6 kHz of band, noise 18 dB under the signal in each block of 1,024.
    Codec,
    /// Through 44.1 kHz and back.
    Resampled,
    /// Another equaliser, and a compressor.
    Processed,
    /// Hiss 15 dB under the programme.
    Hiss,
    /// A commentator as loud as the programme.
    Commentary,
}

impl Encoder {
    pub fn pass(self, programme: &[f32], random: &mut Random) -> Vec<[f32; 2]> {
        let stereo = |mono: Vec<f32>| mono.into_iter().map(|x| [x; 2]).collect();
        match self {
            Self::Clean => stereo(programme.to_vec()),
            Self::Gain(decibels) => stereo(programme.iter().map(|x| x * 10f32.powf(decibels / 20.0)).collect()),
            Self::LeftOnly => programme.iter().map(|x| [*x, 0.0]).collect(),
            Self::Codec => stereo(codec(programme, random)),
            Self::Resampled => stereo(resample(&resample(programme, 48_000.0 / 44_100.0), 44_100.0 / 48_000.0)),
            Self::Processed => stereo(processed(programme)),
            Self::Hiss => {
                let level = 0.18 * rms(programme) * 3f32.sqrt();
                stereo(programme.iter().map(|x| x + level * random.noise()).collect())
            }
            Self::Commentary => {
                let speech = Sound::Speech.make(programme.len() as f64 / RATE as f64 + 0.1, random);
                let part = rms(programme) / rms(&speech).max(1e-9);
                stereo(mix(programme, &speech, part))
            }
        }
    }
}

pub fn rms(x: &[f32]) -> f32 {
    (x.iter().map(|x| x * x).sum::<f32>() / x.len().max(1) as f32).sqrt()
}

/// One-pole low-pass, forwards and backwards: no delay of its own.
fn low_pass(x: &[f32], hz: f32) -> Vec<f32> {
    let keep = (-2.0 * std::f32::consts::PI * hz / RATE as f32).exp();
    let mut out = x.to_vec();
    for _ in 0..2 {
        let mut last = 0.0;
        for sample in &mut out {
            last = (1.0 - keep) * *sample + keep * last;
            *sample = last;
        }
        out.reverse();
    }
    out
}

fn codec(programme: &[f32], random: &mut Random) -> Vec<f32> {
    let mut out = low_pass(programme, 6_000.0);
    for block in out.chunks_mut(1_024) {
        let noise = 0.125 * rms(block) * 3f32.sqrt();
        for sample in block {
            *sample = ((*sample + noise * random.noise()) * 512.0).round() / 512.0;
        }
    }
    out
}

/// More treble, less bass, and the level evened out over 50 ms.
fn processed(programme: &[f32]) -> Vec<f32> {
    let bass = low_pass(programme, 400.0);
    let mut level = 0.01f32;
    let shaped = programme.iter().zip(&bass).map(|(x, bass)| {
        let x = 1.5 * x - 0.8 * bass;
        level += (x.abs() - level) / 2_400.0;
        0.1 * x / level.max(0.005).sqrt()
    });
    shaped.collect()
}

/// The programme read `step` samples at a time, by cubic interpolation.
pub fn resample(x: &[f32], step: f64) -> Vec<f32> {
    let at = |k: usize| x.get(k).copied().unwrap_or(0.0);
    let len = (x.len() as f64 / step) as usize;
    let read = |k: usize| {
        let place = k as f64 * step;
        let (whole, t) = (place as usize, place.fract() as f32);
        let [a, b, c, d] = [at(whole.saturating_sub(1)), at(whole), at(whole + 1), at(whole + 2)];
        b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
    };
    (0..len).map(read).collect()
}
