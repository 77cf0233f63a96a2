//! A stream as clients write it: each given field is checked, and everything that is wrong is told at once.
//!
//! Fields that are unknown or read-only are ignored, because clients send back whole objects.

use serde::Deserialize;
use serde_json::{Map, Value};
use weir_media::pull::PullUri;

use crate::config::QualitySet;
use crate::http::error::{ApiError, FieldErrors};
use crate::store::{Ids, StreamFields};

const MAX_NAME: usize = 255;
const MAX_ENTITY_DATA: usize = 4096;
const DVR_SECONDS: std::ops::RangeInclusive<i64> = 30..=14_400;
/// What `SRTO_PASSPHRASE` takes; one character less than the documented API allows.
const PASSPHRASE_LENGTH: std::ops::RangeInclusive<usize> = 10..=79;

/// Writes the given fields over the present ones.
pub fn apply(given: &Map<String, Value>, to: &mut StreamFields, sets: &[QualitySet]) -> Result<(), ApiError> {
    let mut input = Input { given, errors: FieldErrors::new() };
    input.name(to);
    input.boolean("active", &mut to.active);
    input.boolean("pull", &mut to.pull);
    input.boolean("auto_record", &mut to.auto_record);
    input.boolean("dvr_enabled", &mut to.dvr_enabled);
    input.boolean("hls_mpegts_endlist_tag", &mut to.hls_mpegts_endlist_tag);
    input.boolean("html_overlay", &mut to.html_overlay);
    input.text("uri", &mut to.uri, uri);
    input.text("srt_passphrase", &mut to.srt_passphrase, passphrase);
    input.text("client_entity_data", &mut to.client_entity_data, |text| at_most(text, MAX_ENTITY_DATA));
    input.choice("record_type", &mut to.record_type);
    input.choice("projection", &mut to.projection);
    input.number("client_user_id", &mut to.client_user_id);
    input.number("cdn_id", &mut to.cdn_id);
    let mut set = to.quality_set_id;
    input.number("quality_set_id", &mut set);
    if set != to.quality_set_id && !set.is_none_or(|id| sets.iter().any(|set| i64::from(set.id) == id)) {
        input.wrong("quality_set_id", "must exist");
    }
    to.quality_set_id = set;
    let mut duration = Some(to.dvr_duration);
    input.number("dvr_duration", &mut duration);
    match duration {
        Some(seconds) if DVR_SECONDS.contains(&seconds) => to.dvr_duration = seconds,
        _ => input.wrong("dvr_duration", &format!("must be within {} and {}", DVR_SECONDS.start(), DVR_SECONDS.end())),
    }
    input.ids("broadcast_ids", &mut to.broadcast_ids);
    if !input.errors.is_empty() {
        return Err(ApiError::Invalid(input.errors));
    }
    if to.auto_record || to.dvr_enabled || to.html_overlay {
        return Err(ApiError::FeatureDisabled);
    }
    Ok(())
}

struct Input<'a> {
    given: &'a Map<String, Value>,
    errors: FieldErrors,
}

impl Input<'_> {
    fn wrong(&mut self, field: &str, text: &str) {
        let texts = self.errors.entry(field.into()).or_default();
        // A value of the wrong type is told once, not again as out of range.
        if texts.is_empty() {
            texts.push(text.into());
        }
    }

    fn name(&mut self, to: &mut StreamFields) {
        if let Some(name) = self.given.get("name") {
            match name {
                Value::String(name) => to.name = name.clone(),
                Value::Null => to.name.clear(),
                _ => return self.wrong("name", "must be a string"),
            }
        }
        if to.name.trim().is_empty() {
            self.wrong("name", "can't be blank");
        } else if let Err(text) = at_most(&to.name, MAX_NAME) {
            self.wrong("name", &text);
        }
    }

    fn boolean(&mut self, field: &str, to: &mut bool) {
        match self.given.get(field) {
            None => {}
            Some(Value::Bool(value)) => *to = *value,
            Some(_) => self.wrong(field, "must be true or false"),
        }
    }

    fn text(&mut self, field: &str, to: &mut Option<String>, check: impl Fn(&str) -> Result<(), String>) {
        match self.given.get(field) {
            None => {}
            Some(Value::Null) => *to = None,
            Some(Value::String(text)) => match check(text) {
                Ok(()) => *to = Some(text.clone()),
                Err(wrong) => self.wrong(field, &wrong),
            },
            Some(_) => self.wrong(field, "must be a string"),
        }
    }

    fn number(&mut self, field: &str, to: &mut Option<i64>) {
        match self.given.get(field) {
            None => {}
            Some(Value::Null) => *to = None,
            Some(value) => match value.as_i64() {
                Some(number) => *to = Some(number),
                None => self.wrong(field, "must be an integer"),
            },
        }
    }

    fn choice<T: for<'a> Deserialize<'a>>(&mut self, field: &str, to: &mut T) {
        if let Some(value) = self.given.get(field) {
            match T::deserialize(value) {
                Ok(value) => *to = value,
                Err(_) => self.wrong(field, "is not included in the list"),
            }
        }
    }

    fn ids(&mut self, field: &str, to: &mut Ids) {
        if let Some(value) = self.given.get(field) {
            match Ids::deserialize(value) {
                Ok(ids) => *to = ids,
                Err(_) => self.wrong(field, "must be a list of integers"),
            }
        }
    }
}

fn at_most(text: &str, most: usize) -> Result<(), String> {
    if text.chars().count() <= most { Ok(()) } else { Err(format!("is too long (maximum is {most} characters)")) }
}

fn passphrase(text: &str) -> Result<(), String> {
    if PASSPHRASE_LENGTH.contains(&text.len()) && text.bytes().all(|b| (b'!'..=b'~').contains(&b)) {
        Ok(())
    } else {
        let (least, most) = PASSPHRASE_LENGTH.into_inner();
        Err(format!("must have {least} to {most} printable ASCII characters without spaces"))
    }
}

fn uri(text: &str) -> Result<(), String> {
    PullUri::parse_list(text).map(drop).map_err(|error| error.to_string())
}
