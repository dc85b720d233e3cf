//! The regular expression behind `PATTERN`.

use datafusion::sql::sqlparser::ast::Ident;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};
use thalweg_plan::pattern::{Pattern, Scope, VARIABLES_MAX, VariableId};
use thalweg_types::Result;

use crate::text;
use crate::tokens::Tokens;

/// How deep a pattern may nest, so that no script can exhaust the stack.
const DEPTH_MAX: usize = 64;

/// A pattern, and its variables as they are numbered: by where they first stand.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) pattern: Pattern,
    pub(super) variables: Vec<Ident>,
}

/// Takes apart what the tokenizer took for operators of JSON: `?|`, `?-`.
pub(super) fn loosened(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut out = Vec::with_capacity(tokens.len());
    for token in tokens {
        let second = match token.token {
            Token::QuestionPipe => Token::Pipe,
            Token::QuestionMarkDash => Token::Minus,
            _ => {
                out.push(token.clone());
                continue;
            }
        };
        let Span { start, end } = token.span;
        let middle = Location { line: start.line, column: start.column + 1 };
        let first = Span { start, end: middle };
        out.push(TokenWithSpan { token: Token::Question, span: first });
        out.push(TokenWithSpan { token: second, span: Span { start: middle, end } });
    }
    out
}

/// Reads `(…)`.
pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Written> {
    tokens.symbol("(")?;
    let mut reader = Reader { tokens, variables: Vec::new(), depth: 0 };
    let pattern = reader.choice(&[")"])?;
    let variables = reader.variables;
    tokens.symbol(")")?;
    Ok(Written { pattern, variables })
}

/// Can a match begin with no other row than one of `scope`, and has it a row?
pub(super) fn begins_with(pattern: &Pattern, scope: Scope) -> bool {
    match pattern {
        Pattern::Empty | Pattern::Start | Pattern::End => false,
        Pattern::Variable(id) => scope.contains(*id),
        Pattern::Sequence(parts) => {
            let first = parts.iter().find(|part| !matches!(part, Pattern::Start));
            first.is_some_and(|part| begins_with(part, scope))
        }
        Pattern::Choice(parts) | Pattern::Permutation(parts) => {
            parts.iter().all(|part| begins_with(part, scope))
        }
        Pattern::Repeat { of, least, .. } => *least > 0 && begins_with(of, scope),
        Pattern::Excluded(of) => begins_with(of, scope),
    }
}

struct Reader<'r, 'a> {
    tokens: &'r mut Tokens<'a>,
    variables: Vec<Ident>,
    depth: usize,
}

impl Reader<'_, '_> {
    /// Reads `A B | C` up to one of some symbols.
    fn choice(&mut self, ends: &[&str]) -> Result<Pattern> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(text::at(self.tokens.peek(), "the pattern is nested too deep"));
        }
        let mut parts = vec![self.sequence(ends)?];
        while self.tokens.take_symbol("|") {
            parts.push(self.sequence(ends)?);
        }
        self.depth -= 1;
        Ok(one_or(parts, Pattern::Choice))
    }

    fn sequence(&mut self, ends: &[&str]) -> Result<Pattern> {
        let mut parts = vec![self.repeated()?];
        while !self.is_at("|") && !ends.iter().any(|end| self.is_at(end)) {
            parts.push(self.repeated()?);
        }
        Ok(one_or(parts, Pattern::Sequence))
    }

    fn is_at(&self, symbol: &str) -> bool {
        self.tokens.clone().take_symbol(symbol)
    }

    fn repeated(&mut self) -> Result<Pattern> {
        let part = self.part()?;
        let Some((least, most)) = self.quantifier()? else { return Ok(part) };
        let is_greedy = !self.tokens.take_symbol("?");
        Ok(Pattern::Repeat { of: Box::new(part), least, most, is_greedy })
    }

    fn part(&mut self) -> Result<Pattern> {
        if self.tokens.take_symbol("(") {
            if self.tokens.take_symbol(")") {
                return Ok(Pattern::Empty);
            }
            let part = self.choice(&[")"])?;
            self.tokens.symbol(")")?;
            return Ok(part);
        }
        // A quantifier in braces stands behind a part, never here.
        if self.tokens.take_symbol("{") {
            self.tokens.symbol("-")?;
            let part = self.choice(&["-"])?;
            self.tokens.symbol("-")?;
            self.tokens.symbol("}")?;
            return Ok(Pattern::Excluded(Box::new(part)));
        }
        if self.tokens.take_symbol("^") {
            return Ok(Pattern::Start);
        }
        if self.tokens.take_symbol("$") {
            return Ok(Pattern::End);
        }
        let mut behind = self.tokens.clone();
        if behind.take_word("PERMUTE") && behind.take_symbol("(") {
            *self.tokens = behind;
            return self.permutation();
        }
        self.variable()
    }

    /// Reads what stands behind `PERMUTE(`.
    fn permutation(&mut self) -> Result<Pattern> {
        let mut parts = vec![self.choice(&[",", ")"])?];
        while self.tokens.take_symbol(",") {
            parts.push(self.choice(&[",", ")"])?);
        }
        self.tokens.symbol(")")?;
        Ok(Pattern::Permutation(parts))
    }

    fn variable(&mut self) -> Result<Pattern> {
        let at = self.tokens.peek().clone();
        let wrong = self.tokens.expected("a variable of the pattern");
        let variable = self.tokens.name().map_err(|_| wrong)?;
        let known = self.variables.iter().position(|known| known.value == variable.value);
        let number = known.unwrap_or(self.variables.len());
        if known.is_none() {
            self.variables.push(variable);
        }
        match u8::try_from(number) {
            Ok(id) if number < VARIABLES_MAX => Ok(Pattern::Variable(VariableId(id))),
            _ => Err(text::at(&at, format!("a pattern has {VARIABLES_MAX} variables at most"))),
        }
    }

    /// Reads how often the part before is there, at least and at most.
    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>> {
        let plain = [("*", (0, None)), ("+", (1, None)), ("?", (0, Some(1)))];
        if let Some((_, bounds)) = plain.iter().find(|(symbol, _)| self.tokens.take_symbol(symbol))
        {
            return Ok(Some(*bounds));
        }
        let mut behind = self.tokens.clone();
        if !behind.take_symbol("{") || behind.take_symbol("-") {
            return Ok(None);
        }
        let first = self.tokens.peek().clone();
        self.tokens.symbol("{")?;
        let least = if self.is_at(",") { None } else { Some(self.count()?) };
        let most = match self.tokens.take_symbol(",") {
            true if self.is_at("}") => None,
            true => Some(self.count()?),
            false => least,
        };
        self.tokens.symbol("}")?;
        let bounds = (least.unwrap_or(0), most);
        match bounds {
            (_, Some(0)) => Err(text::at(&first, "a part of a pattern is there 0 times")
                .remedy("leave the part out")),
            (least, Some(most)) if most < least => {
                let message = format!("{least} times at least and {most} at most");
                Err(text::at(&first, message).remedy("write the smaller number first"))
            }
            _ => Ok(Some(bounds)),
        }
    }

    fn count(&mut self) -> Result<u32> {
        let at = self.tokens.peek().clone();
        let count = self.tokens.number()?;
        u32::try_from(count).map_err(|_| text::at(&at, "a part of a pattern is there too often"))
    }
}

/// Returns the one part, or what `of` makes of several.
fn one_or(mut parts: Vec<Pattern>, of: fn(Vec<Pattern>) -> Pattern) -> Pattern {
    match parts.len() {
        1 => parts.remove(0),
        _ => of(parts),
    }
}
