//! The publish session against scripted encoders, hostile bytes, and its own claim that splits do not matter.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../tests/support/rtmp_wire.rs"]
mod rtmp_wire;

use std::collections::HashMap;

use bytes::Bytes;
use proptest::prelude::*;
use rml_amf0::Amf0Value;
use rml_rtmp::chunk_io::{ChunkDeserializer, ChunkSerializer};
use rml_rtmp::messages::{RtmpMessage, UserControlEventType};
use rml_rtmp::time::RtmpTimestamp;
use rtmp_wire::Outcome;
use weir_media::id::{Slot, StreamId};
use weir_media::rtmp::RtmpError;
use weir_media::rtmp::chunk::ChunkError;
use weir_media::rtmp::media::{Media, Metadata};
use weir_media::rtmp::session::{Event, PublishRequest, Session};

/// What a session made of some bytes.
#[derive(Debug, Default)]
struct Course {
    events: Vec<Event>,
    output: Vec<u8>,
    error: Option<RtmpError>,
}

/// Feeds pieces, lets every publisher in.
fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Course {
    let mut session = Session::default();
    let mut course = Course::default();
    for piece in pieces {
        session.handle(piece);
        loop {
            match session.poll_event() {
                Ok(Some(event)) => {
                    if matches!(event, Event::PublishRequested(_)) {
                        session.accept().unwrap();
                    }
                    course.events.push(event);
                }
                Ok(None) => break,
                Err(error) => {
                    course.error = Some(error);
                    return course;
                }
            }
        }
        course.output.extend(session.take_output());
    }
    course
}

/// An encoder that speaks through the crate's own client-side serializer.
struct Encoder {
    serializer: ChunkSerializer,
    wire: Vec<u8>,
}

impl Encoder {
    fn new() -> Self {
        Self { serializer: ChunkSerializer::new(), wire: rtmp_wire::handshake() }
    }

    fn send(&mut self, message: RtmpMessage, time: u32, stream: u32) {
        let payload = message.into_message_payload(RtmpTimestamp::new(time), stream).unwrap();
        self.wire.extend(self.serializer.serialize(&payload, false, false).unwrap().bytes);
    }

    fn command(&mut self, name: &str, transaction_id: f64, object: Amf0Value, more: Vec<Amf0Value>, stream: u32) {
        let message = RtmpMessage::Amf0Command {
            command_name: name.into(),
            transaction_id,
            command_object: object,
            additional_arguments: more,
        };
        self.send(message, 0, stream);
    }

    fn connect(&mut self, more: &[(&str, Amf0Value)]) {
        let known = [("app", text("in")), ("flashVer", text("test\u{7}/1"))];
        let properties = known.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.command("connect", 1.0, Amf0Value::Object(properties), vec![], 0);
    }
}

fn text(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.into())
}

/// A whole session as ffmpeg has it.
fn session_bytes() -> Vec<u8> {
    let mut encoder = Encoder::new();
    let chunk_size = encoder.serializer.set_max_chunk_size(4096, RtmpTimestamp::new(0)).unwrap();
    encoder.wire.extend(chunk_size.bytes);
    encoder.connect(&[]);
    encoder.command("releaseStream", 2.0, Amf0Value::Null, vec![text("7b?secret")], 0);
    encoder.command("FCPublish", 3.0, Amf0Value::Null, vec![text("7b?secret")], 0);
    encoder.command("createStream", 4.0, Amf0Value::Null, vec![], 0);
    encoder.command("_checkbw", 5.0, Amf0Value::Null, vec![], 0);
    encoder.command("publish", 6.0, Amf0Value::Null, vec![text("7b?secret"), text("live")], 1);
    let metadata = HashMap::from([("framerate".to_owned(), Amf0Value::Number(25.0))]);
    let values = vec![text("@setDataFrame"), text("onMetaData"), Amf0Value::Object(metadata)];
    encoder.send(RtmpMessage::Amf0Data { values }, 0, 1);
    let configuration = [&[0x17, 0, 0, 0, 0][..], &rtmp_wire::AVC_RECORD].concat();
    encoder.send(RtmpMessage::VideoData { data: configuration.into() }, 0, 1);
    encoder.send(RtmpMessage::AudioData { data: Bytes::from_static(&[0xaf, 0, 0x12, 0x10]) }, 0, 1);
    for frame in 0..12u32 {
        let filler = if frame % 6 == 0 { 9000 } else { 700 };
        encoder.send(RtmpMessage::VideoData { data: rtmp_wire::keyframe(filler).into() }, frame * 40, 1);
        encoder.send(RtmpMessage::AudioData { data: vec![0xaf; 200].into() }, frame * 40 + 7, 1);
    }
    encoder.command("FCUnpublish", 7.0, Amf0Value::Null, vec![text("7b?secret")], 0);
    encoder.command("deleteStream", 8.0, Amf0Value::Null, vec![Amf0Value::Number(1.0)], 0);
    encoder.wire
}

