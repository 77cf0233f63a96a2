-- How a stream fails over, where it does not follow the server: a JSON object, a key that is left out is the server's default.
ALTER TABLE streams ADD COLUMN failover TEXT NOT NULL DEFAULT '{}';
