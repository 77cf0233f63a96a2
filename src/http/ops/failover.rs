//! `/ops/streams/{id}/failover`: how one stream fails over, where it does not follow the server.

use std::ops::RangeInclusive;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use weir_media::failover::{FailoverSpec, LARGEST_TRIM_MS, LONGEST_DELAY, Mode, SHORTEST_DELAY, Standby};
use weir_media::id::Slot;

use crate::http::Api;
use crate::http::body::Body;
use crate::http::error::{ApiError, FieldErrors};
use crate::http::streams::{stream_id, unknown};
use crate::store::FailoverSettings;

/// A stream's own choices, null where it follows the server, and what its next broadcast gets.
#[derive(Serialize, ToSchema)]
pub struct FailoverView {
    #[serde(flatten)]
    own: Choices,
    /// What the next broadcast gets.
    effective: Effective,
}

/// What can be chosen; null is the server's default. Also the body of a change, in which what is left out stays.
#[derive(Serialize, ToSchema)]
pub struct Choices {
    /// `freeze`: lowest latency, the last picture is held until the switch. `hitless`: delayed, no repeated frame.
    #[schema(value_type = Option<String>, pattern = "^(freeze|hitless)$")]
    mode: Option<Mode>,
    /// `hot`: the input that is not shown is decoded too. `warm`: it is received only, and decoded when it is needed.
    #[schema(value_type = Option<String>, pattern = "^(hot|warm)$")]
    standby: Option<Standby>,
    /// How far a hitless output runs behind, milliseconds.
    #[schema(minimum = 500, maximum = 10000)]
    delay_ms: Option<u32>,
    /// By how much each input's sound is played later, milliseconds.
    #[schema(value_type = Option<Trims>)]
    trim_ms: Trims,
}

/// For encoders whose sound and picture are not in step; negative plays the sound earlier.
#[derive(Serialize, ToSchema)]
pub struct Trims {
    /// Of the primary input.
    #[schema(minimum = -500, maximum = 500)]
    primary: Option<i32>,
    /// Of the backup input.
    #[schema(minimum = -500, maximum = 500)]
    backup: Option<i32>,
}

/// The same without nulls.
#[derive(Serialize, ToSchema)]
pub struct Effective {
    #[schema(value_type = String)]
    mode: Mode,
    #[schema(value_type = String)]
    standby: Standby,
    delay_ms: u32,
    trim_ms: EffectiveTrims,
}

/// The same without nulls.
#[derive(Serialize, ToSchema)]
pub struct EffectiveTrims {
    primary: i32,
    backup: i32,
}

impl FailoverView {
    fn new(own: FailoverSettings, server: FailoverSpec) -> Self {
        let spec = own.over(server);
        Self {
            own: Choices {
                mode: own.mode,
                standby: own.standby,
                delay_ms: own.delay_ms,
                trim_ms: Trims { primary: own.trim_primary_ms, backup: own.trim_backup_ms },
            },
            effective: Effective {
                mode: spec.mode,
                standby: spec.standby,
                delay_ms: millis(spec.delay),
                trim_ms: EffectiveTrims { primary: spec.trim_ms(Slot::Primary), backup: spec.trim_ms(Slot::Backup) },
            },
        }
    }
}

/// How a stream fails over.
#[utoipa::path(get, path = "/ops/streams/{id}/failover", tag = "operations",
    params(("id" = u64, Path, description = "Stream")),
    responses((status = 200, body = FailoverView), (status = 404, description = "No such stream")))]
pub async fn get(api: web::Data<Api>, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let stream = api.store.stream(id).await?.ok_or_else(|| unknown(id))?;
    Ok(HttpResponse::Ok().json(FailoverView::new(stream.failover, api.config.failover.spec())))
}

/// Changes the given choices; null goes back to the server's default. A running broadcast stays as it is, the next one has the change.
#[utoipa::path(patch, path = "/ops/streams/{id}/failover", tag = "operations", request_body = Option<Choices>,
    params(("id" = u64, Path, description = "Stream")), responses(
    (status = 200, body = FailoverView),
    (status = 404, description = "No such stream"),
    (status = 422, description = "Unknown fields, or wrong values: `{\"errors\": {field: [texts]}}`; nothing is changed"),
))]
pub async fn patch(api: web::Data<Api>, id: web::Path<String>, body: Body) -> Result<HttpResponse, ApiError> {
    let id = stream_id(&id)?;
    let edited = api.control.edit_failover(id, move |settings| apply(&body.0, settings)).await?;
    let stream = edited.ok_or_else(|| unknown(id))??;
    Ok(HttpResponse::Ok().json(FailoverView::new(stream.failover, api.config.failover.spec())))
}

