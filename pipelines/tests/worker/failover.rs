//! Switches between two inputs of one programme, whose pictures carry their number as a bar code: what viewers would count.

use std::path::Path;
use std::time::{Duration, Instant};

use weir_media::access_unit::Track;
use weir_media::failover::{FailoverSpec, HandOver, InputEdge, Mode, Standby};
use weir_media::feed::FeedItem;
use weir_media::id::{SessionId, Slot};
use weir_media::protocol::WorkerSpec;

use crate::harness::{Made, Scratch, Timed, Worker, delayed, output_of, read_flv, scrambled, source_file, spec};

const BITS: usize = 10;
const PRIMARY: u64 = 1;
const BACKUP: u64 = 2;
const AGAIN: u64 = 3;

/// The programme, as one encoder sends it: noise, and pictures with their number as ten bars.
fn programme(size: &str, rate: &str, encoding: &str, seconds: f64) -> Vec<Timed> {
    let bars = format!("geq=lum='if(mod(floor(N*30/({rate})/pow(2,floor(X*{BITS}/W))),2),220,30)':cb=128:cr=128");
    let video = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 600k";
    let sound = "-f lavfi -i anoisesrc=c=pink:seed=7:r=48000:a=0.3";
    let args = format!("-f lavfi -i color=s={size}:r={rate},{bars} {sound} {video} {encoding}");
    read_flv(&source_file(&Scratch::new(), &args, seconds))
}

pub fn primary(seconds: f64) -> Vec<Timed> {
    programme("320x180", "30", "-bf 2 -g 30 -c:a aac -b:a 128k", seconds)
}

/// Another encoder of the same programme, whose timestamps begin elsewhere.
fn backup(rate: &str, seconds: f64) -> Vec<Timed> {
    let items = programme("160x90", rate, "-bf 0 -g 60 -c:a aac -b:a 64k -ar 44100", seconds);
    items.into_iter().map(|(ms, item)| (ms, delayed(item, 1_000_000))).collect()
}

/// The numbers of the pictures of the largest rendition, in order.
fn numbers(made: &Made) -> Vec<u32> {
    let scratch = Scratch::new();
    let path = scratch.path("v.mp4");
    made.write(0, &path);
    numbers_of(&path)
}

/// The numbers of a file's pictures, in order.
pub fn numbers_of(path: &Path) -> Vec<u32> {
    let scaled = format!("-vf scale={BITS}:1:flags=area -vsync passthrough -pix_fmt gray -f rawvideo -");
    let mut args = vec!["-v", "error", "-i", path.to_str().unwrap()];
    args.extend(scaled.split_whitespace());
    let grey = output_of("ffmpeg", &args);
    grey.chunks_exact(BITS).map(|bars| (0..BITS).map(|bit| u32::from(bars[bit] > 125) << bit).sum()).collect()
}

/// What happens to the worker, with the milliseconds at which it does.
enum Step {
    Open(u64, Slot),
    Item(u64, FeedItem),
    Close(u64),
    OnAir(u64, HandOver),
}

#[derive(Default)]
struct Schedule(Vec<(u32, Step)>);

impl Schedule {
    /// A publisher who sends what of the programme lies in `range` (milliseconds, from a keyframe on) `late` milliseconds later.
    fn publisher(&mut self, id: u64, slot: Slot, items: &[Timed], range: std::ops::Range<u32>, late: i32) -> &mut Self {
        let at = |ms: u32| ms.saturating_add_signed(late);
        self.0.push((at(range.start), Step::Open(id, slot)));
        let starts =
            |item: &FeedItem| matches!(item, FeedItem::Unit(unit) if unit.keyframe && unit.track == Track::Video);
        let mut started = false;
        for (ms, item) in items {
            let config = matches!(item, FeedItem::Config(_));
            started |= range.contains(ms) && starts(item);
            if config && *ms < range.end || started && range.contains(ms) {
                self.0.push((at((*ms).max(range.start)), Step::Item(id, item.clone())));
            }
        }
        self
    }

