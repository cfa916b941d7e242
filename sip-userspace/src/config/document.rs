//! Settings by name, each with the place that it comes from.
//!
//! A `--set` flag beats a variable of the environment, which beats the file. `sip.listen` is the
//! key `listen` in the table `[sip]`, and the variable `HOMEWARD_SIP_LISTEN`; in variables and
//! flags a list is separated by commas.

use std::{fmt, ops::RangeInclusive};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Inputs, KEYS};

/// Variables of the command line, which are no settings.
const OTHER_VARIABLES: &[&str] = &["HOMEWARD_CONFIG", "HOMEWARD_SOCKET"];

/// What is wrong with a configuration: one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {name}{reason}; {cure}")]
pub struct ConfigError {
    place: String,
    name: String,
    reason: String,
    cure: String,
}

impl ConfigError {
    /// The file can't be read.
    pub(super) fn file(path: &str, error: &std::io::Error) -> Self {
        let cure = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "write it after the commented homeward.example.toml, or name another with --config"
            }
            std::io::ErrorKind::PermissionDenied => "run as a user who may read it",
            _ => "make it a readable UTF-8 file",
        };
        Self {
            place: path.into(),
            name: String::new(),
            reason: error.to_string(),
            cure: cure.into(),
        }
    }
}

/// Where a setting stands.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// At a byte of the file.
    File(usize),
    /// In a variable.
    Variable(String),
    /// In a flag.
    Flag(String),
    /// Nowhere: it is missing.
    Missing,
}

/// A value that stands somewhere.
pub(super) struct Found<'a, T> {
    pub(super) value: T,
    pub(super) place: Place,
    name: &'static str,
    document: &'a Document<'a>,
}

enum Raw<'a> {
    Toml(&'a Spanned<DeValue<'a>>),
    Text(&'a str),
}

/// All settings as they were written.
pub(super) struct Document<'a> {
    inputs: Inputs<'a>,
    tree: DeTable<'a>,
    strange_variables: Vec<String>,
}

impl<'a> Document<'a> {
    /// Parses the file and refuses names that are no settings.
    pub(super) fn parse(inputs: &Inputs<'a>) -> Result<Self, ConfigError> {
        let empty = Self { inputs: *inputs, tree: DeTable::new(), strange_variables: Vec::new() };
        let tree = DeTable::parse(inputs.text).map_err(|error| {
            let place = error.span().map_or(Place::Missing, |span| Place::File(span.start));
            let reason = error.message().replace('\n', ", ");
            empty.error(&place, "", reason, "correct the TOML")
        })?;
        let mut document = Self { tree: tree.into_inner(), ..empty };
        document.refuse_unknown()?;
        let prefixed = inputs.environment.iter().filter(|(name, _)| name.starts_with("HOMEWARD_"));
        document.strange_variables = prefixed
            .map(|(name, _)| name.clone())
            .filter(|name| !OTHER_VARIABLES.contains(&name.as_str()))
            .filter(|name| !KEYS.iter().any(|key| variable(key) == *name))
            .collect();
        Ok(document)
    }

    pub(super) fn strange_variables(&self) -> &[String] {
        &self.strange_variables
    }

    fn refuse_unknown(&self) -> Result<(), ConfigError> {
        for (name, _) in self.inputs.flags {
            if !KEYS.contains(&name.as_str()) {
                return Err(self.unknown(&Place::Flag(name.clone()), name));
            }
        }
        for (section, table) in &self.tree {
            let here = Place::File(section.span().start);
            let section: &str = section.get_ref();
            if !KEYS.iter().any(|key| key.split_once('.').is_some_and(|(name, _)| name == section))
            {
                return Err(self.unknown(&here, section));
            }
            let Some(keys) = table.get_ref().as_table() else {
                let cure = format!("write it as a table: [{section}]");
                return Err(self.error(&here, section, "not a table", cure));
            };
            for key in keys.keys() {
                let name = format!("{section}.{}", key.get_ref());
                if !KEYS.contains(&name.as_str()) {
                    return Err(self.unknown(&Place::File(key.span().start), &name));
                }
            }
        }
        Ok(())
    }

    fn unknown(&self, place: &Place, name: &str) -> ConfigError {
        let section = name.split_once('.').map_or(name, |(section, _)| section);
        let near = |key: &&&str| key.split_once('.').is_some_and(|(other, _)| other == section);
        let known: Vec<_> = KEYS.iter().filter(near).copied().collect();
        let cure = if known.is_empty() {
            let sections = "node, sip, xdp, sources, receive, tcp, tls, proxy, probe, balance, load, \
                             subscriptions, dns, \
                            peers, control, store, auth, api, log";
            format!("the tables are {sections}")
        } else {
            format!("there are {}", known.join(", "))
        };
        self.error(place, name, "no such setting", cure)
    }

    pub(super) fn error(
        &self,
        place: &Place,
        name: &str,
        reason: impl fmt::Display,
        cure: impl fmt::Display,
    ) -> ConfigError {
        let path = self.inputs.path;
        let place = match place {
            Place::File(at) => {
                let before = self.inputs.text.get(..*at).unwrap_or(self.inputs.text);
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
                format!("{path}:{line}:{column}")
            }
            Place::Variable(name) => format!("variable {name}"),
            Place::Flag(name) => format!("--set {name}"),
            Place::Missing => path.to_owned(),
        };
        let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
        ConfigError { place, name, reason: reason.to_string(), cure: cure.to_string() }
    }

