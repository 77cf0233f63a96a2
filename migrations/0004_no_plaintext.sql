-- Only after src/store/sealing.rs has emptied them.
ALTER TABLE streams DROP COLUMN token;
ALTER TABLE streams DROP COLUMN srt_passphrase;
ALTER TABLE streams DROP COLUMN uri;
