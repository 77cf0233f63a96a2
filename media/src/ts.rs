//! An MPEG transport stream (ISO/IEC 13818-1), as SRT carries it, to decoder configurations and access units.
//!
//! Taken are H.264 and HEVC, and AAC in ADTS, of the first program with video; everything else is an error that says the codec's name.
//!
//! All syntax is read here. The crate `mpeg2ts-reader` 0.18 was tried first: one damaged bit in the first program map and its streams never
//! begin, because it believes the version before the checksum; a byte between packets loses the rest of what was handed over; a
//! repeated packet counts as a hole; a map that names PID 0 takes the table of programs away; and each bad packet is a line in the log.
//!
//! ```text
//! bytes ─▶ grid ─packets─▶ continuity ─┬─▶ psi ─▶ program     which PIDs
//!                                      └─▶ pes ─▶ clock ─┬─▶ video ─▶ configurations
//!                                                        └─▶ audio ─▶ and access units
//! ```
//!
//! Contract: one [`Demuxer`] per publication, bytes cut anyhow. Timestamps leave it on one timeline that does not wrap, taken from PTS
//! and DTS; the program clock reference says nothing that a mixer with its own clock needs. Video begins at a keyframe. No unit with a hole
//! in it comes out: it is counted, and what refers to it too. A unit is at most 8 MiB, and what is held at most two of that and 1 MiB.

mod audio;
mod clock;
mod grid;
mod packet;
mod pes;
mod program;
mod psi;
mod video;

use std::collections::VecDeque;

use self::audio::{Audio, Fault, Sound};
use self::clock::{Clock, Times};
use self::grid::Grid;
use self::packet::{Continuity, NULL_PID, Packet, Step};
use self::pes::{Head, Pes, Piece};
use self::program::Selection;
use self::psi::Sections;
use self::video::{Picture, Video};
use crate::codec::in_band::InBandError;
use crate::codec::{AudioConfig, TrackConfig, VideoConfig, aac, avc, hevc};
use crate::feed::FeedItem;

/// Bytes without a packet among them after which nobody means a transport stream.
const MOST_ASTRAY: usize = 1 << 20;
/// Packets of one PID after which its counter says nothing.
const COUNTER_TURN: u64 = 16;

