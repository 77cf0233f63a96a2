//! Bilinear scaling of one 8-bit plane, with tables made once per pair of sizes.
//!
//! Pixel centres are aligned: target pixel `x` lies at source position `(x + 0.5) * source / target - 0.5`, held inside the plane.
//! Each row is blended from two source rows first, which any compiler vectorises, then its pixels from pairs of neighbours. Gathering
//! these pairs is what is slow one by one: with SSSE3 a byte shuffle does it, eight pixels at a time, with the same result bit for bit.
//! Exact halves are the mean of two by two pixels. Beyond halves pixels are skipped, as any two-tap scaler does.

/// Sum of the two weights of a pair of neighbours. The pair sum of pixels then fits 16 signed bits.
const ACROSS: u32 = 128;
/// Sum of the two weights of a pair of rows. The sum with its rounding then fits 16 unsigned bits.
const DOWN: u32 = 256;
/// Bytes behind a blended row that may be read but count for nothing.
const PADDING: usize = 16;

/// Width and height of a plane, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: usize,
    pub height: usize,
}

/// Scales planes of one size to another one.
pub struct PlaneScaler {
    source: Size,
    target: Size,
    columns: Vec<Pair>,
    rows: Vec<Tap>,
    row: Vec<u8>,
    #[cfg(target_arch = "x86_64")]
    groups: Vec<ssse3::Group>,
}

impl PlaneScaler {
    /// Makes the tables.
    pub fn new(source: Size, target: Size) -> Self {
        let columns: Vec<Pair> = taps(source.width, target.width, ACROSS).map(Pair::from).collect();
        Self {
            source,
            target,
            #[cfg(target_arch = "x86_64")]
            groups: ssse3::groups(&columns),
            columns,
            rows: taps(source.height, target.height, DOWN).collect(),
            row: vec![0; source.width + PADDING],
        }
    }

    /// Scales `from` to `to`, whose rows begin `from_stride` and `to_stride` bytes apart. `None` when a plane is too short, `to` is
    /// then undefined.
    pub fn scale(&mut self, from: &[u8], from_stride: usize, to: &mut [u8], to_stride: usize) -> Option<()> {
        let Size { width, height } = self.source;
        let source = |y: usize| from.get(y.checked_mul(from_stride)?..)?.get(..width);
        let halves = (width, height) == (2 * self.target.width, 2 * self.target.height);
        for (y, tap) in self.rows.iter().enumerate() {
            let target = to.get_mut(y.checked_mul(to_stride)?..)?.get_mut(..self.target.width)?;
            if halves {
                average(source(2 * y)?, source(2 * y + 1)?, target);
                continue;
            }
            let next = if tap.weight == 0 { tap.first } else { tap.first + 1 };
            blend(source(tap.first)?, source(next)?, tap.weight, self.row.get_mut(..width)?);
            #[cfg(target_arch = "x86_64")]
            let done = ssse3::interpolate(&self.row, &self.groups, target);
            #[cfg(not(target_arch = "x86_64"))]
            let done = 0;
            interpolate(&self.row, self.columns.get(done..)?, target.get_mut(done..)?);
        }
        Some(())
    }
}

/// Where a target pixel lies along one axis: between `first` and the pixel after it, which has `weight`. At `first` when that is 0;
/// only then may `first` be the last one.
#[derive(Clone, Copy)]
struct Tap {
    first: usize,
    weight: u16,
}

fn taps(source: usize, target: usize, sum: u32) -> impl Iterator<Item = Tap> {
    let (last, sum) = (source.saturating_sub(1), u64::from(sum));
    let (source, target) = (source as u64, target as u64);
    (0..target).map(move |x| {
        // In units of half a source pixel over `target`, so that nothing is rounded before the weight is.
        let position = ((2 * x + 1) * source).saturating_sub(target);
        let weight = ((position % (2 * target)) * sum + target) / (2 * target);
        // A weight that rounds up to all of it is the next pixel's.
        let first = (position / (2 * target) + weight / sum) as usize;
        if first >= last { Tap { first: last, weight: 0 } } else { Tap { first, weight: (weight % sum) as u16 } }
    })
}

