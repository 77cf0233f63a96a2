#!/usr/bin/python3
"""GStreamer's RTSP server with one stream, for who pulls by RTSP. Needs the system's Python, which has GStreamer's bindings.

    rtsp_server.py LAUNCH [USER PASSWORD]

Serves the pipeline LAUNCH, whose payloaders are called pay0 and pay1, as rtsp://127.0.0.1:PORT/live on a free port, which it prints. With
USER and PASSWORD it wants them by digest. Ends when its input does."""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer


def wanted(factory, user, password):
    """What checks credentials; it lets them at `factory`."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, user)
    auth.add_digest(user, password, token)
    factory.add_role_from_structure(Gst.Structure.new_from_string(
        f"{user}, {GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS}=(boolean)true, "
        f"{GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT}=(boolean)true"))
    return auth


def main(launch, *credentials):
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {launch} )")
    if credentials:
        server.set_auth(wanted(factory, *credentials))
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    loop = GLib.MainLoop()
    GLib.io_add_watch(GLib.IOChannel.unix_new(sys.stdin.fileno()), GLib.PRIORITY_DEFAULT, GLib.IOCondition.HUP,
                      lambda *_: loop.quit())
    loop.run()


main(*sys.argv[1:])
