//! The regular expression of a pattern.

use thalweg_types::{Error, Result};

/// Variables of a pattern, at most.
pub const VARIABLES_MAX: usize = 64;

/// The number of a variable among those of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VariableId(pub u8);

impl VariableId {
    /// Returns the number as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Returns it as one bit of those of all variables; none for a number that no pattern has.
    #[inline]
    pub fn bit(self) -> u64 {
        1_u64.checked_shl(u32::from(self.0)).unwrap_or(0)
    }
}

/// A regular expression over variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// No row: `()`.
    Empty,
    /// A row of a variable.
    Variable(VariableId),
    /// One part behind the other.
    Sequence(Vec<Pattern>),
    /// One of several parts, the first one preferred: `A | B`.
    Choice(Vec<Pattern>),
    /// All parts in any order, that in which they are written preferred, compared from the first part on:
    /// `PERMUTE(A, B)`.
    Permutation(Vec<Pattern>),
    /// A part several times.
    Repeat {
        /// The part.
        of: Box<Pattern>,
        /// How often at least.
        least: u32,
        /// How often at most; `None` without an end.
        most: Option<u32>,
        /// Is one more time preferred to an end (`*`, not `*?`)?
        is_greedy: bool,
    },
    /// A part whose rows do not come out: `{- A -}`.
    Excluded(Box<Pattern>),
    /// No row, before the first row of the partition: `^`.
    Start,
    /// No row, behind the last row of the partition: `$`. In a stream that is known when the input ends.
    End,
}

impl Pattern {
    /// Returns the parts of a pattern.
    fn parts(&self) -> &[Pattern] {
        match self {
            Pattern::Empty | Pattern::Variable(_) | Pattern::Start | Pattern::End => &[],
            Pattern::Sequence(parts) | Pattern::Choice(parts) | Pattern::Permutation(parts) => {
                parts
            }
            Pattern::Repeat { of, .. } | Pattern::Excluded(of) => std::slice::from_ref(of),
        }
    }

    /// Returns how many places there are for variables when all quantifiers are written out, saturating.
    pub fn places(&self) -> u64 {
        let parts = self.parts().iter().map(Pattern::places);
        let sum = parts.fold(0, u64::saturating_add);
        match self {
            Pattern::Variable(_) => 1,
            // What is repeated without end is a loop around its last time; where it may have no row, the
            // times that must be come before the loop, since they may be empty and further ones not.
            Pattern::Repeat { of, least, most: None, .. } => {
                let loops = u64::from(*least == 0 || of.can_be_empty());
                sum.saturating_mul(u64::from(*least) + loops)
            }
            Pattern::Repeat { most: Some(most), .. } => sum.saturating_mul(u64::from(*most)),
            Pattern::Permutation(parts) => {
                // Orders that begin alike share their beginning: each part stands behind each choice of
                // parts before it.
                let mut orders = 1_u64;
                let shared = (0..parts.len() as u64).map(|before| {
                    let now = orders;
                    orders = orders.saturating_mul(parts.len() as u64 - 1 - before);
                    now
                });
                shared.fold(0_u64, u64::saturating_add).saturating_mul(sum)
            }
            _ => sum,
        }
    }

    /// Can a match have no row?
    pub fn can_be_empty(&self) -> bool {
        match self {
            Pattern::Empty | Pattern::Start | Pattern::End => true,
            Pattern::Variable(_) => false,
            Pattern::Sequence(parts) | Pattern::Permutation(parts) => {
                parts.iter().all(Pattern::can_be_empty)
            }
            Pattern::Choice(parts) => parts.iter().any(Pattern::can_be_empty),
            Pattern::Repeat { of, least, .. } => *least == 0 || of.can_be_empty(),
            Pattern::Excluded(of) => of.can_be_empty(),
        }
    }

    /// Checks quantifiers, and that variables are below `count`.
    ///
    /// # Errors
    /// `Invalid` if a quantifier has no numbers between its bounds, `Internal` if there is no such variable.
    pub fn check(&self, count: usize) -> Result<()> {
        match self {
            Pattern::Variable(id) if id.index() >= count => {
                return Err(Error::internal(format!("a pattern without variable {}", id.0)));
            }
            Pattern::Repeat { most: Some(0), .. } => {
                return Err(Error::invalid("a part of a pattern that is repeated 0 times")
                    .remedy("leave the part out"));
            }
            Pattern::Repeat { least, most: Some(most), .. } if most < least => {
                return Err(Error::invalid(format!(
                    "a part of a pattern that is repeated {least} times at least and {most} at most"
                )));
            }
            _ => {}
        }
        self.parts().iter().try_for_each(|part| part.check(count))
    }

    /// Says of the pattern and its parts whether one of them is as asked.
    fn any(&self, is_so: fn(&Pattern) -> bool) -> bool {
        is_so(self) || self.parts().iter().any(|part| part.any(is_so))
    }

