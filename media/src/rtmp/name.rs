//! Where a publisher wants to go: its `connect` application and its publish name to stream, slot and token.
//!
//! `rtmp://host/in/1234567?token` arrives split in two, and each encoder splits where it likes. The token is the query of
//! the publish name, else the query of the application; written bare or as `token=…`. A `b` behind the id names the
//! backup slot.

use crate::id::{Slot, StreamId};

/// The one application that takes publishers.
pub const APPLICATION: &str = "in";

/// A publisher's destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublishName<'a> {
    /// `None` when application or name cannot be a stream of ours.
    pub stream: Option<StreamId>,
    /// Which ingest point.
    pub slot: Slot,
    /// Empty when none was given. A secret.
    pub token: &'a str,
}

impl<'a> PublishName<'a> {
    /// Reads what an encoder sent. Whatever it is not sure of ends in `stream: None`, never in an error of its own: the
    /// encoder has to be told the same as for any unknown stream.
    pub fn parse(application: &'a str, key: &'a str) -> Self {
        let (application, application_query) = split_query(application);
        let (name, key_query) = split_query(key);
        let name = name.trim_matches('/');
        let (id, slot) = match name.strip_suffix('b') {
            Some(id) => (id, Slot::Backup),
            None => (name, Slot::Primary),
        };
        let stream = if application.trim_matches('/') == APPLICATION { id.parse().ok() } else { None };
        let token = [key_query, application_query].into_iter().map(token_of).find(|token| !token.is_empty());
        Self { stream, slot, token: token.unwrap_or_default() }
    }
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

/// The `token=` parameter, else the query's first part when it is bare.
fn token_of(query: &str) -> &str {
    // Encoders that split at the last slash leave one behind an application's query.
    let query = query.trim_end_matches('/');
    let mut parts = query.split('&');
    match parts.clone().find_map(|part| part.strip_prefix("token=")) {
        Some(token) => token,
        None => parts.next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(application: &str, key: &str) -> (Option<u64>, Slot, String) {
        let name = PublishName::parse(application, key);
        (name.stream.map(|id| id.0), name.slot, name.token.to_owned())
    }

    #[test]
    fn every_way_that_encoders_split_the_url_is_understood() {
        let primary = (Some(1234567), Slot::Primary, "secret".to_owned());
        for (application, key) in [
            // ffmpeg and rtmp2sink with the token in the name, or application and name given apart; OBS's two fields.
            ("in", "1234567?secret"),
            // ffmpeg with the token behind the application.
            ("in?secret", "1234567"),
            ("in?secret/", "1234567"),
            ("in/?secret", "1234567"),
            // Written as a parameter, alone or among others.
            ("in", "1234567?token=secret"),
            ("in", "1234567?token=secret&y=1"),
            ("in", "1234567?y=1&token=secret"),
            ("in?token=secret", "1234567"),
            ("in", "1234567?secret&y=1"),
            // librtmp leaves slashes.
            ("in/", "1234567?secret"),
            ("/in", "/1234567?secret"),
        ] {
            assert_eq!(parsed(application, key), primary, "{application} {key}");
        }
    }

    #[test]
    fn the_names_token_goes_before_the_applications() {
        assert_eq!(parsed("in?other", "1234567?secret").2, "secret");
        assert_eq!(parsed("in?secret", "1234567?").2, "secret");
    }

    #[test]
    fn a_b_behind_the_id_is_the_backup() {
        assert_eq!(parsed("in", "1234567b?secret"), (Some(1234567), Slot::Backup, "secret".to_owned()));
        assert_eq!(parsed("in", "1234567bb?secret").0, None);
    }

    #[test]
    fn anything_else_is_no_stream() {
        for (application, key) in [
            ("in/a", "1234567?token=x&y=1"),
            ("live", "1234567?secret"),
            ("", "1234567?secret"),
            ("in", ""),
            ("in", "b"),
            ("in", "+7?secret"),
            ("in", "-7?secret"),
            ("in", "12 34?secret"),
            ("in", "99999999999999999999999?secret"),
            ("in", "name?secret"),
        ] {
            assert_eq!(parsed(application, key).0, None, "{application} {key}");
        }
        assert_eq!(parsed("in", "1234567"), (Some(1234567), Slot::Primary, String::new()));
    }
}
