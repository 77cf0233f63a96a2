//! Streams with packets missing, repeated or spoiled: whole units are dropped, and none with a hole comes out.

use std::collections::HashSet;

use super::files::stream;
use super::*;

const VIDEO_PID: u16 = 0x100;

fn sample() -> Vec<u8> {
    stream(
        "640x360:rate=25",
        "sample_rate=48000",
        "-c:v libx264 -preset veryfast -g 12 -bf 2 -crf 18 -c:a aac -b:a 128k -ac 2",
    )
}

fn packets(ts: &[u8]) -> Vec<&[u8]> {
    ts.chunks(188).collect()
}

fn pid(packet: &[u8]) -> u16 {
    u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2])
}

/// Reads a stream without the packets of these numbers, in datagrams of seven that do not move.
fn without(ts: &[u8], lost: &HashSet<usize>) -> Demuxed {
    let kept: Vec<&[u8]> =
        packets(ts).into_iter().enumerate().filter(|(n, _)| !lost.contains(n)).map(|(_, p)| p).collect();
    demux(kept).unwrap()
}

/// Which pictures come through and what is counted, worked out from the list of packets and the pictures of the whole stream.
fn forecast(ts: &[u8], whole: &Demuxed, lost: &HashSet<usize>) -> (Vec<AccessUnit>, TsStats) {
    let units = whole.units(Track::Video);
    let mut of: Vec<(usize, usize)> = vec![];
    let mut unit = 0;
    for (n, packet) in packets(ts).iter().enumerate().filter(|(_, packet)| pid(packet) == VIDEO_PID) {
        unit += usize::from(packet[1] & 0x40 != 0);
        of.push((n, unit - 1));
    }
    let (mut damaged, mut holes) = (HashSet::new(), 0);
    let mut last: Option<(usize, usize)> = None;
    for &(n, unit) in &of {
        if lost.contains(&n) {
            damaged.insert(unit);
            continue;
        }
        let place = of.iter().position(|&(at, _)| at == n).unwrap();
        if last.is_some_and(|(before, _)| before + 1 != place) {
            holes += 1;
            // What was open when the hole was seen.
            damaged.extend(last.map(|(_, open)| open));
        }
        last = Some((place, unit));
    }
    let (mut waiting, mut expected, mut skipped) = (false, vec![], 0);
    for (n, unit) in units.into_iter().enumerate() {
        if damaged.contains(&n) {
            waiting = true;
        } else if waiting && !unit.keyframe {
            skipped += 1;
        } else {
            waiting = false;
            expected.push(unit.clone());
        }
    }
    let stats = TsStats { continuity_errors: holes, skipped_units: skipped, ..TsStats::default() };
    (expected, stats)
}

#[test]
fn one_packet_in_a_hundred_costs_whole_units() {
    let ts = sample();
    let (whole, all) = (demux_all(&ts), packets(&ts));
    let sounds: Vec<AccessUnit> = whole.units(Track::Audio).into_iter().cloned().collect();
    let (mut passed, mut dropped) = (0, 0);
    for seed in 1..=40 {
        let mut random = Random(seed);
        let lossy: HashSet<usize> = (3..all.len() - 1).filter(|_| random.below(100) == 0).collect();
        // Of the video alone first, so that each counter has one cause.
        let lost: HashSet<usize> = lossy.iter().copied().filter(|&n| pid(all[n]) == VIDEO_PID).collect();
        let (expected, stats) = forecast(&ts, &whole, &lost);
        let found = without(&ts, &lost);
        let units: Vec<AccessUnit> = found.units(Track::Video).into_iter().cloned().collect();
        assert!(units == expected, "seed {seed}: {} pictures, {} expected", units.len(), expected.len());
        assert_eq!(found.units(Track::Audio).len(), sounds.len());
        assert_eq!(found.stats.continuity_errors, stats.continuity_errors, "seed {seed}");
        assert_eq!(found.stats.skipped_units, stats.skipped_units, "seed {seed}");
        assert!(found.stats.damaged_units > 0 && found.stats.damaged_units <= found.stats.continuity_errors);
        // Then of everything.
        let found = without(&ts, &lossy);
        let units = found.units(Track::Video);
        assert!(units.iter().all(|unit| expected.contains(unit)), "seed {seed}");
        let heard = found.units(Track::Audio);
        assert!(heard.iter().all(|unit| sounds.contains(unit)), "seed {seed}");
        // A PES packet of ffmpeg's has up to eight frames of this rate.
        let holes = lossy.iter().filter(|&&n| pid(all[n]) != VIDEO_PID).count();
        assert!(heard.len() + 16 * holes >= sounds.len(), "seed {seed}: {} of {}", heard.len(), sounds.len());
        (passed, dropped) = (passed + expected.len(), dropped + whole.units(Track::Video).len() - expected.len());
    }
    println!("{passed} pictures passed, {dropped} dropped");
    assert!(passed > 0 && dropped > 0);
}

