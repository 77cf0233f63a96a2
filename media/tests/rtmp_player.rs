//! The player against scripted servers, hostile bytes, and its own claim that splits do not matter.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../tests/support/rtmp_wire.rs"]
mod rtmp_wire;

use std::collections::HashMap;

use proptest::prelude::*;
use rml_amf0::Amf0Value;
use rml_rtmp::chunk_io::ChunkDeserializer;
use rml_rtmp::messages::{RtmpMessage, UserControlEventType};
use rtmp_wire::{
    AUDIO, COMMAND_AMF3, DATA, VIDEO, asked, command, connected, created, error, handshake, information, keyframe,
    message, null, number, object, start, status, string,
};
use weir_media::pull::PullUri;
use weir_media::rtmp::media::{Media, Metadata};
use weir_media::rtmp::player::{Event, PlayRequest, Player};
use weir_media::rtmp::{RtmpError, STRANGER_BYTES};

const AGGREGATE: u8 = 22;
const USER_CONTROL: u8 = 4;
const WINDOW_ACK_SIZE: u8 = 5;

/// Bytes of C0, C1 and C2.
const HANDSHAKE: usize = 1 + 2 * 1536;

/// What a player made of some bytes.
#[derive(Debug, Default)]
struct Course {
    events: Vec<Event>,
    output: Vec<u8>,
    error: Option<RtmpError>,
}

fn player(uri: &str) -> Player {
    Player::new(PlayRequest::of(&PullUri::parse(uri).unwrap()).unwrap())
}

/// Feeds pieces, the first of them to a player that has polled once.
fn feed<'a>(player: &mut Player, pieces: impl IntoIterator<Item = &'a [u8]>) -> Course {
    let mut course = Course::default();
    for piece in [&[][..]].into_iter().chain(pieces) {
        player.handle(piece);
        loop {
            match player.poll_event() {
                Ok(Some(event)) => course.events.push(event),
                Ok(None) => break,
                Err(error) => {
                    course.error = Some(error);
                    return course;
                }
            }
        }
        course.output.extend(player.take_output());
    }
    course
}

fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Course {
    feed(&mut player("rtmp://h.example.com/live/name?token=secret"), pieces)
}

/// What a server says up to and with the start.
fn started() -> Vec<u8> {
    [asked(), start()].concat()
}

fn video(time: u32, filler: usize) -> Vec<u8> {
    message(6, time, VIDEO, 7, &keyframe(filler))
}

/// A stream as nginx-rtmp plays it.
fn playback() -> Vec<u8> {
    let metadata = [string("onMetaData"), object(&[("framerate", number(25.0))])].concat();
    let access = [string("|RtmpSampleAccess"), vec![1, 1, 1, 1]].concat();
    let mut wire = started();
    wire.extend(message(5, 0, DATA, 7, &access));
    wire.extend(message(5, 0, DATA, 7, &metadata));
    wire.extend(message(6, 0, VIDEO, 7, &[&[0x17, 0, 0, 0, 0][..], &rtmp_wire::AVC_RECORD].concat()));
    wire.extend(message(4, 0, AUDIO, 7, &[0xaf, 0, 0x12, 0x10]));
    for frame in 0..12u32 {
        wire.extend(video(frame * 40, if frame % 6 == 0 { 9000 } else { 700 }));
        wire.extend(message(4, frame * 40 + 7, AUDIO, 7, &[0xaf; 200]));
    }
    wire.extend(message(2, 0, USER_CONTROL, 0, &[0, 1, 0, 0, 0, 7]));
    wire.extend(status("status", "NetStream.Play.Stop", ""));
    wire
}

/// What a player says behind C0, C1 and C2.
fn said(output: &[u8]) -> Vec<(u32, RtmpMessage)> {
    let mut deserializer = ChunkDeserializer::new();
    let mut rest = &output[HANDSHAKE..];
    let mut messages = vec![];
    while let Some(payload) = deserializer.get_next_message(rest).unwrap() {
        rest = &[];
        messages.push((payload.message_stream_id, payload.to_rtmp_message().unwrap()));
    }
    messages
}