/// Why a publication cannot be taken. Its words are for the encoder's operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TsError {
    /// Something else than packets of 188 bytes.
    #[error("no MPEG transport stream, send one with packets of 188 bytes")]
    NoPackets,
    /// A codec that is not decoded here.
    #[error("{0} is not supported, send H.264 or HEVC video and AAC audio in ADTS")]
    Codec(String),
    /// More pictures than have a time.
    #[error("several pictures in one PES packet, send each in a packet of its own")]
    Crowded,
    /// Unusable H.264 parameter sets.
    #[error(transparent)]
    Avc(#[from] avc::AvcError),
    /// Unusable HEVC parameter sets.
    #[error(transparent)]
    Hevc(#[from] hevc::HevcError),
    /// An unusable AAC configuration.
    #[error(transparent)]
    Aac(#[from] aac::AacError),
    /// Timestamps that jump until they leave the countable.
    #[error("timestamps run away")]
    Timestamp,
}

impl From<InBandError> for TsError {
    fn from(error: InBandError) -> Self {
        match error {
            InBandError::Crowded => Self::Crowded,
            InBandError::Avc(error) => Self::Avc(error),
            InBandError::Hevc(error) => Self::Hevc(error),
        }
    }
}

/// Counters of one publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TsStats {
    /// Packets on the grid, those that only fill included.
    pub packets: u64,
    /// Times that the grid of packets was lost.
    pub sync_losses: u64,
    /// Bytes beside it.
    pub garbage_bytes: u64,
    /// Packets that their sender marked as damaged, that contradict themselves, or that are scrambled.
    pub bad_packets: u64,
    /// Holes in the counters of the tables and the tracks taken.
    pub continuity_errors: u64,
    /// Jumps of counter or clock that the sender announced.
    pub discontinuities: u64,
    /// Access units and parameter sets with something missing or wrong, dropped; at least, because a hole may swallow whole ones.
    pub damaged_units: u64,
    /// Access units without fault that cannot be decoded, dropped: no configuration yet, or no keyframe since the start or since a
    /// damaged one.
    pub skipped_units: u64,
}

/// Reads one publication.
#[derive(Default)]
pub struct Demuxer {
    grid: Grid,
    streams: Streams,
}

impl Demuxer {
    /// Takes bytes in. What they complete is to be fetched by [`Self::poll`] before the next. After an error nothing more is to come.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TsError> {
        let streams = &mut self.streams;
        self.grid.push(bytes, |packet| streams.packet(packet))?;
        if self.grid.astray > MOST_ASTRAY { Err(TsError::NoPackets) } else { Ok(()) }
    }

    /// What is complete, in order.
    pub fn poll(&mut self) -> Option<FeedItem> {
        self.streams.items.pop_front()
    }

    /// `packets` at most are known to be missing before what is pushed next. The counters of the stream find single ones by themselves but
    /// have only four bits, so that a transport that numbers what it carries knows better.
    pub fn gap(&mut self, packets: u64) {
        if packets >= COUNTER_TURN {
            self.streams.hole();
        }
    }

    /// Nothing more will come: the last unit is as whole as it is.
    pub fn finish(&mut self) -> Result<(), TsError> {
        self.streams.finish_video()
    }

    /// Counters so far.
    pub fn stats(&self) -> TsStats {
        TsStats { sync_losses: self.grid.losses, garbage_bytes: self.grid.garbage, ..self.streams.stats }
    }

    /// Current configuration of the video track.
    pub fn video_config(&self) -> Option<&VideoConfig> {
        self.streams.video.as_ref()?.reader.config()
    }

    /// Current configuration of the audio track.
    pub fn audio_config(&self) -> Option<&AudioConfig> {
        self.streams.audio.as_ref()?.reader.config()
    }
}

/// A stream that is taken.
struct Track<R> {
    pid: u16,
    continuity: Continuity,
    pes: Pes,
    reader: R,
}

/// A program of the stream.
struct Program {
    number: u16,
    pid: u16,
    continuity: Continuity,
    sections: Sections,
    /// Its map as it came last, and what is chosen of it.
    map: Option<(Vec<u8>, Selection)>,
}

/// What the packets are made of.
#[derive(Default)]
struct Streams {
    continuity: Continuity,
    sections: Sections,
    /// The table of programs as it came last.
    table: Vec<u8>,
    programs: Vec<Program>,
    /// Number of the program that is taken.
    current: Option<u16>,
    clock: Clock,
    video: Option<Track<Video>>,
    audio: Option<Track<Audio>>,
    items: VecDeque<FeedItem>,
    stats: TsStats,
}

impl Streams {
    fn packet(&mut self, packet: &[u8; grid::PACKET]) -> Result<(), TsError> {
        self.stats.packets += 1;
        // What is left out here shows as a hole at the next packet of its PID.
        let Some(packet) = Packet::read(packet).filter(|packet| !packet.scrambled) else {
            self.stats.bad_packets += 1;
            return Ok(());
        };
        match packet.pid {
            NULL_PID => Ok(()),
            0 => self.program_table(&packet),
            pid if self.video.as_ref().is_some_and(|track| track.pid == pid) => self.video(&packet),
            pid if self.audio.as_ref().is_some_and(|track| track.pid == pid) => self.audio(&packet),
            pid => match self.programs.iter().position(|program| program.pid == pid) {
                Some(first) => self.program_map(&packet, first),
                None => Ok(()),
            },
        }
    }