/// Writes the given choices over the present ones, and tells everything that is wrong at once.
fn apply(given: &Map<String, Value>, to: &mut FailoverSettings) -> Result<(), ApiError> {
    let mut errors = FieldErrors::new();
    let mut check = |field: String, result: Result<(), String>| {
        if let Err(wrong) = result {
            errors.entry(field).or_default().push(wrong);
        }
    };
    for (field, value) in given {
        let result = match field.as_str() {
            "mode" => choice(value, &mut to.mode, "must be freeze, hitless or null"),
            "standby" => choice(value, &mut to.standby, "must be hot, warm or null"),
            "delay_ms" => number(value, &mut to.delay_ms, millis(SHORTEST_DELAY)..=millis(LONGEST_DELAY)),
            "trim_ms" => match value {
                Value::Null => {
                    (to.trim_primary_ms, to.trim_backup_ms) = (None, None);
                    Ok(())
                }
                Value::Object(trims) => {
                    for (slot, value) in trims {
                        let range = -LARGEST_TRIM_MS..=LARGEST_TRIM_MS;
                        let result = match slot.as_str() {
                            "primary" => number(value, &mut to.trim_primary_ms, range),
                            "backup" => number(value, &mut to.trim_backup_ms, range),
                            _ => Err("is unknown; known here: primary, backup".into()),
                        };
                        check(format!("trim_ms.{slot}"), result);
                    }
                    Ok(())
                }
                _ => Err("must be an object with primary and backup, or null".into()),
            },
            _ => Err("is unknown; known here: mode, standby, delay_ms, trim_ms".into()),
        };
        check(field.clone(), result);
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::Invalid(errors)) }
}

fn choice<T: for<'a> Deserialize<'a>>(value: &Value, to: &mut Option<T>, wrong: &str) -> Result<(), String> {
    *to = Option::deserialize(value).map_err(|_| wrong.to_owned())?;
    Ok(())
}

fn number<T>(value: &Value, to: &mut Option<T>, range: RangeInclusive<T>) -> Result<(), String>
where
    T: for<'a> Deserialize<'a> + PartialOrd + std::fmt::Display,
{
    let number =
        Option::<T>::deserialize(value).ok().filter(|number| number.as_ref().is_none_or(|n| range.contains(n)));
    let (least, most) = (range.start(), range.end());
    *to = number.ok_or_else(|| format!("must be a whole number within {least} and {most}, or null"))?;
    Ok(())
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(body: Value, to: &mut FailoverSettings) -> Result<(), FieldErrors> {
        let Value::Object(given) = body else { panic!("no object") };
        apply(&given, to).map_err(|error| match error {
            ApiError::Invalid(errors) => errors,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn what_is_left_out_stays_and_null_follows_the_server() {
        let mut to = FailoverSettings::default();
        change(json!({"mode": "hitless", "delay_ms": 10_000, "trim_ms": {"backup": -500}}), &mut to).unwrap();
        change(json!({"standby": "warm", "trim_ms": {"primary": 500}}), &mut to).unwrap();
        let expected = FailoverSettings {
            mode: Some(Mode::Hitless),
            standby: Some(Standby::Warm),
            delay_ms: Some(10_000),
            trim_primary_ms: Some(500),
            trim_backup_ms: Some(-500),
        };
        assert_eq!(to, expected);
        change(json!({"mode": null, "trim_ms": {"backup": null}}), &mut to).unwrap();
        assert_eq!(to, FailoverSettings { mode: None, trim_backup_ms: None, ..expected });
        change(json!({"standby": null, "delay_ms": null, "trim_ms": null}), &mut to).unwrap();
        assert_eq!(to, FailoverSettings::default());
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let wrong = json!({
            "mode": "fast", "standby": true, "delay_ms": 499, "trim_ms": {"primary": 501, "backup": "1", "third": 0}, "delay": 1000,
        });
        let errors = change(wrong, &mut FailoverSettings::default()).unwrap_err();
        let fields: Vec<&str> = errors.keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            ["delay", "delay_ms", "mode", "standby", "trim_ms.backup", "trim_ms.primary", "trim_ms.third"]
        );
        assert_eq!(errors["delay_ms"], ["must be a whole number within 500 and 10000, or null"]);
        for wrong in [json!(-501), json!(1.5), json!(1e12), json!("1"), json!([]), json!(true)] {
            assert!(change(json!({"trim_ms": {"primary": wrong}}), &mut FailoverSettings::default()).is_err());
        }
        assert!(change(json!({"trim_ms": 5}), &mut FailoverSettings::default()).is_err());
    }
}
