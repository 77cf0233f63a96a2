#!/usr/bin/python3
"""GStreamer's RTSP server: plays an FLV file of H.264 and AAC from its begin to whoever asks.

    rtsp_origin.py PORT FILE

Prints `ready` once rtsp://127.0.0.1:PORT/live can be asked for. Needs the system's Python, which has GStreamer's bindings.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

# Parameter sets go along with each keyframe, as cameras send them.
MEDIA = ('( filesrc location="{}" ! flvdemux name=in '
         "in.video ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 "
         "in.audio ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )")


def main():
    port, path = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(MEDIA.format(path))
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit(f"rtsp_origin: port {port} is taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