    fn find(&self, name: &'static str) -> Option<(Place, Raw<'_>)> {
        let flag = self.inputs.flags.iter().rev().find(|(flag, _)| flag == name);
        if let Some((_, value)) = flag {
            return Some((Place::Flag(name.to_owned()), Raw::Text(value)));
        }
        let wanted = variable(name);
        if let Some((_, value)) = self.inputs.environment.iter().find(|(name, _)| *name == wanted) {
            return Some((Place::Variable(wanted), Raw::Text(value)));
        }
        let (section, key) = name.split_once('.')?;
        let value = self.tree.get(section)?.get_ref().get(key)?;
        Some((Place::File(value.span().start), Raw::Toml(value)))
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &self,
        name: &'static str,
        bounds: RangeInclusive<u64>,
        default: u64,
    ) -> Result<Found<'_, u64>, ConfigError> {
        let Some((place, raw)) = self.find(name) else {
            return Ok(self.found(default, Place::Missing, name));
        };
        let cure = format!("use a number from {} to {}", bounds.start(), bounds.end());
        let value = match raw {
            Raw::Text(text) => text.parse::<i128>().ok(),
            Raw::Toml(value) => value.get_ref().as_integer().and_then(|integer| {
                let digits = integer.as_str();
                i128::from_str_radix(digits, integer.radix()).ok()
            }),
        };
        let Some(value) = value else {
            return Err(self.error(&place, name, "not a whole number", cure));
        };
        match u64::try_from(value).ok().filter(|value| bounds.contains(value)) {
            Some(value) => Ok(self.found(value, place, name)),
            None => Err(self.error(&place, name, format!("{value} is out of bounds"), cure)),
        }
    }

    /// `true` or `false`.
    pub(super) fn switch(&self, name: &'static str, default: bool) -> Result<bool, ConfigError> {
        let Some((place, raw)) = self.find(name) else { return Ok(default) };
        let value = match raw {
            Raw::Text(text) => text.parse().ok(),
            Raw::Toml(value) => value.get_ref().as_bool(),
        };
        value.ok_or_else(|| self.error(&place, name, "neither true nor false", "use true or false"))
    }

    /// A text.
    pub(super) fn text(
        &self,
        name: &'static str,
    ) -> Result<Option<Found<'_, String>>, ConfigError> {
        let Some((place, raw)) = self.find(name) else { return Ok(None) };
        let text = match raw {
            Raw::Text(text) => Some(text),
            Raw::Toml(value) => value.get_ref().as_str(),
        };
        match text {
            Some(text) => Ok(Some(self.found(text.to_owned(), place, name))),
            None => Err(self.error(&place, name, "not a text", "write it in quotation marks")),
        }
    }

    /// One of some words.
    pub(super) fn choice(
        &self,
        name: &'static str,
        choices: &[&'static str],
        default: &'static str,
    ) -> Result<&'static str, ConfigError> {
        let Some(found) = self.text(name)? else { return Ok(default) };
        let choice = choices.iter().find(|choice| **choice == found.value);
        choice.copied().ok_or_else(|| {
            let reason = format!("`{}` is no choice", found.value.escape_debug());
            found.wrong(reason, format!("use one of {}", choices.join(", ")))
        })
    }

    /// A list of at most `max` texts (or numbers, as text), each with its place.
    pub(super) fn list(
        &self,
        name: &'static str,
        max: usize,
    ) -> Result<Vec<Found<'_, String>>, ConfigError> {
        let Some((place, raw)) = self.find(name) else { return Ok(Vec::new()) };
        let mut list = Vec::new();
        match raw {
            Raw::Text(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                list.extend(items.map(|item| self.found(item.to_owned(), place.clone(), name)));
            }
            Raw::Toml(value) => {
                let Some(items) = value.get_ref().as_array() else {
                    return Err(self.error(
                        &place,
                        name,
                        "not a list",
                        "write it in brackets: [...]",
                    ));
                };
                for item in items.iter() {
                    let here = Place::File(item.span().start);
                    let text = match item.get_ref() {
                        DeValue::String(text) => text.to_string(),
                        DeValue::Integer(integer) => integer.to_string(),
                        _ => {
                            return Err(self.error(
                                &here,
                                name,
                                "an element that is no text",
                                "write each in quotation marks",
                            ));
                        }
                    };
                    list.push(self.found(text, here, name));
                }
            }
        }
        match list.get(max) {
            None => Ok(list),
            Some(over) => {
                Err(over.wrong(format!("more than {max} elements"), format!("use at most {max}")))
            }
        }
    }

    /// The error for a setting that must be there.
    pub(super) fn missing(&self, name: &'static str, cure: &str) -> ConfigError {
        self.error(&Place::Missing, name, "missing", cure)
    }

    fn found<T>(&self, value: T, place: Place, name: &'static str) -> Found<'_, T> {
        Found { value, place, name, document: self }
    }
}

impl<T> Found<'_, T> {
    /// The error that this value is wrong.
    pub(super) fn wrong(&self, reason: impl fmt::Display, cure: impl fmt::Display) -> ConfigError {
        self.document.error(&self.place, self.name, reason, cure)
    }
}

/// The variable that carries a setting.
fn variable(name: &str) -> String {
    format!("HOMEWARD_{}", name.replace('.', "_").to_ascii_uppercase())
}