    fn program_table(&mut self, packet: &Packet<'_>) -> Result<(), TsError> {
        let Some(payload) = admit(&mut self.continuity, packet, &mut self.stats, || self.sections.hole()) else {
            return Ok(());
        };
        let mut sections = std::mem::take(&mut self.sections);
        let mut outcome = Ok(());
        sections.push(packet.start, payload, |section| {
            if section != self.table
                && let Some(listed) = psi::programs(section)
            {
                self.table = section.to_vec();
                outcome = outcome.clone().and_then(|()| self.list(&listed));
            }
        });
        self.sections = sections;
        outcome
    }

    /// Takes the programs that there are now. Those that were there before are the same ones.
    fn list(&mut self, listed: &[psi::Program]) -> Result<(), TsError> {
        let mut known = std::mem::take(&mut self.programs);
        self.programs = listed
            .iter()
            .map(|&(number, pid)| match known.iter().position(|old| (old.number, old.pid) == (number, pid)) {
                Some(at) => known.swap_remove(at),
                None => {
                    let (continuity, sections) = (Continuity::default(), Sections::default());
                    Program { number, pid, continuity, sections, map: None }
                }
            })
            .collect();
        if self.current.is_some_and(|current| self.programs.iter().all(|program| program.number != current)) {
            self.current = None;
        }
        self.choose()
    }

    fn program_map(&mut self, packet: &Packet<'_>, first: usize) -> Result<(), TsError> {
        // Programs may share the PID of their maps: its sections are those of all.
        let program = &mut self.programs[first];
        let sections = &mut program.sections;
        let Some(payload) = admit(&mut program.continuity, packet, &mut self.stats, || sections.hole()) else {
            return Ok(());
        };
        let mut sections = std::mem::take(sections);
        let mut changed = false;
        sections.push(packet.start, payload, |section| {
            for program in self.programs.iter_mut().filter(|program| program.pid == packet.pid) {
                if program.map.as_ref().is_some_and(|(map, _)| map == section) {
                    break;
                }
                if let Some(streams) = psi::streams(section, program.number) {
                    program.map = Some((section.to_vec(), Selection::of(&streams)));
                    changed = true;
                }
            }
        });
        self.programs[first].sections = sections;
        if changed { self.choose() } else { Ok(()) }
    }

    /// Chooses the program, and takes its streams up or leaves them as its map says.
    fn choose(&mut self) -> Result<(), TsError> {
        if self.current.is_none() {
            let selections = || self.programs.iter().filter_map(|program| Some((program, &program.map.as_ref()?.1)));
            let mut chosen = selections().find(|(_, selection)| selection.video.is_some());
            if chosen.is_none() && selections().count() == self.programs.len() {
                // No program has pictures that can be decoded.
                chosen =
                    selections().find(|(_, selection)| selection.refused_video.is_some() || selection.audio.is_some());
                chosen = chosen.or_else(|| selections().next());
            }
            self.current = chosen.map(|(program, _)| program.number);
        }
        let current = self.programs.iter().find(|program| Some(program.number) == self.current);
        let Some((_, selection)) = current.and_then(|program| program.map.as_ref()) else { return Ok(()) };
        if let Some(name) = selection.refused() {
            return Err(TsError::Codec(name.clone()));
        }
        let (video, audio) = (selection.video, selection.audio);
        if self.video.as_ref().map(|track| (track.pid, track.reader.codec())) != video {
            self.finish_video()?;
            let config = self.video.take().and_then(|track| track.reader.config().cloned());
            self.video = video.map(|(pid, codec)| {
                let (continuity, pes) = (Continuity::default(), Pes::new(false));
                Track { pid, continuity, pes, reader: Video::new(codec, config) }
            });
        }
        if self.audio.as_ref().map(|track| track.pid) != audio {
            let config = self.audio.take().and_then(|track| track.reader.config().cloned());
            self.audio = audio.map(|pid| {
                let (continuity, pes) = (Continuity::default(), Pes::new(true));
                Track { pid, continuity, pes, reader: Audio::new(config) }
            });
        }
        Ok(())
    }