/// Decodes the replies behind S0, S1 and S2.
fn replies(output: &[u8]) -> Vec<RtmpMessage> {
    let mut deserializer = ChunkDeserializer::new();
    let mut rest = &output[1 + 2 * 1536..];
    let mut messages = vec![];
    while let Some(payload) = deserializer.get_next_message(rest).unwrap() {
        rest = &[];
        let message = payload.to_rtmp_message().unwrap();
        if let RtmpMessage::SetChunkSize { size } = message {
            deserializer.set_max_chunk_size(size as usize).unwrap();
        }
        messages.push(message);
    }
    messages
}

/// The information object of each reply command of that name.
fn information(messages: &[RtmpMessage], command: &str) -> Vec<HashMap<String, Amf0Value>> {
    let of = |message: &RtmpMessage| match message {
        RtmpMessage::Amf0Command { command_name, additional_arguments, .. } if command_name == command => {
            Some(additional_arguments.first().cloned().and_then(Amf0Value::get_object_properties).unwrap_or_default())
        }
        _ => None,
    };
    messages.iter().filter_map(of).collect()
}

/// `(code, level)` of each `onStatus`.
fn statuses(messages: &[RtmpMessage]) -> Vec<(String, String)> {
    let field = |object: &HashMap<String, Amf0Value>, name: &str| object[name].clone().get_string().unwrap();
    information(messages, "onStatus").iter().map(|object| (field(object, "code"), field(object, "level"))).collect()
}

#[test]
fn a_whole_session_gives_its_events_in_order() {
    let course = run([&session_bytes()[..]]);
    assert!(course.error.is_none(), "{:?}", course.error);
    let Some(Event::PublishRequested(request)) = course.events.first() else { panic!("{:?}", course.events) };
    let name = request.name();
    assert_eq!((name.stream, name.slot, name.token), (Some(StreamId(7)), Slot::Backup, "secret"));
    assert_eq!(request.agent.as_deref(), Some("test/1"), "control characters are left out");
    assert!(!format!("{request:?}").contains("secret"));
    assert_eq!(course.events[1], Event::Media(Media::Metadata(Metadata { frame_rate: Some(25.0) })));
    let time = |event: &Event| match event {
        Event::Media(Media::Video { timestamp, .. } | Media::Audio { timestamp, .. }) => Some(*timestamp),
        _ => None,
    };
    let times: Vec<_> = course.events.iter().filter_map(time).collect();
    let expected: Vec<_> = [0, 0].into_iter().chain((0..12).flat_map(|frame| [frame * 40, frame * 40 + 7])).collect();
    assert_eq!(times, expected);
    assert_eq!(course.events.last(), Some(&Event::Unpublished));
    let messages = replies(&course.output);
    let codes: Vec<_> = statuses(&messages).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["NetStream.Publish.Start", "NetStream.Unpublish.Success"]);
    let answered = information(&messages, "_result").len();
    assert_eq!(answered, 5, "connect, releaseStream, FCPublish, createStream, _checkbw");
}