#[test]
fn a_gap_that_the_counters_cannot_see_is_told() {
    let ts = sample();
    let (whole, all) = (demux_all(&ts), packets(&ts));
    // Sixteen packets of one PID, in the midst of a unit.
    let videos: Vec<usize> = (0..all.len()).filter(|&n| pid(all[n]) == VIDEO_PID).collect();
    let starts = |n: usize| all[n][1] & 0x40 != 0;
    let at = (10..videos.len() - 20).find(|&at| videos[at - 3..at + 20].iter().all(|&n| !starts(n))).unwrap();
    let lost: HashSet<usize> = videos[at..at + 16].iter().copied().collect();
    let reference: Vec<AccessUnit> = whole.units(Track::Video).into_iter().cloned().collect();
    let unseen = without(&ts, &lost);
    assert!(!unseen.units(Track::Video).iter().all(|unit| reference.contains(unit)), "this stream does not show it");

    let (mut demuxer, mut items) = (Demuxer::default(), vec![]);
    for (n, packet) in all.iter().enumerate() {
        if n == videos[at] {
            demuxer.gap(16);
        }
        if !lost.contains(&n) {
            demuxer.push(packet).unwrap();
        }
        items.extend(std::iter::from_fn(|| demuxer.poll()));
    }
    demuxer.finish().unwrap();
    items.extend(std::iter::from_fn(|| demuxer.poll()));
    let found = Demuxed { items, stats: demuxer.stats() };
    let units = found.units(Track::Video);
    assert!(units.len() < reference.len() && units.iter().all(|unit| reference.contains(unit)));
    assert!(found.stats.damaged_units > 0 && found.stats.skipped_units > 0);
}

#[test]
fn garbage_between_packets_costs_nothing_else() {
    let ts = sample();
    let whole = demux_all(&ts);
    for seed in 1..=20 {
        let mut random = Random(seed);
        let (mut spoiled, mut places, mut garbage) = (vec![], 0, 0);
        for (n, packet) in packets(&ts).into_iter().enumerate() {
            // Three packets in a row are needed to find the grid again.
            if n > 0 && n % 20 == 0 && random.below(3) == 0 {
                let length = 1 + random.below(900);
                spoiled.extend(
                    (0..length).map(|_| random.next() as u8 | 1).map(|byte| if byte == 0x47 { 0x49 } else { byte }),
                );
                (places, garbage) = (places + 1, garbage + length);
            }
            spoiled.extend(packet);
        }
        let found = demux(spoiled.chunks(PAYLOAD)).unwrap();
        assert!(found.items == whole.items, "seed {seed}");
        assert_eq!(found.stats, TsStats { sync_losses: places, garbage_bytes: garbage, ..whole.stats });
    }
}

#[test]
fn repeated_packets_are_read_once() {
    let ts = sample();
    let whole = demux_all(&ts);
    let twice: Vec<&[u8]> =
        packets(&ts).into_iter().enumerate().flat_map(|(n, p)| std::iter::repeat_n(p, 1 + n % 2)).collect();
    let found = demux(twice).unwrap();
    assert!(found.items == whole.items);
    assert_eq!((found.stats.continuity_errors, found.stats.damaged_units), (0, 0));
}

#[test]
fn spoiled_bits_make_no_flood_of_units() {
    let ts = sample();
    let most = demux_all(&ts).items.len() + 400;
    for seed in 1..=60 {
        let mut random = Random(seed);
        let mut spoiled = ts.clone();
        for _ in 0..200 {
            let at = random.below(spoiled.len() as u64) as usize;
            spoiled[at] ^= 1 << random.below(8);
        }
        // A damaged parameter set before the first picture may well end it.
        let Ok(found) = demux(spoiled.chunks(PAYLOAD)) else { continue };
        assert!(found.items.len() <= most);
    }
}
