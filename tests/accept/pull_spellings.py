"""Ways to write an address that must not be pulled from: this machine and private networks, in disguise and straight."""

import ipaddress
import socket

# With `{port}`, where nothing may connect to, and `{origin}`, an address and port that may be pulled from.
DECIMAL = ["2130706433:{port}", "127.1:{port}", "127.0.1:{port}", "0:{port}", "6425673729:{port}", "383.0.0.1:{port}", "127.0.0.01:{port}"]
OCTAL = ["0177.0.0.1:{port}", "0177.0000.0000.0001:{port}", "017700000001:{port}", "00000177.0.0.1:{port}", "0177.1:{port}"]
HEXADECIMAL = ["0x7f000001:{port}", "0x7F000001:{port}", "0x7f.0x0.0x0.0x1:{port}", "0x7f.1:{port}", "127.0x0.0.0x1:{port}", "0x0:{port}"]
PLAIN = ["127.0.0.1:{port}", "127.0.0.3:{port}", "127.255.255.254:{port}", "0.0.0.0:{port}"]
IPV6 = ["[::1]:{port}", "[0:0:0:0:0:0:0:1]:{port}", "[0000:0000:0000:0000:0000:0000:0000:0001]:{port}", "[::]:{port}", "[::0001]:{port}"]
IPV4_IN_IPV6 = [
    "[::ffff:127.0.0.1]:{port}", "[::FFFF:127.0.0.1]:{port}", "[::ffff:7f00:1]:{port}", "[0:0:0:0:0:ffff:127.0.0.1]:{port}",  # mapped
    "[::127.0.0.1]:{port}", "[::7f00:1]:{port}",  # compatible
    "[::ffff:0:127.0.0.1]:{port}",  # translated
    "[64:ff9b::127.0.0.1]:{port}", "[64:ff9b::7f00:1]:{port}", "[64:ff9b:1::7f00:1]:{port}",  # NAT64
    "[2002:7f00:1::]:{port}", "[2002:7f00:1::1]:{port}"]  # 6to4
ZONES = ["[::1%25lo]:{port}", "[::1%lo]:{port}", "[fe80::1%25lo]:{port}", "[fe80::1%25eth0]:{port}"]
DOTS = ["127.0.0.1.:{port}", "127.1.:{port}", "0.0.0.0.:{port}", "127%2e0%2e0%2e1:{port}", "127.0.0%2E1:{port}", "%31%32%37.0.0.1:{port}",
        "127。0。0。1:{port}", "１２７.０.０.１:{port}", "①②⑦.⓪.⓪.①:{port}", "127.0.0.1%00.example.org:{port}"]
NAMES = ["localhost:{port}", "LOCALHOST:{port}", "LocalHost:{port}", "localhost.:{port}", "localhost%2e:{port}", "localhost.localdomain:{port}",
         "ip6-localhost:{port}", "ip6-loopback:{port}", "any.localhost:{port}", "ｌｏｃａｌｈｏｓｔ:{port}"]
USERINFO = ["user@127.0.0.1:{port}", "user:word@127.0.0.1:{port}", "example.org@127.0.0.1:{port}", "example.org:80@127.0.0.1:{port}",
            "{origin}@127.0.0.1:{port}", "127.0.0.2@[::1]:{port}", "user@user@127.0.0.1:{port}"]
# Readers of URLs differ about which of the two is the host; the one that may be pulled from is fair.
EITHER = ["{origin}#@127.0.0.1:{port}", "{origin}?@127.0.0.1:{port}", "{origin}/@127.0.0.1:{port}", "127.0.0.1:{port}#@{origin}",
          "127.0.0.1:{port}\\@{origin}", "{origin}\\@127.0.0.1:{port}", "127.0.0.2%40127.0.0.1:{port}"]
# Nothing of this machine, so that only the error tells whether anybody was asked.
PRIVATE = ["10.0.0.1:{port}", "172.16.0.1:{port}", "192.168.1.1:{port}", "169.254.169.254:{port}", "100.64.0.1:{port}", "198.18.0.1:{port}",
           "224.0.0.1:{port}", "255.255.255.255:{port}", "[fd00::1]:{port}", "[fe80::1]:{port}", "[ff02::1]:{port}", "[fec0::1]:{port}",
           "[::ffff:10.0.0.1]:{port}", "[2002:a00:1::1]:{port}", "[64:ff9b::a9fe:a9fe]:{port}", "2852039166:{port}"]
AUTHORITIES = [*PLAIN, *DECIMAL, *OCTAL, *HEXADECIMAL, *IPV6, *IPV4_IN_IPV6, *ZONES, *DOTS, *NAMES, *USERINFO, *PRIVATE]
SCHEMES = ["http://{}/live.m3u8", "rtmp://{}/live/stream", "rtsp://{}/live", "srt://{}?mode=caller"]
# Nothing that is pulled; the API says so at once.
WRONG = ["file:///etc/passwd", "FILE:///etc/passwd", "file://localhost/etc/passwd", "gopher://127.0.0.1:{port}/_x", "ftp://127.0.0.1:{port}/x", "tcp://127.0.0.1:{port}",
         "udp://127.0.0.1:{port}", "unix:///run/x", "data:application/x-mpegurl,x", "concat:http://127.0.0.1:{port}/x", "crypto+http://127.0.0.1:{port}/x",
         "pipe:0", "//127.0.0.1:{port}/x", "http:127.0.0.1:{port}/x", "http:///127.0.0.1:{port}/x", "srt://:{port}?mode=listener",
         "srt://127.0.0.1:{port}?mode=rendezvous", "rtmp://127.0.0.1:{port}"]


def own():
    """This machine's name and private addresses, as authorities."""
    found = set()
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            try:
                one.connect((target, 9))  # sends nothing, only chooses the address
                found.add(one.getsockname()[0])
            except OSError:
                pass  # there is no way out
    addresses = [ipaddress.ip_address(text) for text in sorted(found)]
    private = [address for address in addresses if not address.is_global and not address.is_loopback]
    written = [f"[{address}]" if address.version == 6 else str(address) for address in private]
    written += [str(int(address)) for address in private if address.version == 4]
    if private:
        written.append(socket.gethostname())
    return [text + ":{port}" for text in written]


def spelled(every_scheme, **places):
    """(URI, whether either of two hosts is fair) of each way, by each scheme or by one in turn."""
    found = []
    for number, authority in enumerate([*AUTHORITIES, *own(), *EITHER]):
        schemes = SCHEMES if every_scheme else [SCHEMES[number % len(SCHEMES)]]
        found += [(scheme.format(authority.format(**places)), authority in EITHER) for scheme in schemes]
    return found


def wrong(**places):
    return [uri.format(**places) for uri in WRONG]