    fn video(&mut self, packet: &Packet<'_>) -> Result<(), TsError> {
        let Some(Track { continuity, pes, reader, .. }) = &mut self.video else { return Ok(()) };
        let mut hole = false;
        let Some(payload) = admit(continuity, packet, &mut self.stats, || hole = true) else { return Ok(()) };
        if hole {
            pes.hole();
            reader.damage(&mut self.stats);
        }
        pes.push(packet.start, payload, |piece| {
            match piece {
                Piece::Damage => reader.damage(&mut self.stats),
                Piece::Body(bytes) => reader.body(bytes, &mut self.stats),
                Piece::Head(head) => {
                    let times = times(&mut self.clock, head)?;
                    let complete = reader.head(times, packet.random_access, &mut self.stats)?;
                    queue(&mut self.items, complete);
                }
            }
            Ok(())
        })
    }

    fn audio(&mut self, packet: &Packet<'_>) -> Result<(), TsError> {
        let Some(Track { continuity, pes, reader, .. }) = &mut self.audio else { return Ok(()) };
        let mut hole = false;
        let Some(payload) = admit(continuity, packet, &mut self.stats, || hole = true) else { return Ok(()) };
        if hole {
            pes.hole();
            reader.damage(&mut self.stats);
        }
        pes.push(packet.start, payload, |piece| {
            match piece {
                Piece::Damage => reader.damage(&mut self.stats),
                Piece::Head(head) => reader.head(times(&mut self.clock, head)?),
                Piece::Body(bytes) => {
                    let items = &mut self.items;
                    let taken = reader.body(bytes, &mut self.stats, |sound| {
                        items.push_back(match sound {
                            Sound::Config(config) => FeedItem::Config(TrackConfig::Audio(config)),
                            Sound::Unit(unit) => FeedItem::Unit(unit),
                        });
                    });
                    taken.map_err(|fault| match fault {
                        Fault::Config(error) => error.into(),
                        Fault::Blocks => TsError::Codec("AAC with several blocks in a frame".to_owned()),
                    })?;
                }
            }
            Ok(())
        })
    }

    fn finish_video(&mut self) -> Result<(), TsError> {
        let Some(track) = &mut self.video else { return Ok(()) };
        let complete = track.reader.finish(&mut self.stats)?;
        queue(&mut self.items, complete);
        Ok(())
    }

    /// Packets of any PID are missing, more than the counters count.
    fn hole(&mut self) {
        self.sections.hole();
        self.programs.iter_mut().for_each(|program| program.sections.hole());
        if let Some(track) = &mut self.video {
            track.pes.hole();
            track.reader.damage(&mut self.stats);
        }
        if let Some(track) = &mut self.audio {
            track.pes.hole();
            track.reader.damage(&mut self.stats);
        }
    }
}

/// A packet's payload if it is one that counts; `hole` is called when something is missing before it.
fn admit<'a>(
    continuity: &mut Continuity,
    packet: &Packet<'a>,
    stats: &mut TsStats,
    hole: impl FnOnce(),
) -> Option<&'a [u8]> {
    let step = continuity.step(packet);
    stats.discontinuities += u64::from(packet.discontinuity);
    match step {
        Step::Repeated => return None,
        // An announced jump with a start: what went before is whole.
        Step::Hole if packet.discontinuity && packet.start => {}
        Step::Hole => {
            stats.continuity_errors += u64::from(!packet.discontinuity);
            hole();
        }
        Step::Next => {}
    }
    packet.payload
}

fn times(clock: &mut Clock, head: Head) -> Result<Option<Times>, TsError> {
    head.pts.map_or(Ok(None), |pts| clock.unroll(pts, head.dts))
}

fn queue(items: &mut VecDeque<FeedItem>, complete: Option<Picture>) {
    let Some(Picture { config, unit }) = complete else { return };
    items.extend(config.map(|config| FeedItem::Config(TrackConfig::Video(config))));
    items.push_back(FeedItem::Unit(unit));
}

#[cfg(test)]
mod tests;