/// Names and stream ids of the commands it says.
fn commands(output: &[u8]) -> Vec<(String, u32)> {
    let of = |(stream, message)| match message {
        RtmpMessage::Amf0Command { command_name, .. } => Some((command_name, stream)),
        _ => None,
    };
    said(output).into_iter().filter_map(of).collect()
}

fn connect_properties(output: &[u8]) -> HashMap<String, Amf0Value> {
    match said(output).remove(0).1 {
        RtmpMessage::Amf0Command { command_name, command_object: Amf0Value::Object(properties), .. } => {
            assert_eq!(command_name, "connect");
            properties
        }
        other => panic!("{other:?}"),
    }
}

fn times(events: &[Event]) -> Vec<u32> {
    let time = |event: &Event| match event {
        Event::Media(Media::Video { timestamp, .. } | Media::Audio { timestamp, .. }) => Some(*timestamp),
        _ => None,
    };
    events.iter().filter_map(time).collect()
}

fn text(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.into())
}

#[test]
fn a_whole_playback_gives_its_events_in_order() {
    let course = run([&playback()[..]]);
    assert!(course.error.is_none(), "{:?}", course.error);
    assert_eq!(course.events[0], Event::Started);
    assert_eq!(course.events[1], Event::Media(Media::Metadata(Metadata { frame_rate: Some(25.0) })));
    let expected: Vec<_> = [0, 0].into_iter().chain((0..12).flat_map(|frame| [frame * 40, frame * 40 + 7])).collect();
    assert_eq!(times(&course.events), expected);
    assert_eq!(course.events.last(), Some(&Event::Ended));
    assert_eq!(course.events.iter().filter(|event| **event == Event::Ended).count(), 1, "once");
}

#[test]
fn each_thing_is_asked_for_when_the_one_before_is_answered() {
    let mut player = player("rtmp://h.example.com/live/a/name?token=secret");
    let mut output = feed(&mut player, []).output;
    assert_eq!(output.len(), 1 + 1536, "C0 and C1 come before the server has said a word");
    let mut say = |wire: &[u8]| {
        output.extend(feed(&mut player, [wire]).output);
        commands(&output)
    };
    let expected = [("connect", 0), ("createStream", 0), ("play", 7)].map(|(name, stream)| (name.to_owned(), stream));
    assert_eq!(say(&handshake()), expected[..1]);
    assert_eq!(say(&connected()), expected[..2]);
    assert_eq!(say(&created(2.0)), expected);
    let properties = connect_properties(&output);
    assert_eq!(properties["app"], text("live/a"));
    assert_eq!(properties["tcUrl"], text("rtmp://h.example.com/live/a"));
    assert_eq!(properties["objectEncoding"], Amf0Value::Number(0.0));
    let messages = said(&output);
    let played = messages.iter().find_map(|(_, message)| match message {
        RtmpMessage::Amf0Command { command_name, additional_arguments, .. } if command_name == "play" => {
            Some(additional_arguments.clone())
        }
        _ => None,
    });
    assert_eq!(played, Some(vec![text("name?token=secret")]));
    let buffers = |(_, message): &(u32, RtmpMessage)| {
        matches!(
            message,
            RtmpMessage::UserControl { event_type: UserControlEventType::SetBufferLength, stream_id: Some(7), .. }
        )
    };
    assert!(messages.iter().any(buffers));
}

#[test]
fn names_longer_than_a_chunk_are_sent_whole() {
    let (application, name) = ("a".repeat(400), "n".repeat(700));
    let course = feed(&mut player(&format!("rtmp://h/{application}/{name}")), [&asked()[..]]);
    // A full header, 128 bytes, then a chunk that only continues it (RTMP 1.0, 5.3.1.2.4): not all servers take another full one.
    assert_eq!(course.output[HANDSHAKE + 12 + 128] >> 6, 3);
    assert_eq!(connect_properties(&course.output)["app"], text(&application));
    let messages = said(&course.output);
    let play = messages.iter().find(|(_, message)| {
        matches!(message, RtmpMessage::Amf0Command { additional_arguments, .. } if additional_arguments[..] == [text(&name)])
    });
    assert!(play.is_some());
}

