use super::*;

fn header0(id: u8, time: u32, length: usize, kind: u8) -> Vec<u8> {
    let mut wire = vec![id];
    wire.extend(&time.min(EXTENDED).to_be_bytes()[1..]);
    wire.extend(&(length as u32).to_be_bytes()[1..]);
    wire.push(kind);
    wire.extend(1u32.to_le_bytes());
    if time >= EXTENDED {
        wire.extend(time.to_be_bytes());
    }
    wire
}

fn all(wire: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let mut dechunker = Dechunker::default();
    dechunker.set_limits(Limits::PUBLISHER);
    dechunker.buffer().extend_from_slice(wire);
    std::iter::from_fn(|| dechunker.next_message().transpose()).collect()
}

fn times(wire: &[u8]) -> Vec<u32> {
    all(wire).unwrap().iter().map(|message| message.timestamp).collect()
}

#[test]
fn chunk_streams_interleave() {
    let mut wire = header0(6, 10, 200, kind::VIDEO);
    wire.extend([7; 128]);
    wire.extend(header0(4, 11, 3, kind::AUDIO));
    wire.extend([8; 3]);
    wire.push(0xc6);
    wire.extend([7; 72]);
    let messages = all(&wire).unwrap();
    assert_eq!(messages.iter().map(|m| (m.kind, m.payload.len())).collect::<Vec<_>>(), [(8, 3), (9, 200)]);
    assert_eq!(messages[1].payload, [7; 200][..]);
}

#[test]
fn compressed_headers_add_their_delta() {
    let mut wire = header0(4, 1000, 1, kind::AUDIO);
    wire.push(0);
    wire.extend([0x44, 0, 0, 20, 0, 0, 1, kind::AUDIO, 0]);
    wire.extend([0x84, 0, 0, 30, 0]);
    wire.extend([0xc4, 0]);
    assert_eq!(times(&wire), [1000, 1020, 1050, 1080]);
}

#[test]
fn a_type_3_chunk_after_type_0_repeats_its_time() {
    let mut wire = header0(4, 1000, 1, kind::AUDIO);
    wire.extend([0, 0xc4, 0]);
    assert_eq!(times(&wire), [1000, 1000]);
}

#[test]
fn extended_timestamps_come_with_and_without_repetition() {
    for repeated in [true, false] {
        let mut wire = header0(6, 0x0100_0000, 300, kind::VIDEO);
        wire.extend([1; 128]);
        for length in [128, 44] {
            wire.push(0xc6);
            if repeated {
                wire.extend(0x0100_0000u32.to_be_bytes());
            }
            wire.extend(vec![1; length]);
        }
        wire.extend(header0(6, 5, 1, kind::VIDEO));
        wire.push(2);
        let messages = all(&wire).unwrap();
        assert_eq!(messages.len(), 2, "repeated: {repeated}");
        assert_eq!(messages[0].payload, [1; 300][..]);
    }
}

#[test]
fn time_wraps_at_32_bits() {
    let mut wire = header0(4, u32::MAX, 1, kind::AUDIO);
    wire.push(0);
    wire.extend([0x84, 0, 0, 40, 0]);
    assert_eq!(times(&wire), [u32::MAX, 39]);
}

#[test]
fn an_aborted_message_is_forgotten() {
    let mut wire = header0(6, 1, 200, kind::VIDEO);
    wire.extend([7; 128]);
    wire.extend(header0(2, 0, 4, kind::ABORT));
    wire.extend(6u32.to_be_bytes());
    wire.extend(header0(6, 2, 2, kind::VIDEO));
    wire.extend([9; 2]);
    let messages = all(&wire).unwrap();
    assert_eq!((messages.len(), messages[0].timestamp, &messages[0].payload[..]), (1, 2, &[9, 9][..]));
}

#[test]
fn a_full_header_may_repeat_inside_a_message() {
    let mut wire = header0(6, 1, 200, kind::VIDEO);
    wire.extend([7; 128]);
    wire.extend(header0(6, 1, 200, kind::VIDEO));
    wire.extend([7; 72]);
    assert_eq!(all(&wire).unwrap()[0].payload.len(), 200);
    let mut wire = header0(6, 1, 200, kind::VIDEO);
    wire.extend([7; 128]);
    wire.extend(header0(6, 1, 100, kind::VIDEO));
    assert_eq!(all(&wire), Err(ChunkError::LengthChanged));
}

#[test]
fn each_bound_has_its_error() {
    let set_chunk_size = |size: u32| [header0(2, 0, 4, kind::SET_CHUNK_SIZE), size.to_be_bytes().to_vec()].concat();
    assert_eq!(all(&set_chunk_size(0)), Err(ChunkError::ChunkSize));
    let huge = [set_chunk_size(0x7fff_ffff), header0(6, 0, 0xff_ffff, kind::VIDEO)].concat();
    assert!(matches!(all(&huge), Err(ChunkError::TooLong { length: 0xff_ffff, .. })));
    assert!(matches!(all(&header0(3, 0, Limits::COMMAND + 1, kind::COMMAND)), Err(ChunkError::TooLong { .. })));
    assert_eq!(all(&[0xc4, 0]), Err(ChunkError::NoEarlierHeader));

    let streams: Vec<u8> = (0..65u8).flat_map(|id| [&[0, id], &header0(0, 0, 0, kind::DATA)[1..]].concat()).collect();
    assert_eq!(all(&streams), Err(ChunkError::TooManyStreams));

    let partial = |id: u8| [header0(id, 0, 7 << 20, kind::VIDEO), vec![0; 128]].concat();
    assert_eq!(all(&[partial(6), partial(7)].concat()), Err(ChunkError::TooMuchPartial));
}

#[test]
fn long_one_chunk_messages_are_not_copied() {
    let mut dechunker = Dechunker::default();
    dechunker.set_limits(Limits::PUBLISHER);
    let mut wire = [header0(2, 0, 4, kind::SET_CHUNK_SIZE), 65536u32.to_be_bytes().to_vec()].concat();
    wire.extend(header0(6, 0, COPY_BELOW, kind::VIDEO));
    let at = wire.len();
    wire.extend(vec![1; COPY_BELOW]);
    dechunker.buffer().extend_from_slice(&wire);
    let expected = dechunker.buffer()[at..].as_ptr();
    assert_eq!(dechunker.next_message().unwrap().unwrap().payload.as_ptr(), expected);
}