/// A pair of pixels of a row and their weights, which are at most 127 because SSSE3 takes them as signed bytes.
#[derive(Clone, Copy)]
struct Pair {
    pixels: [usize; 2],
    weights: [i8; 2],
}

impl From<Tap> for Pair {
    fn from(Tap { first, weight }: Tap) -> Self {
        let half = (ACROSS / 2) as i8;
        match weight {
            // All of one pixel is twice the half of it.
            0 => Self { pixels: [first; 2], weights: [half; 2] },
            _ => Self { pixels: [first, first + 1], weights: [(ACROSS as u16 - weight) as i8, weight as i8] },
        }
    }
}

/// Blends two rows; `weight` out of [`DOWN`] is that of `below`. Nothing wraps: the operators say so to have no checks in the loop.
fn blend(above: &[u8], below: &[u8], weight: u16, to: &mut [u8]) {
    let rest = (DOWN as u16).wrapping_sub(weight);
    for ((to, above), below) in to.iter_mut().zip(above).zip(below) {
        let sum = u16::from(*above).wrapping_mul(rest).wrapping_add(u16::from(*below).wrapping_mul(weight));
        *to = (sum.wrapping_add(DOWN as u16 / 2) >> 8) as u8;
    }
}

/// The pixels of a row at `columns`.
fn interpolate(row: &[u8], columns: &[Pair], to: &mut [u8]) {
    for (to, Pair { pixels, weights }) in to.iter_mut().zip(columns) {
        let sum = i32::from(row[pixels[0]]) * i32::from(weights[0]) + i32::from(row[pixels[1]]) * i32::from(weights[1]);
        *to = ((sum + ACROSS as i32 / 2) >> 7) as u8;
    }
}

/// The means of two by two pixels. Pairs are taken as words, because their halves are then cheap to tell apart in a vector; as in
/// [`blend`], nothing wraps.
fn average(above: &[u8], below: &[u8], to: &mut [u8]) {
    let sum = |pair: &[u8; 2]| {
        let word = u16::from_le_bytes(*pair);
        (word & 0xff).wrapping_add(word >> 8)
    };
    let (above, below) = (above.as_chunks::<2>().0, below.as_chunks::<2>().0);
    for ((to, above), below) in to.iter_mut().zip(above).zip(below) {
        *to = (sum(above).wrapping_add(sum(below)).wrapping_add(2) >> 2) as u8;
    }
}

/// [`interpolate`](self::interpolate) with SSSE3.
#[cfg(target_arch = "x86_64")]
mod ssse3 {
    use std::arch::x86_64::*;

    use super::{ACROSS, PADDING, Pair};

    /// Eight target pixels. Each half of them finds its source pixels in sixteen bytes from its base on.
    pub struct Group {
        bases: [usize; 2],
        /// Which of its sixteen bytes each half takes.
        shuffles: [[u8; 16]; 2],
        weights: [u8; 16],
    }

    /// The tables for whole groups of `columns`; none when the processor lacks SSSE3 or the pixels lie too far apart.
    pub fn groups(columns: &[Pair]) -> Vec<Group> {
        if !is_x86_feature_detected!("ssse3") {
            return vec![];
        }
        columns.as_chunks::<8>().0.iter().map(group).collect::<Option<_>>().unwrap_or_default()
    }

    fn group(columns: &[Pair; 8]) -> Option<Group> {
        let mut group =
            Group { bases: [columns[0].pixels[0], columns[4].pixels[0]], shuffles: [[0x80; 16]; 2], weights: [0; 16] };
        for (x, column) in columns.iter().enumerate() {
            let half = x / 4;
            for side in 0..2 {
                let distance = column.pixels[side] - group.bases[half];
                group.shuffles[half][2 * x + side] = u8::try_from(distance).ok().filter(|distance| *distance < 16)?;
                group.weights[2 * x + side] = column.weights[side] as u8;
            }
        }
        Some(group)
    }

    /// Makes the pixels of `groups`; how many these are.
    pub fn interpolate(row: &[u8], groups: &[Group], to: &mut [u8]) -> usize {
        if groups.is_empty() {
            return 0;
        }
        // SAFETY: there are groups only when the processor has SSSE3.
        unsafe { interpolate_groups(row, groups, to) };
        8 * groups.len()
    }