#[test]
fn a_refusal_is_told_whatever_its_form() {
    const NOT_FOUND: &str = "NetStream.Play.StreamNotFound";
    const REJECTED: &str = "NetConnection.Connect.Rejected";
    let greeted = || [handshake(), connected()].concat();
    for (wire, reason) in [
        (
            [asked(), status("error", NOT_FOUND, "No such stream")].concat(),
            "NetStream.Play.StreamNotFound: No such stream",
        ),
        ([asked(), status("status", NOT_FOUND, "")].concat(), NOT_FOUND),
        ([asked(), status("error", "NetStream.Play.Failed", "")].concat(), "NetStream.Play.Failed"),
        ([asked(), error(3.0, "NetStream.Play.Failed", "busy")].concat(), "NetStream.Play.Failed: busy"),
        ([greeted(), error(2.0, "", "no streams")].concat(), "no streams"),
        ([handshake(), error(1.0, REJECTED, "no app")].concat(), "NetConnection.Connect.Rejected: no app"),
        ([handshake(), error(0.0, REJECTED, "")].concat(), REJECTED),
        ([handshake(), status("status", REJECTED, "")].concat(), REJECTED),
        ([handshake(), command(0, &[string("_error"), number(1.0), null(), string("go away")])].concat(), "go away"),
        ([handshake(), command(0, &[string("_error")])].concat(), "server refuses without a reason"),
        ([handshake(), command(0, &[string("close")])].concat(), "server refuses without a reason"),
        ([started(), status("error", "NetStream.Play.InsufficientBW", "")].concat(), "NetStream.Play.InsufficientBW"),
    ] {
        let course = run([&[wire, video(0, 10)].concat()[..]]);
        assert_eq!(course.events.last(), Some(&Event::Refused(reason.to_owned())), "{reason}");
        assert!(course.error.is_none());
    }
}

