-- What streams received in ten seconds each (src/store/health.rs). Rows of the same stream and time add up.
CREATE TABLE health (
    id           INTEGER PRIMARY KEY,
    stream       INTEGER NOT NULL,
    at           INTEGER NOT NULL, -- its begin, milliseconds since 1970, UTC
    covered_ms   INTEGER NOT NULL, -- time of it in which something was received
    bytes        INTEGER NOT NULL,
    frames       INTEGER NOT NULL,
    height       INTEGER NOT NULL,
    fps_milli    INTEGER NOT NULL,
    gop_frames   INTEGER NOT NULL
) STRICT;

CREATE INDEX health_by_stream ON health (stream, at);
CREATE INDEX health_by_age ON health (at);
