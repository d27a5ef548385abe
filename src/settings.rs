//! Where settings come from: defaults < TOML file < environment < flags. An unknown key is an error
//! in each of them.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::files::read_toml;

/// The layers that every configurable subcommand takes.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Layers {
    /// A TOML file with settings. Flags win over the environment, which wins over the file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Any one setting of the file, with dots between nested keys, as in gateway.flush_ms=50.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Settings given by flags of their own.
#[derive(Debug, Default)]
pub(crate) struct Flags(Table);

impl Flags {
    /// Adds a flag if it was given.
    pub(crate) fn with(mut self, key: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.0.insert(key.into(), value.into());
        }
        self
    }

    /// Adds a repeatable flag if it was given at all; it replaces the whole list below.
    pub(crate) fn with_list(self, key: &str, values: Vec<String>) -> Self {
        let given = !values.is_empty();
        self.with(key, given.then_some(values))
    }

    /// Adds a path.
    pub(crate) fn with_path(self, key: &str, path: Option<PathBuf>) -> Self {
        self.with(key, path.map(|path| path.to_string_lossy().into_owned()))
    }
}

impl Layers {
    /// All layers in one table. `prefix` is the environment's, such as `CONCLAVE_NODE_`; the rest
    /// of a variable's name is the key in capitals, with `__` between nested keys.
    pub(crate) fn read(&self, prefix: &str, flags: Flags) -> anyhow::Result<Table> {
        let file = self
            .config
            .as_deref()
            .map(read_toml)
            .transpose()?
            .unwrap_or_default();
        layer(file, prefix, std::env::vars(), &self.set, flags)
    }
}

/// The settings that a table holds.
pub(crate) fn parse<T: DeserializeOwned>(table: Table) -> anyhow::Result<T> {
    table.try_into().map_err(|error| {
        let error = error.to_string();
        anyhow!(
            "[CV-CLI-030] settings: {}; correct the file, variable or flag",
            error.trim()
        )
    })
}

fn layer(
    file: Table,
    prefix: &str,
    environment: impl Iterator<Item = (String, String)>,
    set: &[String],
    Flags(flags): Flags,
) -> anyhow::Result<Table> {
    let mut table = file;
    for (name, value) in environment {
        if let Some(key) = name.strip_prefix(prefix) {
            let key = key.to_lowercase().replace("__", ".");
            put(&mut table, &key, value_of(&value))?;
        }
    }
    for text in set {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| anyhow!("[CV-CLI-031] --set {text}: no value; write it as KEY=VALUE"))?;
        put(&mut table, key.trim(), value_of(value.trim()))?;
    }
    overlay(&mut table, flags);
    Ok(table)
}

/// Puts a value under a dotted key.
fn put(table: &mut Table, key: &str, value: Value) -> anyhow::Result<()> {
    let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut inner = table;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let next = inner
            .entry(part)
            .or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else {
            bail!("[CV-CLI-032] {key}: {part} holds no further settings; correct the key");
        };
        inner = next;
    }
    inner.insert(last.into(), value);
    Ok(())
}

/// What TOML makes of the text, or else the text itself, so that strings need no quotes.
fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    match parsed {
        Ok(mut table) if table.len() == 1 => table.remove("value").unwrap_or_else(|| text.into()),
        _ => text.into(),
    }
}

fn overlay(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Example {
        port: u16,
        name: String,
        inner: Inner,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        flush_ms: u64,
        nodes: Vec<String>,
    }

    impl Default for Example {
        fn default() -> Self {
            Self {
                port: 1,
                name: "default".into(),
                inner: Inner::default(),
            }
        }
    }

    fn read(
        file: &str,
        env: &[(&str, &str)],
        set: &[&str],
        flags: Flags,
    ) -> anyhow::Result<Example> {
        let file = toml::from_str(file)?;
        let env = env
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
        parse(layer(file, "CONCLAVE_TEST_", env, &set, flags)?)
    }

    #[test]
    fn each_layer_wins_over_the_one_below() {
        let env = [("CONCLAVE_TEST_PORT", "3"), ("CONCLAVE_OTHER_PORT", "9")];
        let flag = || Flags::default().with("port", Some(5));
        assert_eq!(read("", &[], &[], Flags::default()).unwrap().port, 1);
        assert_eq!(
            read("port = 2", &[], &[], Flags::default()).unwrap().port,
            2
        );
        assert_eq!(
            read("port = 2", &env, &[], Flags::default()).unwrap().port,
            3
        );
        assert_eq!(
            read("port = 2", &env, &["port=4"], Flags::default())
                .unwrap()
                .port,
            4
        );
        assert_eq!(read("port = 2", &env, &["port=4"], flag()).unwrap().port, 5);
    }

    #[test]
    fn nested_keys_come_from_every_layer_and_keep_their_siblings() {
        let file = "[inner]\nflush_ms = 1\nnodes = [\"a\"]";
        let env = [("CONCLAVE_TEST_INNER__FLUSH_MS", "2")];
        let read = |set: &[&str]| read(file, &env, set, Flags::default()).unwrap().inner;
        assert_eq!(
            read(&[]),
            Inner {
                flush_ms: 2,
                nodes: vec!["a".into()]
            }
        );
        assert_eq!(read(&["inner.flush_ms=3"]).flush_ms, 3);
        assert_eq!(read(&["inner.nodes=[\"b\", \"c\"]"]).nodes, ["b", "c"]);
    }

    #[test]
    fn unknown_keys_are_errors_in_every_layer() {
        let env = [("CONCLAVE_TEST_PROT", "3")];
        let flag = Flags::default().with("prot", Some(1));
        for result in [
            read("prot = 1", &[], &[], Flags::default()),
            read("", &env, &[], Flags::default()),
            read("", &[], &["prot=1"], Flags::default()),
            read("", &[], &["port=1", "port.deep=1"], Flags::default()),
            read("", &[], &[], flag),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(
                error.starts_with("[CV-CLI-03") || error.contains("prot"),
                "{error}"
            );
        }
    }

    #[test]
    fn text_that_is_no_toml_is_a_string() {
        for text in ["127.0.0.1:26700", "/a b/c", "plain", "a = 1\nb = 2"] {
            assert_eq!(value_of(text), Value::String(text.into()));
        }
        assert_eq!(value_of("7"), Value::Integer(7));
        assert_eq!(value_of("\"7\""), Value::String("7".into()));
    }
}
