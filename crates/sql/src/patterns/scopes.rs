//! The names that stand for rows of a match: variables, and subsets of them.

use datafusion::sql::sqlparser::ast::Ident;
use thalweg_plan::pattern::{Scope, VariableId};
use thalweg_types::{Error, Result};

use super::clause::Clause;
use crate::text::{place, suggest};

/// Variables and subsets, each with the rows that it stands for.
pub(super) struct Scopes(Vec<(String, Scope)>);

impl Scopes {
    /// Returns those of a clause.
    ///
    /// # Errors
    /// `Invalid`, at a subset whose name is taken or whose members are no variables.
    pub(super) fn of(clause: &Clause) -> Result<Scopes> {
        let ids = (0..).map(VariableId);
        let variables = clause.pattern.variables.iter().zip(ids);
        let variables = variables.map(|(name, id)| (name.value.clone(), Scope::of(&[id])));
        let mut scopes = Scopes(variables.collect());
        let count = scopes.0.len();
        for (name, members) in &clause.subsets {
            if scopes.find(&name.value).is_some() {
                let message = format!("`{}` is a variable or subset already", name.value);
                let error = Error::invalid(message).at(place(name.span));
                return Err(error.remedy("give the subset another name"));
            }
            let mut ids = Vec::with_capacity(members.len());
            for member in members {
                let names = scopes.0.get(..count).unwrap_or_default();
                let found = (0..).zip(names).find(|(_, (known, _))| *known == member.value);
                ids.push(VariableId(found.ok_or_else(|| scopes.unknown(member))?.0));
            }
            scopes.0.push((name.value.clone(), Scope::of(&ids)));
        }
        Ok(scopes)
    }

    /// Returns the rows that a name stands for, if it is known.
    pub(super) fn find(&self, name: &str) -> Option<Scope> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, scope)| *scope)
    }

    /// Returns the rows that a name stands for.
    ///
    /// # Errors
    /// `Invalid`, at the name, if it is not known.
    pub(super) fn get(&self, name: &Ident) -> Result<Scope> {
        self.find(&name.value).ok_or_else(|| self.unknown(name))
    }

    /// Says that the pattern has no such variable.
    pub(super) fn unknown(&self, name: &Ident) -> Error {
        let known: Vec<&str> = self.0.iter().map(|(known, _)| known.as_str()).collect();
        let message = format!("the pattern has no variable `{}`", name.value);
        let error = Error::invalid(message).at(place(name.span));
        match known.contains(&name.value.as_str()) {
            // A subset has no subsets.
            true => error.remedy("a SUBSET is one of variables"),
            false => {
                suggest(error, &name.value, &known).remedy(format!("it has {}", known.join(", ")))
            }
        }
    }
}
