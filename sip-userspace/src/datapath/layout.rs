//! The shapes of maps: those that an object wants, and those that are pinned.
//!
//! Maps outlive their program only while both mean the same by them: same version of the layouts
//! in `sip_common::abi`, same type, sizes and flags of every map.

use std::{collections::BTreeMap, fmt, path::Path};

use aya::maps::MapInfo;
use sip_common::abi::map;

use super::{
    DatapathError, Sizes,
    kernel::{PINNED, PROGRAM},
};

/// The shape of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, key, value, entries, flags } = self;
        write!(f, "type {kind}, {entries} elements of {key} and {value} bytes, flags {flags:#x}")
    }
}

/// Shapes by name.
pub type Shapes = BTreeMap<&'static str, Shape>;

/// What an object wants its lasting maps to be.
///
/// # Errors
/// If it is no object of ours.
pub fn wanted(object: &[u8], sizes: Sizes) -> Result<Shapes, DatapathError> {
    if object.is_empty() {
        return Err(DatapathError::NoObject);
    }
    let object = aya_obj::Object::parse(object).map_err(|error| DatapathError::Load {
        reason: format!("the object can't be read: {error}"),
        cure: "build it with `cargo xtask build`",
    })?;
    let mut shapes = Shapes::new();
    for name in PINNED {
        let missing = || DatapathError::Map { map: name, reason: "it is missing".to_owned() };
        let found = object.maps.get(name).ok_or_else(missing)?;
        let entries =
            if name == map::OVERRIDES { sizes.overrides.max(1) } else { found.max_entries() };
        shapes.insert(
            name,
            Shape {
                kind: found.map_type(),
                key: found.key_size(),
                value: found.value_size(),
                entries,
                flags: found.map_flags(),
            },
        );
    }
    Ok(shapes)
}

/// What is pinned in a directory; `None` without a program, which is pinned last. A map may be
/// missing that the program of then did not have.
pub fn pinned(pins: &Path) -> Option<Shapes> {
    if !pins.join(PROGRAM).exists() {
        return None;
    }
    let mut shapes = Shapes::new();
    for name in PINNED {
        let Ok(info) = MapInfo::from_pin(pins.join(name)) else { continue };
        shapes.insert(
            name,
            Shape {
                kind: info.map_type().ok()? as u32,
                key: info.key_size(),
                value: info.value_size(),
                entries: info.max_entries(),
                flags: info.map_flags(),
            },
        );
    }
    Some(shapes)
}

/// The first difference, in words.
pub fn difference(pinned: &Shapes, wanted: &Shapes) -> Option<String> {
    wanted.iter().find_map(|(name, wanted)| match pinned.get(name) {
        None => Some(format!("map {name} is missing")),
        Some(found) => {
            (found != wanted).then(|| format!("map {name} has {found} instead of {wanted}"))
        }
    })
}
