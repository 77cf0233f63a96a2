//! From a TOML file and the environment to a [`Config`], or to everything that is wrong with them.
//!
//! serde stops at the first fault. So each key that is given is tried alone on top of the defaults: whatever is wrong with it is told,
//! and hides nothing of the others.

use std::path::Path;

use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Empty, Value};
use figment::{Figment, Profile};

use super::{Config, Fault, Faults};

/// Environment variables of this form set `section.key`.
const PREFIX: &str = "WEIR__";
/// Short names of secrets, each with its key; `WEIR__SECTION__KEY` wins.
const SHORT: [(&str, [&str; 2]); 2] = [("WEIR_API_KEY", ["api", "key"]), ("WEIR_TOKEN_KEY", ["data", "token_key"])];

/// Reads a file (none: defaults only) and this process's environment.
pub fn load(file: Option<&Path>) -> Result<Config, Faults> {
    let text = match file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Faults(vec![Fault::new("", format!("cannot read {}: {error}", path.display()))]))?,
        None => String::new(),
    };
    load_from(
        &text,
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    )
}

/// Reads a file's text and the given environment.
pub fn load_from(toml: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Config, Faults> {
    let file = match Figment::from(Toml::string(toml)).extract::<Dict>() {
        Ok(file) => file,
        Err(error) => return Err(Faults(error.into_iter().map(|e| Fault::new("", e.kind.to_string())).collect())),
    };
    let defaults = schema();
    let mut given = Vec::new();
    flatten(&mut given, &Value::from(file), &defaults, &mut Vec::new());
    let mut faults = Vec::new();
    let mut variables: Vec<_> =
        environment.into_iter().filter(|(name, _)| short(name).is_some() || name.starts_with(PREFIX)).collect();
    variables.sort_by(|a, b| (short(&a.0).is_none(), &a.0).cmp(&(short(&b.0).is_none(), &b.0)));
    for (name, text) in variables {
        match variable(&name, &text, &defaults) {
            Ok(leaf) => given.push(leaf),
            Err(fault) => faults.push(fault),
        }
    }

    let mut all = Figment::from(Serialized::defaults(Config::default()));
    for (path, value) in given {
        let leaf = Serialized::from(nest(&path, value), Profile::Default);
        if let Err(error) = Figment::from(Serialized::defaults(Config::default())).merge(&leaf).extract::<Config>() {
            faults.extend(error.into_iter().map(|error| fault(&path, &error)));
        } else {
            all = all.merge(leaf);
        }
    }
    match all.extract::<Config>() {
        Ok(config) => faults.extend(config.validate()),
        Err(error) => faults.extend(error.into_iter().map(|error| fault(&[], &error))),
    }
    if faults.is_empty() { all.extract().map_err(|e| Faults(vec![fault(&[], &e)])) } else { Err(Faults(faults)) }
}

/// Every key with its default: what is known, and of which type.
fn schema() -> Value {
    Value::serialize(Config::default()).unwrap_or(Value::from(Empty::Unit))
}

/// Takes a file's tables apart into the keys they set; a table that the schema does not have stays whole.
fn flatten(into: &mut Vec<(Vec<String>, Value)>, value: &Value, schema: &Value, path: &mut Vec<String>) {
    if let (Value::Dict(_, given), Value::Dict(_, known)) = (value, schema) {
        for (key, value) in given {
            path.push(key.clone());
            // Tables of the schema are two levels deep, so this does not run with the file's nesting.
            flatten(into, value, known.get(key).unwrap_or(&Value::from(Empty::None)), path);
            path.pop();
        }
    } else {
        into.push((path.clone(), value.clone()));
    }
}

/// What a short name stands for.
fn short(name: &str) -> Option<[&'static str; 2]> {
    SHORT.iter().find(|(short, _)| *short == name).map(|(_, path)| *path)
}

/// What an environment variable sets. The schema's default tells how its text is meant.
fn variable(name: &str, text: &str, schema: &Value) -> Result<(Vec<String>, Value), Fault> {
    let path: Vec<String> = match short(name) {
        Some(path) => path.map(str::to_owned).to_vec(),
        None => name[PREFIX.len()..].to_lowercase().split("__").map(str::to_owned).collect(),
    };
    let wrong = |problem: String| Fault::new(dotted(&path), format!("{problem} (environment {name})"));
    let default = path.iter().try_fold(schema, |value, key| value.as_dict()?.get(key));
    let value = match default {
        None => return Err(wrong("unknown key".into())),
        Some(Value::Array(..) | Value::Dict(..)) => {
            serde_json::from_str::<Value>(text).map_err(|error| wrong(format!("not JSON: {error}")))?
        }
        Some(Value::Bool(..)) => text.parse::<bool>().map_err(|_| wrong("neither true nor false".into()))?.into(),
        Some(Value::Num(..)) => text.parse::<i64>().map_err(|_| wrong("not a whole number".into()))?.into(),
        Some(_) => Value::from(text),
    };
    Ok((path, value))
}

/// `{a: {b: value}}`.
fn nest(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |value, key| Value::from(Dict::from([(key.clone(), value)])))
}

fn fault(path: &[String], error: &figment::Error) -> Fault {
    use figment::error::Kind;
    // Where serde did not say how deep the fault lies, the key itself is the best that is known.
    let mut at = if error.path.len() >= path.len() { error.path.clone() } else { path.to_vec() };
    let problem = match &error.kind {
        Kind::UnknownField(field, known) => {
            if at.last() != Some(field) {
                at.push(field.clone());
            }
            format!("unknown key; known here: {}", known.join(", "))
        }
        kind => kind.to_string(),
    };
    Fault::new(dotted(&at), problem)
}

/// `quality_sets[0].name` of `["quality_sets", "0", "name"]`.
fn dotted(path: &[String]) -> String {
    let mut text = String::new();
    for key in path {
        if key.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            text.push_str(&format!("[{key}]"));
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(key);
        }
    }
    text
}