#[test]
fn a_refusal_is_an_error_on_the_publish_stream_and_nothing_follows() {
    let mut session = Session::default();
    session.handle(&[rtmp_wire::opening("7?wrong"), rtmp_wire::video_configuration()].concat());
    assert!(matches!(session.poll_event(), Ok(Some(Event::PublishRequested(_)))));
    assert!(matches!(session.poll_event(), Ok(None)), "stands still until there is a decision");
    session.reject("unknown stream or wrong token").unwrap();
    assert!(matches!(session.poll_event(), Ok(None)));
    let output = session.take_output();
    assert_eq!(statuses(&replies(&output)), [("NetStream.Publish.BadName".to_owned(), "error".to_owned())]);
    let mut deserializer = ChunkDeserializer::new();
    let mut rest = &output[1 + 2 * 1536..];
    let mut last = None;
    while let Some(payload) = deserializer.get_next_message(rest).unwrap() {
        rest = &[];
        if let Ok(RtmpMessage::SetChunkSize { size }) = payload.to_rtmp_message() {
            deserializer.set_max_chunk_size(size as usize).unwrap();
        }
        last = Some(payload.message_stream_id);
    }
    assert_eq!(last, Some(1), "on the publish's message stream");
    session.handle(&rtmp_wire::mark());
    assert!(matches!(session.poll_event(), Ok(None)));
}

#[test]
fn an_expelled_publisher_is_told_so() {
    let mut session = Session::default();
    session.handle(&rtmp_wire::opening("7?secret"));
    assert!(matches!(session.poll_event(), Ok(Some(Event::PublishRequested(_)))));
    session.accept().unwrap();
    session.expel("push token was reset").unwrap();
    let told = statuses(&replies(&session.take_output()));
    assert_eq!(told.last(), Some(&("NetStream.Publish.Denied".to_owned(), "error".to_owned())));
}

#[test]
fn replies_of_one_read_are_one_buffer() {
    let mut session = Session::default();
    session.handle(&[rtmp_wire::handshake(), rtmp_wire::connect("in"), rtmp_wire::create_stream(2.0)].concat());
    assert!(matches!(session.poll_event(), Ok(None)));
    let messages = replies(&session.take_output());
    assert_eq!(messages.len(), 5, "window, bandwidth, chunk size, two results: {messages:?}");
    assert!(session.take_output().is_empty());
}

#[test]
fn an_enhanced_client_is_told_the_codecs_it_may_use() {
    let mut encoder = Encoder::new();
    let offer = Amf0Value::StrictArray(["hvc1", "avc1", "Opus"].map(text).to_vec());
    let map = Amf0Value::Object(HashMap::from([("*".to_owned(), Amf0Value::Number(4.0))]));
    encoder.connect(&[("fourCcList", offer), ("videoFourCcInfoMap", map), ("capsEx", Amf0Value::Number(7.0))]);
    let answer = information(&replies(&run([&encoder.wire[..]]).output), "_result").remove(0);
    assert_eq!(answer["fourCcList"], Amf0Value::StrictArray(vec![text("avc1")]));
    let can_decode = Amf0Value::Object(HashMap::from([("avc1".to_owned(), Amf0Value::Number(1.0))]));
    assert_eq!(answer["videoFourCcInfoMap"], can_decode);
    assert_eq!(answer["capsEx"], Amf0Value::Number(0.0));
    assert!(!answer.contains_key("audioFourCcInfoMap"), "only what was asked for");
}

