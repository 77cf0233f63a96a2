"""Sockets of this machine by the kernel's tables, IPv4 only."""

ESTABLISHED, LISTEN, BOUND = 0x01, 0x0A, 0x07  # states; a UDP socket is bound


def rows(protocol="tcp"):
    """(local, remote, state) of each; an end is (address in hexadecimal as the kernel has it, port)."""
    def end(text):
        address, port = text.split(":")
        return address, int(port, 16)
    with open(f"/proc/net/{protocol}") as table:
        fields = [line.split() for line in table.readlines()[1:]]
    return [(end(row[1]), end(row[2]), int(row[3], 16)) for row in fields]


def listening(port, protocol="tcp"):
    """Whether a socket waits on that port."""
    state = LISTEN if protocol == "tcp" else BOUND
    return any(local[1] == port and now == state for local, _, now in rows(protocol))


def established(port):
    """Connections to that port, as their clients see them."""
    return sum(remote[1] == port and now == ESTABLISHED for _, remote, now in rows())
