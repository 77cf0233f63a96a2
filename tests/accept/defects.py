"""Wire bytes that ended other RTMP servers, or that they wrongly refused. Each case is a function of a connection to
a stream that may be published to.

Hostile cases may be answered in any way that leaves the server standing. Legal ones have to be let in: they return
normally only after a few seconds of their media were taken.
"""

import struct

import rtmp_push as rtmp
from rtmp_push import amf, command, message

HOSTILE, LEGAL = {}, {}
MEDIA_SECONDS = 3


def case(table):
    def add(function):
        table[function.__name__] = function
        return function
    return add


@case(HOSTILE)
def nested_amf_before_connect(c, flv):
    """Objects 4000 deep in one 16 kB message."""
    c.send(rtmp.set_chunk_size(65536) + message(3, 0, rtmp.COMMAND, 0, amf("connect", 1) + b"\x03\x00\x01a" * 4000 + b"\x05"))


@case(HOSTILE)
def command_of_one_value(c, flv):
    c.send(command("connect") + command("publish"))


@case(HOSTILE)
def empty_messages_of_every_type(c, flv):
    c.send(b"".join(message(3, 0, kind, 0, b"") for kind in range(256)))


@case(HOSTILE)
def a_million_create_streams(c, flv):
    """37 MB of commands; memory must not grow with them."""
    c.send(c.connect_commands())
    thousand = command("createStream", 4, None) * 1000
    for _ in range(1000):
        c.send(thousand)


@case(HOSTILE)
def sixteen_megabytes_in_one_chunk(c, flv):
    c.send(rtmp.set_chunk_size(0x7FFFFFFF))
    body = bytes(0xFFFFFF)
    c.send(message(3, 0, rtmp.COMMAND, 0, body, size=len(body)))


@case(HOSTILE)
def partial_messages_on_every_chunk_stream(c, flv):
    """The head of a large message on each of 64 chunk streams, none completed."""
    for chunk_stream in range(3, 64):
        c.send(rtmp.chunks(chunk_stream, 0, rtmp.VIDEO, 1, bytes(1 << 20), size=128)[0])


@case(HOSTILE)
def chunk_size_zero(c, flv):
    c.send(rtmp.set_chunk_size(0) + c.connect_commands())


@case(HOSTILE)
def continuation_without_a_message(c, flv):
    c.send(b"\xc9" * 4096)


@case(HOSTILE)
def noise(c, flv):
    c.send(bytes((i * 7919 + (i >> 8) * 104729) & 0xFF for i in range(1 << 16)))


def go_live(c, flv, encode=rtmp.plain, start=0, before=b"", metadata=True):
    c.publish()
    rtmp.send_headers(c, flv, metadata=metadata, start=start)
    if before:
        c.send(before)
    rtmp.send_media(c, flv, MEDIA_SECONDS, start=start, encode=encode)


def data(c, body, kind=rtmp.DATA):
    return message(4, 0, kind, c.stream, body)


@case(LEGAL)
def audio_between_the_chunks_of_a_picture(c, flv):
    """Interleaving of chunk streams, with an Acknowledgement on chunk stream 2 in between too."""
    aac_config = next(body for kind, body in flv.headers if kind == rtmp.AUDIO)

    def encode(c, timestamp, kind, body):
        if kind == rtmp.AUDIO:
            return rtmp.plain(c, timestamp, kind, body)
        pieces = rtmp.chunks(6, timestamp, kind, c.stream, body)
        between = message(4, timestamp, rtmp.AUDIO, c.stream, aac_config) + message(2, 0, rtmp.ACKNOWLEDGEMENT, 0, struct.pack(">I", 1))
        return pieces[0] + (between if len(pieces) > 1 else b"") + b"".join(pieces[1:])
    go_live(c, flv, encode)


@case(LEGAL)
def extended_timestamps_not_repeated(c, flv):
    """An encoder that has run for 4 h 39 min and omits the extended timestamp in continuation chunks."""
    go_live(c, flv, start=rtmp.EXTENDED + 1, encode=lambda c, timestamp, kind, body: message(
        4 if kind == rtmp.AUDIO else 6, timestamp, kind, c.stream, body, repeat_extended=False))


@case(LEGAL)
def timestamps_wrap_at_32_bits(c, flv):
    go_live(c, flv, start=0xFFFFFFFF - 1500, encode=lambda c, timestamp, kind, body: rtmp.plain(c, timestamp & 0xFFFFFFFF, kind, body))


@case(LEGAL)
def set_data_frame_alone(c, flv):
    go_live(c, flv, metadata=False, before=data(c, amf("@setDataFrame")) + data(c, amf("@setDataFrame", "onMetaData")))


@case(LEGAL)
def rare_values_in_metadata(c, flv):
    """Date, long string, typed object, and a string that is not UTF-8."""
    key = rtmp.key_bytes
    rare = (b"\x08\x00\x00\x00\x04"
            + key("date") + b"\x0b" + struct.pack(">dh", 1.7e12, 0)
            + key("long") + b"\x0c" + struct.pack(">I", 1000) + b"x" * 1000
            + key("typed") + b"\x10" + key("Class") + key("a") + amf(1) + b"\x00\x00\x09"
            + key("bytes") + b"\x02\x00\x02\xff\xfe" + b"\x00\x00\x09")
    go_live(c, flv, metadata=False, before=data(c, amf("@setDataFrame", "onMetaData") + rare))


@case(LEGAL)
def amf3_data_with_a_leading_zero(c, flv):
    go_live(c, flv, metadata=False, before=data(c, b"\x00" + amf("@setDataFrame") + flv.metadata, rtmp.DATA_AMF3))


@case(LEGAL)
def bare_metadata_and_text(c, flv):
    go_live(c, flv, metadata=False, before=data(c, flv.metadata) + data(c, amf("onTextData", {"text": "hello"})))


@case(LEGAL)
def everything_pipelined_in_one_write(c, flv):
    """connect, createStream and publish before any answer."""
    c.send(c.connect_commands() + c.stream_commands() + c.publish_command())
    c.wait_for(b"NetStream.Publish.Start")
    rtmp.send_headers(c, flv)
    rtmp.send_media(c, flv, MEDIA_SECONDS)
