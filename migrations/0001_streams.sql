-- Times are milliseconds since 1970, UTC.

-- AUTOINCREMENT: the id of a deleted stream is never given to another, so old URLs stay dead.
CREATE TABLE streams (
    id                      INTEGER PRIMARY KEY AUTOINCREMENT,
    name                    TEXT    NOT NULL,
    active                  INTEGER NOT NULL,
    pull                    INTEGER NOT NULL,
    uri                     TEXT,
    srt_passphrase          TEXT,
    auto_record             INTEGER NOT NULL,
    record_type             TEXT    NOT NULL,
    dvr_enabled             INTEGER NOT NULL,
    dvr_duration            INTEGER NOT NULL,
    hls_mpegts_endlist_tag  INTEGER NOT NULL,
    quality_set_id          INTEGER,
    client_user_id          INTEGER,
    client_entity_data      TEXT,
    cdn_id                  INTEGER,
    html_overlay            INTEGER NOT NULL,
    broadcast_ids           TEXT    NOT NULL, -- JSON array
    projection              TEXT    NOT NULL,
    token                   TEXT    NOT NULL,
    created_at              INTEGER NOT NULL,
    started_at_primary      INTEGER,
    started_at_backup       INTEGER,
    finished_at_primary     INTEGER,
    -- First media sequence number that no playlist has shown yet.
    next_sequence           INTEGER NOT NULL DEFAULT 0,
    discontinuity_sequence  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What happened to streams, in order; webhooks deliver from here.
CREATE TABLE events (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    stream INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    json   TEXT    NOT NULL
) STRICT;
