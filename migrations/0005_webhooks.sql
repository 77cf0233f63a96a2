-- What receivers of webhooks are told: one row for each event that changes what they know, written with the event. Its id is the event's.
CREATE TABLE messages (
    id       INTEGER PRIMARY KEY,
    stream   INTEGER NOT NULL,
    sequence INTEGER NOT NULL, -- within the stream, from 1, without holes
    at       INTEGER NOT NULL,
    body     TEXT    NOT NULL
) STRICT;

CREATE INDEX messages_by_stream ON messages (stream, id);

-- What was told of each stream last, and what the next message needs: a JSON object.
CREATE TABLE told (
    stream   INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    state    TEXT    NOT NULL
) STRICT;

CREATE TABLE webhooks (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    sealed_url        BLOB,
    sealed_secret     BLOB,
    sealed_old_secret BLOB,
    old_secret_until  INTEGER,
    configured        INTEGER NOT NULL, -- by the configuration, not by the API
    enabled           INTEGER NOT NULL,
    disabled_reason   TEXT,
    created_at        INTEGER NOT NULL,
    -- A message's age counts from here where it is older: creation, replay, being switched on again.
    since             INTEGER NOT NULL,
    -- All messages up to this id are done with.
    settled           INTEGER NOT NULL,
    -- Messages that nobody has: given up after their time, or deleted before they were delivered.
    given_up          INTEGER NOT NULL DEFAULT 0,
    purged            INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Streams that are further than their webhook's `settled`.
CREATE TABLE lanes (
    webhook INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    stream  INTEGER NOT NULL,
    settled INTEGER NOT NULL,
    PRIMARY KEY (webhook, stream)
) STRICT, WITHOUT ROWID;

-- The latest tries of each webhook.
CREATE TABLE deliveries (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    message INTEGER NOT NULL,
    stream  INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    status  INTEGER,
    error   TEXT,
    answer  TEXT
) STRICT;

CREATE INDEX deliveries_by_webhook ON deliveries (webhook, id);
