-- Secrets are kept sealed (src/store/vault.rs). What stands in plain columns is moved here by the program, which holds the key;
-- the next migration drops those.
ALTER TABLE streams ADD COLUMN token_digest BLOB;
ALTER TABLE streams ADD COLUMN sealed_token BLOB;
ALTER TABLE streams ADD COLUMN sealed_srt_passphrase BLOB;
ALTER TABLE streams ADD COLUMN sealed_uri BLOB;
