//! A page of the guide as the test sees it: its blocks, its headings and its links.
//!
//! Invariant: every example of a page is a block of a known kind. What would be shown as code and is
//! none (an indented line, a fence within a list, an unknown info string) is an error.

use std::ops::Range;

/// What an info string asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `LANG,file=NAME`: written to that file.
    File(String),
    /// `console`: commands, and what they show.
    Console,
    /// `sql,setup`: declarations for the blocks behind it.
    Setup,
    /// `sql`: a script that runs, `sql,error`: one that is refused.
    Sql { is_refused: bool },
    /// `text`: what the `sql` block before it shows.
    Text,
    /// `rust,from=PATH`: part of a file that is compiled.
    From(String),
    /// `LANG,norun`: an example that cannot run; a comment before it says why.
    NoRun,
}

impl Kind {
    fn of(info: &str) -> Result<Kind, String> {
        let (language, option) = info.split_once(',').unwrap_or((info, ""));
        match (language, option.split_once('=').unwrap_or((option, ""))) {
            ("console", ("", _)) => Ok(Kind::Console),
            ("text", ("", _)) => Ok(Kind::Text),
            ("sql", ("setup", "")) => Ok(Kind::Setup),
            ("sql", ("error", "")) => Ok(Kind::Sql { is_refused: true }),
            ("sql", ("", "")) => Ok(Kind::Sql { is_refused: false }),
            ("rust", ("from", path)) if !path.is_empty() => Ok(Kind::From(path.to_owned())),
            ("toml" | "sh", ("norun", "")) => Ok(Kind::NoRun),
            (language, ("file", name)) if !language.is_empty() && !name.is_empty() => {
                Ok(Kind::File(name.to_owned()))
            }
            _ => Err(format!("a block cannot be `{info}`")),
        }
    }
}

/// A fenced block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) kind: Kind,
    /// Line of the opening fence, from 0.
    pub(super) at: usize,
    pub(super) lines: Vec<String>,
}

impl Block {
    /// Returns where its lines stand in the page, from 0.
    pub(super) fn place(&self) -> Range<usize> {
        self.at + 1..self.at + 1 + self.lines.len()
    }

    /// Returns its lines, each with its line feed.
    pub(super) fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line, "\n"]).collect()
    }
}

/// A page, taken apart.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) blocks: Vec<Block>,
    /// Names of its headings, as links write them.
    pub(super) anchors: Vec<String>,
    /// Targets of its links, and the lines they stand in, from 0.
    pub(super) links: Vec<(usize, String)>,
    /// What is wrong with it, and where.
    pub(super) wrong: Vec<(usize, String)>,
}

impl Page {
    pub(super) fn parse(text: &str) -> Page {
        let mut page = Page::default();
        let mut lines = text.lines().enumerate();
        let mut before = "";
        while let Some((at, line)) = lines.next() {
            if let Some(info) = line.strip_prefix("```") {
                let body: Vec<&str> = lines
                    .by_ref()
                    .map(|(_, line)| line)
                    .take_while(|line| *line != "```")
                    .collect();
                page.block(at, info, &body);
                // Without a closing fence the block swallowed the rest of the page.
                if at + body.len() + 1 == text.lines().count() {
                    page.wrong.push((at, "the block has no end".to_owned()));
                }
                if info.ends_with(",norun") && !before.ends_with("-->") {
                    page.wrong.push((at, "no comment before the block says why".to_owned()));
                }
            } else {
                page.prose(at, line);
            }
            if !line.trim().is_empty() {
                before = line;
            }
        }
        page
    }

    fn block(&mut self, at: usize, info: &str, body: &[&str]) {
        match Kind::of(info) {
            Ok(kind) => {
                let lines = body.iter().map(|line| (*line).to_owned()).collect();
                self.blocks.push(Block { kind, at, lines });
            }
            Err(error) => self.wrong.push((at, error)),
        }
    }

    fn prose(&mut self, at: usize, line: &str) {
        let is_code = line.starts_with("    ") || line.starts_with('\t');
        if is_code || line.contains("```") || line.trim_start().starts_with("~~~") {
            self.wrong.push((at, "code that no test sees; write a fence at column 1".to_owned()));
        }
        if line.starts_with('#') {
            self.anchors.push(anchor(line.trim_start_matches('#')));
        }
        let plain: String = line.split('`').step_by(2).collect();
        for link in plain.split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            self.links.push((at, target.to_owned()));
        }
    }
}

/// Returns the name by which links know a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || "-_".contains(c) => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}