    fn at(&mut self, ms: u32, step: Step) -> &mut Self {
        self.0.push((ms, step));
        self
    }

    fn run(&mut self, spec: WorkerSpec) -> Made {
        self.0.sort_by_key(|(ms, _)| *ms);
        let mut worker = Worker::start(spec);
        let start = Instant::now();
        for (ms, step) in &self.0 {
            worker.collect_until(start + Duration::from_millis(u64::from(*ms)));
            match step {
                Step::Open(id, slot) => worker.open_slot(*id, *slot),
                Step::Item(id, item) => worker.item(*id, item),
                Step::Close(id) => worker.close(*id),
                Step::OnAir(id, hand_over) => worker.hand_over(*id, *hand_over),
            }
        }
        worker.stop().0
    }
}

pub fn hitless(delay_ms: u32, standby: Standby) -> WorkerSpec {
    let delay = Duration::from_millis(u64::from(delay_ms));
    let failover = FailoverSpec { mode: Mode::Hitless, standby, delay, ..FailoverSpec::default() };
    WorkerSpec { delay_ms, failover, ..spec() }
}

/// Primary dies at 12 s, its encoder is back at 14 s, primary is on air again at 23 s; backup is `late`.
fn kill_and_return(late: i32, rate: &str, spec: WorkerSpec) -> Made {
    let (primary, backup) = (primary(27.0), backup(rate, 28.0));
    Schedule::default()
        .publisher(PRIMARY, Slot::Primary, &primary, 500..12_000, 0)
        .publisher(BACKUP, Slot::Backup, &backup, 500..27_000, late)
        .publisher(AGAIN, Slot::Primary, &primary, 14_000..27_000, 0)
        .at(500, Step::OnAir(PRIMARY, HandOver::WhenOut))
        .at(12_010, Step::Close(PRIMARY))
        .at(15_000, Step::OnAir(BACKUP, HandOver::WhenOut))
        .at(23_000, Step::OnAir(AGAIN, HandOver::AtOnce))
        .run(spec)
}

/// Counts what a viewer of a 30 fps programme would see: pictures that step by anything but one.
fn missteps(made: &Made) -> Vec<(usize, u32, u32)> {
    let numbers = numbers(made);
    let first = numbers.iter().position(|n| *n > 0).unwrap();
    // Before the first picture is due it is held; what the stop flushes may end early.
    let steady = &numbers[first + 10..numbers.len() - 40];
    let steps = steady.windows(2).enumerate();
    steps.filter(|(_, w)| w[1] != w[0] + 1).map(|(n, w)| (first + 10 + n, w[0], w[1])).collect()
}

fn sessions_shown(made: &Made) -> Vec<u64> {
    let mut shown: Vec<u64> = made.shown.iter().filter_map(|shown| Some(shown.session?.0)).collect();
    shown.dedup();
    shown
}

fn assert_unseen(made: &Made) {
    assert_eq!(sessions_shown(made), [PRIMARY, BACKUP, AGAIN], "{:?}", made.shown);
    let holes: Vec<_> = made.gaps.iter().filter(|gap| gap.filled_ms > 0 || gap.silence_ms > 0).collect();
    assert!(holes.is_empty(), "{holes:?}");
    assert_eq!(made.gaps.iter().filter(|gap| gap.from != gap.to).count(), 2, "{:?}", made.gaps);
    assert_eq!(missteps(made), [], "{:?} {:?}", made.shown, made.reports.last());
}

#[test]
fn hitless_with_a_late_standby_steps_by_one_frame_both_ways() {
    assert_unseen(&kill_and_return(500, "30", hitless(1_000, Standby::Hot)));
}

#[test]
fn hitless_with_an_early_standby_steps_by_one_frame_both_ways() {
    assert_unseen(&kill_and_return(-400, "30", hitless(1_000, Standby::Hot)));
}