#[test]
fn a_reason_is_fit_to_be_shown() {
    let told = |code: &str, description: &str| match run([&[asked(), status("error", code, description)].concat()[..]])
        .events
        .pop()
    {
        Some(Event::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(told("NetStream.Play.Failed", "no name?token=secret here"), "NetStream.Play.Failed");
    assert_eq!(told("a\u{1b}[2J", "b\r\nc"), "a[2J: bc");
    assert_eq!(told("x", &"y".repeat(60_000)).chars().count(), PlayRequest::LONGEST_REASON);
}

#[test]
fn the_end_is_seen_whatever_its_form() {
    let play_status =
        |code| [string("onPlayStatus"), object(&[("level", string("status")), ("code", string(code))])].concat();
    for (name, end) in [
        ("publisher gone", status("status", "NetStream.Play.UnpublishNotify", "")),
        ("stopped", status("status", "NetStream.Play.Stop", "")),
        ("end of a recording", message(5, 0, DATA, 7, &play_status("NetStream.Play.Complete"))),
        ("end of stream", message(2, 0, USER_CONTROL, 0, &[0, 1, 0, 0, 0, 7])),
        ("close", command(0, &[string("close"), number(0.0), null()])),
        ("labelled AMF3", {
            let values =
                [vec![0], string("onStatus"), number(0.0), null(), information("status", "NetStream.Play.Stop", "")];
            message(3, 0, COMMAND_AMF3, 7, &values.concat())
        }),
    ] {
        let course = run([&[started(), video(40, 10), end, video(80, 10)].concat()[..]]);
        assert!(course.error.is_none(), "{name}");
        assert_eq!(course.events.last(), Some(&Event::Ended), "{name}");
        assert_eq!(times(&course.events), [40], "{name}: nothing behind it");
    }
    let course = run([&[started(), message(5, 0, DATA, 7, &play_status("NetStream.Play.Switch"))].concat()[..]]);
    assert_eq!(course.events, [Event::Started]);
}

#[test]
fn answers_out_of_order_or_to_nothing_are_none() {
    let start = start();
    for wire in [
        [handshake(), created(2.0), start.clone(), video(0, 10)].concat(),
        [handshake(), created(1.5), start.clone(), video(0, 10)].concat(),
        [handshake(), connected(), created(1.0), start.clone(), video(0, 10)].concat(),
        [handshake(), connected(), created(f64::NAN), start.clone(), video(0, 10)].concat(),
        [handshake(), start.clone(), connected(), status("status", "NetStream.Play.Stop", ""), video(0, 10)].concat(),
        [handshake(), message(2, 0, USER_CONTROL, 0, &[0, 1, 0, 0, 0, 7]), connected()].concat(),
    ] {
        let course = run([&wire[..]]);
        assert!(course.error.is_none() && course.events.is_empty(), "{course:?}");
    }
    let twice = [started(), start, connected(), created(2.0), error(3.0, "late", ""), video(40, 10)].concat();
    let course = run([&twice[..]]);
    assert_eq!((course.events.len(), times(&course.events)), (2, vec![40]), "{:?}", course.events);
    assert_eq!(commands(&course.output).len(), 3, "nothing is asked for twice");
}

#[test]
fn an_answer_without_a_stream_is_none() {
    for answer in [null(), string("7"), vec![]] {
        let wire = [handshake(), connected(), command(0, &[string("_result"), number(2.0), null(), answer])].concat();
        assert!(matches!(run([&wire[..]]).error, Some(RtmpError::Protocol(_))));
    }
    for number in [f64::NAN, f64::NEG_INFINITY, 1e300, -1.0] {
        let answer = command(0, &[string("_result"), rtmp_wire::number(2.0), null(), rtmp_wire::number(number)]);
        let course = run([&[handshake(), connected(), answer, start()].concat()[..]]);
        assert_eq!(course.events, [Event::Started], "{number} is no reason to fail");
    }
}

#[test]
fn media_before_the_start_are_passed_on() {
    let course = run([&[asked(), video(0, 10), start(), video(40, 10)].concat()[..]]);
    assert_eq!(times(&course.events), [0, 40]);
    assert_eq!(course.events[1], Event::Started);
}

#[test]
fn aggregates_are_taken_apart_also_between_other_chunks() {
    let tag = |kind: u8, time: u8, body: &[u8]| {
        let length = (body.len() as u32).to_be_bytes();
        [&[kind], &length[1..], &[0, 0, time, 0, 0, 0, 0], body, &(11 + body.len() as u32).to_be_bytes()].concat()
    };
    let metadata = [string("onMetaData"), object(&[("framerate", number(30.0))])].concat();
    let parts =
        [tag(DATA, 5, &metadata), tag(VIDEO, 5, &keyframe(300)), tag(AUDIO, 12, &[0xaf, 1, 7]), vec![9, 0, 0]].concat();
    let whole = message(6, 1000, AGGREGATE, 7, &parts);
    // Header and first chunk, then a message of another chunk stream, then the rest.
    let (head, tail) = whole.split_at(12 + 128);
    let wire = [&started()[..], head, &message(4, 990, AUDIO, 7, &[0xaf, 1, 6]), tail, &video(1020, 10)].concat();
    let course = run([&wire[..]]);
    assert!(course.error.is_none());
    assert_eq!(times(&course.events), [990, 1000, 1007, 1020]);
    assert!(course.events.contains(&Event::Media(Media::Metadata(Metadata { frame_rate: Some(30.0) }))));
    assert!(run([&[handshake(), whole].concat()[..]]).events.is_empty(), "not before they were asked for");
}

#[test]
fn pings_are_answered_and_bytes_acknowledged_in_total() {
    let ping = message(2, 0, USER_CONTROL, 0, &[0, 6, 0, 0, 0x12, 0x67]);
    let window = message(2, 0, WINDOW_ACK_SIZE, 0, &1000u32.to_be_bytes());
    let first = [started(), window, ping].concat();
    let second = video(40, 700);
    let messages = said(&run([&first[..], &second]).output);
    let pong = |(_, message): &(u32, RtmpMessage)| match message {
        RtmpMessage::UserControl { event_type: UserControlEventType::PingResponse, timestamp, .. } => {
            timestamp.map(|time| time.value)
        }
        _ => None,
    };
    assert_eq!(messages.iter().filter_map(pong).collect::<Vec<_>>(), [0x1267]);
    let acknowledged = |(_, message): &(u32, RtmpMessage)| match message {
        RtmpMessage::Acknowledgement { sequence_number } => Some(*sequence_number as usize),
        _ => None,
    };
    let acknowledged: Vec<_> = messages.iter().filter_map(acknowledged).collect();
    assert_eq!(acknowledged, [first.len(), first.len() + second.len()]);
}

#[test]
fn a_server_has_a_byte_budget_until_it_plays() {
    let chatter = command(0, &[string("onBWDone"), number(0.0), null()]);
    let budget = STRANGER_BYTES as usize;
    let much = |bytes: usize| chatter.repeat(bytes / chatter.len());
    let over = [asked(), much(budget), start()].concat();
    for step in [1000, over.len()] {
        let course = run(over.chunks(step));
        assert!(matches!(course.error, Some(RtmpError::TooMuchBeforePlay)), "{:?}", course.error);
    }
    // What comes in one read with the start, and behind it, is not before it.
    let within = [asked(), much(budget - 8000), start(), much(budget), video(40, 100_000)].concat();
    for step in [1000, within.len()] {
        let course = run(within.chunks(step));
        assert!(course.error.is_none(), "{:?}", course.error);
        assert_eq!(times(&course.events), [40]);
    }
}

#[test]
fn messages_are_bounded_before_the_start_and_behind_it() {
    let early = [asked(), rtmp_wire::header(6, 0, 70_000, VIDEO, 7)].concat();
    let late = [started(), rtmp_wire::header(6, 0, 9 << 20, VIDEO, 7)].concat();
    let aggregate = [started(), rtmp_wire::header(6, 0, 9 << 20, AGGREGATE, 7)].concat();
    for wire in [early, late, aggregate] {
        assert!(matches!(run([&wire[..]]).error, Some(RtmpError::Chunk(_))));
    }
}

#[test]
fn what_is_fatal_to_others_ends_this_connection_at_most() {
    for defect in rtmp_wire::fatal_defects("name") {
        let behind_the_handshake = defect.bytes.get(handshake().len()..).unwrap_or_default();
        for before in [vec![], handshake(), asked(), started()] {
            let wire = [&before[..], behind_the_handshake].concat();
            let (whole, pieces) = (run([&wire[..]]), run(wire.chunks(999)));
            assert_eq!(whole.events, pieces.events, "{}", defect.name);
            assert_eq!(whole.error.is_some(), pieces.error.is_some(), "{}", defect.name);
        }
    }
}

#[test]
fn what_is_not_rtmp_is_no_handshake() {
    assert!(matches!(run([&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]]).error, Some(RtmpError::Handshake(_))));
}

#[test]
fn every_single_byte_split_gives_the_same_events() {
    let wire = playback();
    let single = run(wire.chunks(1));
    assert!(single.error.is_none());
    assert_eq!(single.events, run([&wire[..]]).events);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_damage_to_a_playback_makes_it_panic_or_invent_bytes(
        damage in prop::collection::vec((0usize..32_000, any::<u8>()), 1..40),
        moved in prop::option::of((3073usize..20_000, 1usize..200, 3073usize..20_000)),
        step in 1usize..6000,
    ) {
        let mut wire = playback();
        for (at, byte) in damage {
            let at = at % wire.len();
            wire[at] = byte;
        }
        if let Some((from, count, to)) = moved {
            let piece: Vec<u8> = wire.iter().copied().skip(from).take(count).collect();
            let to = to.min(wire.len());
            wire.splice(to..to, piece);
        }
        let whole = run([&wire[..]]);
        let bodies = whole.events.iter().map(|event| match event {
            Event::Media(media) => media.length(),
            _ => 0,
        }).sum::<usize>();
        prop_assert!(bodies <= wire.len());
        prop_assert_eq!(whole.events, run(wire.chunks(step)).events);
    }

    #[test]
    fn no_noise_makes_it_panic(noise in prop::collection::vec(any::<u8>(), 0..600)) {
        for before in [vec![3], handshake(), asked(), started()] {
            run([&before[..], &noise]);
        }
    }
}