#[test]
fn pings_are_answered_and_bytes_acknowledged_in_total() {
    let mut encoder = Encoder::new();
    encoder.connect(&[]);
    encoder.send(RtmpMessage::WindowAcknowledgement { size: 1000 }, 0, 0);
    let ping = RtmpMessage::UserControl {
        event_type: UserControlEventType::PingRequest,
        stream_id: None,
        buffer_length: None,
        timestamp: Some(RtmpTimestamp::new(4711)),
    };
    encoder.send(ping, 0, 0);
    // A half-sent message: nothing but bytes.
    let unfinished = [rtmp_wire::header(6, 0, 60_000, rtmp_wire::VIDEO, 1), vec![0]].concat();
    let more = vec![0; 600];
    let messages = replies(&run([&encoder.wire[..], &unfinished, &more]).output);
    let is_pong = |message: &RtmpMessage| match message {
        RtmpMessage::UserControl { event_type: UserControlEventType::PingResponse, timestamp, .. } => {
            timestamp.is_some_and(|time| time.value == 4711)
        }
        _ => false,
    };
    assert!(messages.iter().any(is_pong));
    let acknowledged = |message: &RtmpMessage| match message {
        RtmpMessage::Acknowledgement { sequence_number } => Some(*sequence_number as usize),
        _ => None,
    };
    let first = encoder.wire.len();
    let acknowledged: Vec<_> = messages.iter().filter_map(acknowledged).collect();
    assert_eq!(acknowledged, [first, first + unfinished.len() + more.len()]);
}

#[test]
fn a_stranger_has_a_byte_budget() {
    let chatter = rtmp_wire::command(0, &[rtmp_wire::string("_checkbw"), rtmp_wire::number(0.0), rtmp_wire::null()]);
    let wire = [rtmp_wire::handshake(), chatter.repeat(20_000)].concat();
    let course = run(wire.chunks(1000));
    assert!(matches!(course.error, Some(RtmpError::TooMuchBeforePublish)), "{:?}", course.error);
}

#[test]
fn every_known_fatal_input_is_borne_or_ends_its_own_session_only() {
    for defect in rtmp_wire::fatal_defects("7?secret") {
        let whole = run([&defect.bytes[..]]);
        let pieces = run(defect.bytes.chunks(999));
        let marked = whole.events.iter().any(|event| {
            matches!(event, Event::Media(Media::Video { timestamp: rtmp_wire::MARK, body }) if body[..] == rtmp_wire::keyframe(300)[..])
        });
        match defect.outcome {
            Outcome::GoesOn => {
                assert!(marked && whole.error.is_none(), "{}: {:?}", defect.name, whole.error);
                assert_eq!(whole.events, pieces.events, "{}", defect.name);
            }
            // Half a handshake is the wire task's business: it has the clock.
            Outcome::Closed if defect.name.starts_with("half a handshake") => assert!(whole.error.is_none()),
            Outcome::Closed => {
                assert!(!marked && whole.error.is_some(), "{}", defect.name);
                assert!(pieces.error.is_some(), "{}", defect.name);
            }
        }
    }
}

#[test]
fn the_fatal_inputs_mean_what_their_names_say() {
    let events = |name: &str| {
        let defects = rtmp_wire::fatal_defects("7?secret");
        let defect = defects.iter().find(|defect| defect.name == name).unwrap();
        run([&defect.bytes[..]]).events
    };
    let rate = |frame_rate| Event::Media(Media::Metadata(Metadata { frame_rate }));
    for (name, expected) in [
        ("AMF3 data with a leading zero", rate(Some(30.0))),
        ("AMF3 data without a leading zero", rate(Some(30.0))),
        ("onMetaData without @setDataFrame", rate(Some(25.0))),
        ("@setDataFrame without an object", rate(None)),
    ] {
        assert!(events(name).contains(&expected), "{name}: {:?}", events(name));
    }
    for name in ["AMF0 date in metadata", "string in metadata that is not UTF-8", "AMF0 objects 4000 deep in metadata"]
    {
        assert!(events(name).iter().any(|event| matches!(event, Event::Media(Media::UndecodableData(_)))), "{name}");
    }
    for name in ["extended timestamp repeated in each chunk", "extended timestamp not repeated"] {
        let body = Bytes::from(rtmp_wire::keyframe(300));
        assert!(events(name).contains(&Event::Media(Media::Video { timestamp: 0x0100_0010, body })), "{name}");
    }
    for name in ["message of 16 MB after SetChunkSize 2^31-1", "message of 16 MB before connect"] {
        let defects = rtmp_wire::fatal_defects("7?secret");
        let defect = defects.iter().find(|defect| defect.name == name).unwrap();
        let error = run(defect.bytes.chunks(999)).error;
        assert!(matches!(error, Some(RtmpError::Chunk(ChunkError::TooLong { length: 0xff_ffff, .. }))), "{error:?}");
    }
    let interleaved = events("audio chunk between two chunks of a video message");
    let video = Event::Media(Media::Video { timestamp: 10, body: rtmp_wire::keyframe(190).into() });
    assert!(
        interleaved.contains(&video)
            && interleaved.iter().any(|event| matches!(event, Event::Media(Media::Audio { .. })))
    );
}