    #[target_feature(enable = "ssse3")]
    fn interpolate_groups(row: &[u8], groups: &[Group], to: &mut [u8]) {
        let rounding = _mm_set1_epi16(ACROSS as i16 / 2);
        for (group, to) in groups.iter().zip(to.as_chunks_mut::<8>().0) {
            let [low, high] = group.bases.map(|base| row.get(base..).and_then(<[u8]>::first_chunk::<PADDING>));
            let (Some(low), Some(high)) = (low, high) else { return };
            let low = _mm_shuffle_epi8(load(low), load(&group.shuffles[0]));
            let high = _mm_shuffle_epi8(load(high), load(&group.shuffles[1]));
            let sums = _mm_maddubs_epi16(_mm_or_si128(low, high), load(&group.weights));
            let pixels = _mm_srli_epi16::<7>(_mm_add_epi16(sums, rounding));
            *to = _mm_cvtsi128_si64(_mm_packus_epi16(pixels, pixels)).to_le_bytes();
        }
    }

    #[inline]
    fn load(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: sixteen bytes are there, and the load needs no alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: usize, height: usize) -> Size {
        Size { width, height }
    }

    /// Sizes of ladders, and the edges: single pixels, tails, upscaling, far apart.
    fn sizes() -> Vec<(Size, Size)> {
        let given = [
            (1280, 720, 832, 468),
            (640, 360, 416, 234),
            (1920, 1080, 832, 468),
            (1920, 1080, 1280, 720),
            (640, 360, 320, 180),
            (720, 1280, 468, 832),
            (1, 1, 1, 1),
            (1, 1, 19, 3),
            (2, 2, 1, 1),
            (2, 2, 2, 2),
            (2, 2, 17, 9),
            (16, 1, 9, 1),
            (17, 3, 16, 2),
            (33, 5, 40, 7),
            (400, 4, 80, 4),
            (900, 9, 17, 2),
            (7, 7, 1, 1),
            (64, 64, 63, 65),
        ];
        given.map(|(sw, sh, tw, th)| (size(sw, sh), size(tw, th))).to_vec()
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let step = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Many black and white pixels: the largest differences.
            [0, 255, (state >> 32) as u8, (state >> 40) as u8][(state >> 60) as usize & 3]
        };
        (0..length).map(step).collect()
    }

    fn run(scaler: &mut PlaneScaler, from: &[u8], from_stride: usize, to_stride: usize) -> Vec<u8> {
        let Size { width, height } = scaler.target;
        let mut to = vec![0xa5; (height - 1) * to_stride + width];
        scaler.scale(from, from_stride, &mut to, to_stride).expect("planes are long enough");
        to
    }

    fn scalar(source: Size, target: Size) -> PlaneScaler {
        #[cfg(target_arch = "x86_64")]
        return PlaneScaler { groups: vec![], ..PlaneScaler::new(source, target) };
        #[cfg(not(target_arch = "x86_64"))]
        return PlaneScaler::new(source, target);
    }

    /// The exact value of a target pixel.
    fn exact(from: &[u8], source: Size, target: Size, x: usize, y: usize) -> f64 {
        let position = |x: usize, source: usize, target: usize| {
            let at = ((x as f64 + 0.5) * source as f64 / target as f64 - 0.5).clamp(0.0, (source - 1) as f64);
            (at.floor() as usize, (at.floor() as usize + 1).min(source - 1), at.fract())
        };
        let (left, right, across) = position(x, source.width, target.width);
        let (above, below, down) = position(y, source.height, target.height);
        let row = |y: usize| {
            let pixel = |x: usize| f64::from(from[y * source.width + x]);
            pixel(left) * (1.0 - across) + pixel(right) * across
        };
        row(above) * (1.0 - down) + row(below) * down
    }

    #[test]
    fn simd_and_scalar_agree_bit_for_bit_whatever_the_strides() {
        for (source, target) in sizes() {
            for padding in [0, 1, 13] {
                let stride = source.width + padding;
                let from = noise((source.height - 1) * stride + source.width);
                let fast = run(&mut PlaneScaler::new(source, target), &from, stride, target.width + padding);
                let slow = run(&mut scalar(source, target), &from, stride, target.width + padding);
                assert!(fast == slow, "{source:?} to {target:?}, padding {padding}");
                let outside = fast.chunks(target.width + padding).flat_map(|row| row.iter().skip(target.width));
                assert!(outside.into_iter().all(|byte| *byte == 0xa5), "wrote between the rows of {target:?}");
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_ladder_takes_the_fast_path() {
        if is_x86_feature_detected!("ssse3") {
            for (source, target) in [(1280, 832), (640, 416), (1920, 832), (1920, 1280), (1920, 480)] {
                let scaler = PlaneScaler::new(size(source, 2), size(target, 1));
                assert_eq!(scaler.groups.len(), target / 8, "{source} to {target}");
            }
        }
    }

    #[test]
    fn every_pixel_is_within_two_levels_of_the_exact_value() {
        for (source, target) in sizes() {
            let from = noise(source.width * source.height);
            let to = run(&mut PlaneScaler::new(source, target), &from, source.width, target.width);
            for (at, pixel) in to.iter().enumerate() {
                let exact = exact(&from, source, target, at % target.width, at / target.width);
                assert!((f64::from(*pixel) - exact).abs() <= 2.0, "{source:?} to {target:?}: {pixel} for {exact}");
            }
        }
    }

    #[test]
    fn a_flat_plane_stays_flat() {
        for (source, target) in sizes() {
            for level in [0, 1, 16, 128, 235, 255] {
                let from = vec![level; source.width * source.height];
                let to = run(&mut PlaneScaler::new(source, target), &from, source.width, target.width);
                assert!(to.iter().all(|pixel| *pixel == level), "{source:?} to {target:?} at {level}");
            }
        }
    }

    #[test]
    fn a_ramp_stays_monotonic() {
        for (source, target) in sizes() {
            let level = |at: usize| (at % source.width * 255 / source.width) as u8;
            let from: Vec<u8> = (0..source.width * source.height).map(level).collect();
            let to = run(&mut PlaneScaler::new(source, target), &from, source.width, target.width);
            assert!(to.chunks(target.width).all(<[u8]>::is_sorted), "{source:?} to {target:?}");
        }
    }

    #[test]
    fn the_same_size_is_a_copy() {
        let from = noise(35 * 21);
        assert!(run(&mut PlaneScaler::new(size(35, 21), size(35, 21)), &from, 35, 35) == from);
    }

    #[test]
    fn a_plane_that_is_too_short_is_refused() {
        let mut scaler = PlaneScaler::new(size(16, 4), size(8, 3));
        assert_eq!(scaler.scale(&[0; 63], 16, &mut [0; 24], 8), None);
        assert_eq!(scaler.scale(&[0; 64], 16, &mut [0; 23], 8), None);
        assert_eq!(scaler.scale(&[0; 64], 16, &mut [0; 24], 8), Some(()));
    }

    #[test]
    #[ignore = "a measurement"]
    fn time_of_a_picture() {
        for (source, target) in [((1280, 720), (832, 468)), ((1280, 720), (640, 360)), ((1920, 1080), (832, 468))] {
            let plane = |(width, height): (usize, usize), shift: u32| size(width >> shift, height >> shift);
            let mut planes: Vec<_> = [0, 1, 1]
                .map(|shift| {
                    let (source, target) = (plane(source, shift), plane(target, shift));
                    let to = vec![0; target.width * target.height];
                    (PlaneScaler::new(source, target), scalar(source, target), noise(source.width * source.height), to)
                })
                .into();
            for fast in [true, false] {
                let start = std::time::Instant::now();
                for _ in 0..500 {
                    for (simd, scalar, from, to) in &mut planes {
                        let scaler = if fast { simd } else { scalar };
                        scaler
                            .scale(from, scaler.source.width, to, scaler.target.width)
                            .expect("planes are long enough");
                    }
                }
                println!("{source:?} to {target:?}, simd {fast}: {:.3} ms", start.elapsed().as_secs_f64() * 2.0);
            }
        }
    }
}