    /// Is something excluded?
    pub fn has_exclusion(&self) -> bool {
        self.any(|pattern| matches!(pattern, Pattern::Excluded(_)))
    }

    /// Is the first row of a partition asked for?
    pub fn asks_for_start(&self) -> bool {
        self.any(|pattern| matches!(pattern, Pattern::Start))
    }

    /// Is the last row of a partition asked for?
    pub fn asks_for_end(&self) -> bool {
        self.any(|pattern| matches!(pattern, Pattern::End))
    }

    /// Returns the first part that is repeated without end.
    pub fn endless(&self) -> Option<&Pattern> {
        match self {
            Pattern::Repeat { most: None, .. } => Some(self),
            _ => self.parts().iter().find_map(Pattern::endless),
        }
    }

    /// Has every match as many rows, one at least?
    pub fn is_of_fixed_length(&self) -> bool {
        self.length().is_some_and(|length| length > 0) && !self.asks_for_end()
    }

    /// Returns how many rows a match has at least.
    fn least(&self) -> u64 {
        let parts = self.parts().iter().map(Pattern::least);
        match self {
            Pattern::Variable(_) => 1,
            Pattern::Choice(_) => parts.min().unwrap_or(0),
            Pattern::Repeat { least, .. } => {
                parts.fold(0, u64::saturating_add).saturating_mul(u64::from(*least))
            }
            _ => parts.fold(0, u64::saturating_add),
        }
    }

    /// Returns how many rows of a match stand before each row of a variable at least; `None` if the pattern
    /// does not have it.
    pub fn least_before(&self, variable: VariableId) -> Option<u64> {
        match self {
            Pattern::Variable(id) => (*id == variable).then_some(0),
            Pattern::Sequence(parts) => {
                let mut before = 0_u64;
                let found = parts.iter().map(|part| {
                    let start = before;
                    before = before.saturating_add(part.least());
                    Some(start.saturating_add(part.least_before(variable)?))
                });
                found.flatten().min()
            }
            _ => self.parts().iter().filter_map(|part| part.least_before(variable)).min(),
        }
    }

    /// Returns how many rows a match has, if that is always the same.
    fn length(&self) -> Option<u64> {
        let mut parts = self.parts().iter().map(Pattern::length);
        match self {
            Pattern::Empty | Pattern::Start | Pattern::End => Some(0),
            Pattern::Variable(_) => Some(1),
            Pattern::Sequence(_) | Pattern::Permutation(_) | Pattern::Excluded(_) => {
                parts.try_fold(0_u64, |sum, length| Some(sum.saturating_add(length?)))
            }
            Pattern::Choice(_) => {
                let first = parts.next().unwrap_or(Some(0))?;
                parts.all(|length| length == Some(first)).then_some(first)
            }
            Pattern::Repeat { least, most, .. } => match parts.next().flatten()? {
                0 => Some(0),
                length if *most == Some(*least) => Some(length.saturating_mul(u64::from(*least))),
                _ => None,
            },
        }
    }

    /// Returns the pattern as it is written, given the names of variables.
    pub fn text(&self, name: &dyn Fn(VariableId) -> String) -> String {
        let joined = |parts: &[Pattern], between: &str| -> String {
            parts.iter().map(|part| part.text(name)).collect::<Vec<_>>().join(between)
        };
        match self {
            Pattern::Empty => "()".to_owned(),
            Pattern::Start => "^".to_owned(),
            Pattern::End => "$".to_owned(),
            Pattern::Variable(id) => name(*id),
            Pattern::Sequence(parts) => {
                let parts = parts.iter().map(|part| match part {
                    Pattern::Choice(_) => format!("({})", part.text(name)),
                    _ => part.text(name),
                });
                parts.collect::<Vec<_>>().join(" ")
            }
            Pattern::Choice(parts) => joined(parts, " | "),
            Pattern::Permutation(parts) => format!("PERMUTE({})", joined(parts, ", ")),
            Pattern::Excluded(of) => format!("{{- {} -}}", of.text(name)),
            Pattern::Repeat { of, least, most, is_greedy } => {
                let part = match **of {
                    Pattern::Variable(_) | Pattern::Excluded(_) | Pattern::Permutation(_) => {
                        of.text(name)
                    }
                    _ => format!("({})", of.text(name)),
                };
                let reluctant = if *is_greedy { "" } else { "?" };
                format!("{part}{}{reluctant}", quantifier(*least, *most))
            }
        }
    }
}

fn quantifier(least: u32, most: Option<u32>) -> String {
    match (least, most) {
        (0, None) => "*".to_owned(),
        (1, None) => "+".to_owned(),
        (0, Some(1)) => "?".to_owned(),
        (least, None) => format!("{{{least},}}"),
        (least, Some(most)) if least == most => format!("{{{least}}}"),
        (0, Some(most)) => format!("{{,{most}}}"),
        (least, Some(most)) => format!("{{{least},{most}}}"),
    }
}
