//! `CREATE TABLE … LIKE t`: what of another table's declaration is taken over.
//!
//! Invariant: as Flink says. Physical columns always come along; of the rest, a feature is
//! included (twice is an error), excluded, or included unless the new table has its own
//! (`OVERWRITING`). Unless said otherwise all is included and options are overwritten.

use std::collections::BTreeMap;

use thalweg_types::{Error, Result};

use super::{CreateTable, Declared, Name, table_name};
use crate::text;
use crate::tokens::Tokens;

/// A feature of a table that is taken over or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Feature {
    Constraints,
    Distribution,
    Generated,
    Metadata,
    Options,
    Partitions,
    Watermarks,
}

/// Features by name, and whether the new table's may take the place of the old one's.
const FEATURES: [(&str, Feature, bool); 7] = [
    ("CONSTRAINTS", Feature::Constraints, false),
    ("DISTRIBUTION", Feature::Distribution, false),
    ("GENERATED", Feature::Generated, true),
    ("METADATA", Feature::Metadata, true),
    ("OPTIONS", Feature::Options, true),
    ("PARTITIONS", Feature::Partitions, false),
    ("WATERMARKS", Feature::Watermarks, true),
];

/// How a feature is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merge {
    Including,
    Excluding,
    Overwriting,
}

/// `LIKE table (…)`.
#[derive(Clone, Debug)]
pub(crate) struct Like {
    pub(crate) table: Name,
    features: BTreeMap<Feature, Merge>,
}

/// Reads what stands behind `LIKE`.
pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Like> {
    let table = table_name(tokens)?;
    let mut features: BTreeMap<Feature, Merge> =
        FEATURES.iter().map(|(_, feature, _)| (*feature, Merge::Including)).collect();
    features.insert(Feature::Options, Merge::Overwriting);
    let mut said = Vec::new();
    if tokens.take_symbol("(") {
        while !tokens.take_symbol(")") {
            rule(tokens, &mut features, &mut said)?;
        }
    }
    Ok(Like { table, features })
}

/// Reads `INCLUDING ALL`, `OVERWRITING OPTIONS` and the like. `ALL` leaves alone what was said.
fn rule(
    tokens: &mut Tokens<'_>,
    features: &mut BTreeMap<Feature, Merge>,
    said: &mut Vec<Feature>,
) -> Result<()> {
    let merges = [
        ("INCLUDING", Merge::Including),
        ("EXCLUDING", Merge::Excluding),
        ("OVERWRITING", Merge::Overwriting),
    ];
    let merge = merges.iter().find(|(word, _)| tokens.take_word(word));
    let Some((_, merge)) = merge else {
        return Err(tokens.expected("INCLUDING, EXCLUDING, OVERWRITING or `)`"));
    };
    let at = tokens.peek().clone();
    if *merge != Merge::Overwriting && tokens.take_word("ALL") {
        for (feature, rule) in features.iter_mut().filter(|(feature, _)| !said.contains(feature)) {
            let is_options = *feature == Feature::Options && *merge == Merge::Including;
            *rule = if is_options { Merge::Overwriting } else { *merge };
        }
        return Ok(());
    }
    let feature = FEATURES.iter().find(|(word, ..)| tokens.take_word(word));
    let Some((word, feature, may_overwrite)) = feature else {
        let names: Vec<&str> = FEATURES.iter().map(|(word, ..)| *word).collect();
        return Err(tokens.expected(&format!("ALL, {}", names.join(", "))));
    };
    if *merge == Merge::Overwriting && !may_overwrite {
        return Err(text::at(&at, format!("{word} cannot be overwritten"))
            .remedy(format!("write EXCLUDING {word}, and declare your own")));
    }
    said.push(*feature);
    features.insert(*feature, *merge);
    Ok(())
}

impl Like {
    /// Returns the declaration of `own` with what it takes over from `base`.
    ///
    /// # Errors
    /// `Invalid` where both declare what may be there once.
    pub(crate) fn merge(&self, base: &CreateTable, mut own: CreateTable) -> Result<CreateTable> {
        let mut columns = Vec::with_capacity(base.columns.len() + own.columns.len());
        for column in &base.columns {
            columns.extend(self.column(column, &own)?);
        }
        columns.append(&mut own.columns);
        own.columns = columns;
        if let Some(watermark) = &base.watermark
            && self.takes(Feature::Watermarks, own.watermark.is_some(), "a WATERMARK")?
        {
            own.watermark = Some(watermark.clone());
        }
        if !base.primary_key.is_empty()
            && self.takes(Feature::Constraints, !own.primary_key.is_empty(), "a PRIMARY KEY")?
        {
            own.primary_key.clone_from(&base.primary_key);
        }
        if !base.partitions.is_empty()
            && self.takes(Feature::Partitions, !own.partitions.is_empty(), "PARTITIONED BY")?
        {
            own.partitions.clone_from(&base.partitions);
        }
        for pair in &base.options {
            let key = &pair.key.text;
            let is_there = own.options.iter().any(|option| option.key.text == *key);
            if self.takes(Feature::Options, is_there, &format!("option '{key}'"))? {
                own.options.push(pair.clone());
            }
        }
        Ok(own)
    }

    /// Returns a column of the base, if it is taken over.
    fn column(&self, column: &Declared, own: &CreateTable) -> Result<Option<Declared>> {
        let name = &column.name().text;
        let is_there = own.columns.iter().any(|own| own.name().text == *name);
        let feature = match column {
            Declared::Computed(..) => Feature::Generated,
            Declared::Metadata(..) => Feature::Metadata,
            Declared::Physical(..) if is_there => {
                return Err(self
                    .twice(&format!("column `{name}`"))
                    .remedy("a physical column of the other table cannot be declared again"));
            }
            Declared::Physical(..) => return Ok(Some(column.clone())),
        };
        let is_taken = self.takes(feature, is_there, &format!("column `{name}`"))?;
        Ok(is_taken.then(|| column.clone()))
    }

    /// Is a feature taken over, where the new table has its own or not?
    fn takes(&self, feature: Feature, is_there: bool, what: &str) -> Result<bool> {
        match (self.features.get(&feature), is_there) {
            (Some(Merge::Including), true) => {
                let word = FEATURES.iter().find(|(_, known, _)| *known == feature);
                let word = word.map_or("ALL", |(word, ..)| *word);
                Err(self
                    .twice(what)
                    .remedy(format!("write LIKE {} (EXCLUDING {word})", self.table.text)))
            }
            (Some(Merge::Including), false) => Ok(true),
            (Some(Merge::Overwriting), is_there) => Ok(!is_there),
            (Some(Merge::Excluding) | None, _) => Ok(false),
        }
    }

    fn twice(&self, what: &str) -> Error {
        text::at(&self.table.at, format!("table `{}` has {what} as well", self.table.text))
    }
}