#[test]
fn hitless_with_a_warm_standby_steps_by_one_frame_both_ways() {
    assert_unseen(&kill_and_return(300, "30", hitless(1_000, Standby::Warm)));
}

#[test]
fn a_frozen_primary_is_covered_by_a_locked_standby() {
    let made = kill_and_return(0, "30", spec());
    assert_eq!(sessions_shown(&made), [PRIMARY, BACKUP, AGAIN], "{:?}", made.shown);
    assert!(
        made.shown.iter().any(|shown| shown.session == Some(SessionId(BACKUP)) && shown.covers),
        "{:?}",
        made.shown
    );
    let worst = made.gaps.iter().map(|gap| gap.since_good_ms).max().unwrap();
    assert!(worst <= 400, "{:?}", made.gaps);
}

#[test]
fn the_edges_of_each_input_are_told() {
    let made = kill_and_return(0, "30", hitless(500, Standby::Hot));
    let of = |id| made.edges.iter().filter(move |(session, _)| *session == SessionId(id)).map(|(_, edge)| *edge);
    for id in [PRIMARY, BACKUP, AGAIN] {
        assert!(of(id).any(|edge| edge == InputEdge::Decoding(true)), "{:?}", made.edges);
        assert!(of(id).any(|edge| edge == InputEdge::Content(true)), "{:?}", made.edges);
    }
    assert_eq!(of(PRIMARY).next_back(), Some(InputEdge::Content(false)), "{:?}", made.edges);
}

/// Another programme, 25 frames a second.
fn unrelated(seconds: f64) -> Vec<Timed> {
    let video = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 600k -g 50";
    let sound = "-f lavfi -i anoisesrc=c=brown:seed=99:r=44100:a=0.4";
    let args = format!("-f lavfi -i testsrc2=s=160x90:r=25 {sound} {video} -c:a aac");
    read_flv(&source_file(&Scratch::new(), &args, seconds))
}

#[test]
fn an_unlocked_standby_takes_over_without_a_hole_behind_a_long_delay() {
    let made = Schedule::default()
        .publisher(PRIMARY, Slot::Primary, &primary(8.0), 500..8_000, 0)
        .publisher(BACKUP, Slot::Backup, &unrelated(16.0), 500..16_000, 0)
        .at(500, Step::OnAir(PRIMARY, HandOver::WhenOut))
        .at(8_010, Step::Close(PRIMARY))
        .at(11_000, Step::OnAir(BACKUP, HandOver::WhenOut))
        .run(hitless(3_500, Standby::Hot));
    assert_eq!(sessions_shown(&made), [PRIMARY, BACKUP], "{:?}", made.shown);
    let holes: Vec<_> = made.gaps.iter().filter(|gap| gap.filled_ms > 0 || gap.silence_ms > 0).collect();
    assert!(holes.is_empty(), "{holes:?}");
}

#[test]
fn pictures_that_do_not_decode_beside_sound_that_does_hold_nothing_up() {
    let items = primary(9.0);
    let mut worker = Worker::start(spec());
    worker.open(PRIMARY);
    worker.on_air(PRIMARY);
    let start = Instant::now();
    for (ms, item) in items {
        worker.collect_until(start + Duration::from_millis(u64::from(ms)));
        let spoilt = ms > 3_000 && matches!(&item, FeedItem::Unit(unit) if unit.track == Track::Video);
        worker.item(PRIMARY, &if spoilt { scrambled(item) } else { item });
    }
    let due = (start.elapsed().as_secs_f64() * 30.0) as u64;
    let (made, _) = worker.stop();
    let frames: u64 = made.track(0).map(|chunk| u64::from(chunk.frames)).sum();
    assert!(frames + 20 >= due, "{frames} of {due} frames");
    assert_eq!(made.reports.last().unwrap().dropped, 0);
}