#[test]
fn commands_out_of_order_end_the_session() {
    let publish_first = [rtmp_wire::handshake(), rtmp_wire::publish("7?secret")].concat();
    let connect_twice = [rtmp_wire::handshake(), rtmp_wire::connect("in"), rtmp_wire::connect("in")].concat();
    let publish_twice = [rtmp_wire::opening("7?secret"), rtmp_wire::publish("7?secret")].concat();
    for wire in [publish_first, connect_twice, publish_twice] {
        assert!(matches!(run([&wire[..]]).error, Some(RtmpError::Protocol(_))));
    }
}

#[test]
fn a_publish_without_a_name_is_still_a_request_to_be_refused() {
    let nameless = rtmp_wire::command(1, &[rtmp_wire::string("publish"), rtmp_wire::number(3.0), rtmp_wire::null()]);
    let wire = [rtmp_wire::handshake(), rtmp_wire::connect("in"), nameless].concat();
    let agent = Some("FMLE/3.0 (compatible; test)".to_owned());
    let expected = PublishRequest { application: "in".into(), key: String::new(), agent };
    assert_eq!(run([&wire[..]]).events, [Event::PublishRequested(expected)]);
}

#[test]
fn every_single_byte_split_gives_the_same_events() {
    let wire = session_bytes();
    let single = run(wire.chunks(1));
    assert!(single.error.is_none());
    assert_eq!(single.events, run([&wire[..]]).events);
}

proptest! {
    #[test]
    fn events_do_not_depend_on_the_split(cuts in prop::collection::vec(1usize..5000, 1..200)) {
        let wire = session_bytes();
        let mut rest = &wire[..];
        let mut pieces = vec![];
        for cut in cuts.iter().cycle() {
            let (piece, behind) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        let split = run(pieces);
        prop_assert!(split.error.is_none());
        prop_assert_eq!(split.events, run([&wire[..]]).events);
    }

    #[test]
    fn no_damage_to_a_session_makes_it_panic_or_invent_bytes(
        damage in prop::collection::vec((0usize..24_000, any::<u8>()), 1..40),
        moved in prop::option::of((3073usize..20_000, 1usize..200, 3073usize..20_000)),
        step in 1usize..6000,
    ) {
        let mut wire = session_bytes();
        for (at, byte) in damage {
            let at = at % wire.len();
            wire[at] = byte;
        }
        if let Some((from, count, to)) = moved {
            let piece: Vec<u8> = wire.iter().copied().skip(from).take(count).collect();
            let to = to.min(wire.len());
            wire.splice(to..to, piece);
        }
        let bodies = run(wire.chunks(step)).events.iter().map(|event| match event {
            Event::Media(media) => media.length(),
            _ => 0,
        }).sum::<usize>();
        prop_assert!(bodies <= wire.len());
    }

    #[test]
    fn no_noise_makes_it_panic(noise in prop::collection::vec(any::<u8>(), 0..600)) {
        run([&rtmp_wire::handshake()[..], &noise]);
        run([&rtmp_wire::opening("7?secret")[..], &noise]);
        run([&[3][..], &noise.repeat(6)]);
    }
}
