"""An SRT caller by libsrt itself, to learn what other callers do not print: the code it was rejected with.

    srt_caller.py HOST PORT STREAM_ID [PASSPHRASE [KEY_BYTES]]

Prints `connected` and stays until it is cut off or its input ends, or prints `rejected CODE REASON` and exits 1. The numbers are those of
libsrt's `srt.h`.
"""

import ctypes
import socket
import struct
import sys
import time

PASSPHRASE, PBKEYLEN, CONNTIMEO, STREAMID, TRANSTYPE = 26, 27, 36, 46, 50
CONNECTED = 5
LIVE = 0
LIBRARY = "libsrt-gnutls.so.1.5"


def load():
    srt = ctypes.CDLL(LIBRARY)
    srt.srt_getlasterror_str.restype = ctypes.c_char_p
    srt.srt_rejectreason_str.restype = ctypes.c_char_p
    srt.srt_startup()
    srt.srt_setloglevel(0)  # emergencies only: what matters is printed here
    return srt


def option(srt, connection, name, value):
    data = value if isinstance(value, bytes) else struct.pack("=i", value)
    if srt.srt_setsockflag(connection, name, data, len(data)) < 0:
        raise OSError(srt.srt_getlasterror_str().decode())


def connect(srt, host, port, stream_id, passphrase="", key_bytes=16, timeout_ms=3000):
    """A connected socket, or None and the code of the rejection."""
    connection = srt.srt_create_socket()
    option(srt, connection, TRANSTYPE, LIVE)
    option(srt, connection, CONNTIMEO, timeout_ms)
    if stream_id:
        option(srt, connection, STREAMID, stream_id.encode())
    if passphrase:
        option(srt, connection, PBKEYLEN, key_bytes)
        option(srt, connection, PASSPHRASE, passphrase.encode())
    # sockaddr_in
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)
    if srt.srt_connect(connection, address, len(address)) < 0:
        code = srt.srt_getrejectreason(connection)
        srt.srt_close(connection)
        return None, code
    return connection, 0


def main():
    host, port, stream_id, *secret = sys.argv[1:]
    srt = load()
    connection, code = connect(srt, host, int(port), stream_id, *secret[:1], *(int(size) for size in secret[1:]))
    if connection is None:
        print(f"rejected {code} {srt.srt_rejectreason_str(code).decode()}", flush=True)
        sys.exit(1)
    print("connected", flush=True)
    while srt.srt_getsockstate(connection) == CONNECTED:
        time.sleep(0.01)  # libsrt would tell by an epoll of its own
    print("cut off", flush=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
