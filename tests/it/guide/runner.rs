//! Runs the examples of one page, in order, in a directory of their own.
//!
//! What the program is started with is the same on every machine: an empty environment, a closed
//! standard input, and a `thalweg.toml` that asks for one worker, so that rows come in one order. The
//! programs of the examples are in the path, and their data lies where it lies in the repository.

use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::page::{Block, Kind, Page};
use super::shown;
use crate::support::Place;

/// Longest time that a command may take, in seconds.
const SECONDS_MAX: &str = "120";

/// What is wrong with an example.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Line of the page, from 0.
    pub(super) at: usize,
    pub(super) message: String,
    /// Lines of the page, and what should stand there.
    pub(super) instead: Option<(Range<usize>, Vec<String>)>,
}

impl Wrong {
    fn new(at: usize, message: impl Into<String>) -> Wrong {
        Wrong { at, message: message.into(), instead: None }
    }
}

/// Runs the examples of a page; returns what is wrong with them.
pub(super) fn run(page: &Page) -> Vec<Wrong> {
    let place = Place::new();
    place.write("thalweg.toml", "[run]\nworkers = 1\n");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    std::os::unix::fs::symlink(examples, place.path("examples")).unwrap();
    let mut runner = Runner { place, setup: String::new(), wrong: Vec::new() };
    let mut blocks = page.blocks.iter().peekable();
    while let Some(block) = blocks.next() {
        let answer = blocks.next_if(|next| next.kind == Kind::Text);
        runner.block(block, answer);
    }
    runner.wrong
}

struct Runner {
    place: Place,
    /// The `sql,setup` blocks so far, on one line.
    setup: String,
    wrong: Vec<Wrong>,
}

impl Runner {
    fn block(&mut self, block: &Block, answer: Option<&Block>) {
        match &block.kind {
            Kind::Sql { is_refused } => return self.sql(block, answer, *is_refused),
            Kind::File(name) => self.place.write(name, &block.text()),
            Kind::Console => self.console(block),
            Kind::Setup => self.setup(block),
            Kind::From(path) => self.compiled(block, path),
            Kind::NoRun => {}
            Kind::Text => self.wrong.push(Wrong::new(block.at, "`text` stands behind no `sql`")),
        }
        if let Some(answer) = answer {
            self.wrong.push(Wrong::new(answer.at, "`text` stands behind no `sql`"));
        }
    }

    fn console(&mut self, block: &Block) {
        let Some(steps) = steps(block) else {
            let error = "a `console` begins with a command: `$ …`";
            return self.wrong.push(Wrong::new(block.at, error));
        };
        let (mut code, mut steps) = (0, steps.into_iter().peekable());
        while let Some(Step { at, command, shows, place }) = steps.next() {
            let output = self.shell(&command, code);
            code = output.status.code().unwrap_or(-1);
            if code != 0 && steps.peek().is_none_or(|next| next.command != "echo $?") {
                let message = format!("`{command}` failed ({code}), and no `echo $?` says so");
                self.wrong.push(Wrong::new(at, message));
            }
            self.compare(place, &shows, &lines_of(&output.stdout));
        }
    }

    /// Runs a command behind one that ended with `code`; standard error goes where output goes.
    fn shell(&self, command: &str, code: i32) -> Output {
        let script = format!("exec 2>&1\n(exit {code})\n{command}");
        self.finish(self.command("sh").args(["-c", &script]))
    }

    fn setup(&mut self, block: &Block) {
        if block.lines.iter().any(|line| line.contains("--")) {
            self.wrong.push(Wrong::new(block.at, "a comment would hide what stands behind it"));
        }
        self.setup += &format!("{} ", block.lines.join(" "));
        let output = self.script("");
        if !output.status.success() {
            self.wrong.push(Wrong::new(block.at, String::from_utf8_lossy(&output.stderr)));
        }
    }

    fn sql(&mut self, block: &Block, answer: Option<&Block>, is_refused: bool) {
        let output = self.script(&block.text());
        let drawn = String::from_utf8_lossy(&output.stderr);
        if output.status.success() == is_refused {
            let how = if is_refused { "runs, and should be refused" } else { "is refused" };
            return self.wrong.push(Wrong::new(block.at, format!("the script {how}:\n{drawn}")));
        }
        let shown = match is_refused {
            true => moved(&lines_of(&output.stderr), block.lines.len()),
            false => lines_of(&output.stdout),
        };
        match answer {
            Some(answer) => self.compare(answer.place(), &answer.lines, &shown),
            None if shown.is_empty() => {}
            None => self.wrong.push(Wrong::new(block.at, "no `text` says what the script shows")),
        }
    }

    /// Runs a script behind the setup, which takes one line.
    fn script(&self, script: &str) -> Output {
        let text = format!("{}\n{script}", self.setup);
        self.finish(self.command("thalweg").args(["run", "--quiet", "--execute", &text]))
    }

    fn command(&self, program: &str) -> Command {
        let folder = Path::new(env!("CARGO_BIN_EXE_thalweg")).parent().unwrap().to_owned();
        let usual = std::env::var_os("PATH").unwrap_or_default();
        let folders = [folder.join("examples"), folder].into_iter();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&usual)));
        let mut command = Command::new("timeout");
        command.args([SECONDS_MAX, program]).current_dir(self.place.path(""));
        command.env_clear().env("PATH", path.unwrap());
        command
    }

    fn finish(&self, command: &mut Command) -> Output {
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn compiled(&mut self, block: &Block, path: &str) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let source = std::fs::read_to_string(source).unwrap_or_default();
        let source: Vec<&str> = source.lines().collect();
        if !source.windows(block.lines.len().max(1)).any(|region| region == block.lines) {
            self.wrong.push(Wrong::new(block.at, format!("this is no part of {path}")));
        }
    }

    fn compare(&mut self, place: Range<usize>, expected: &[String], shown: &[String]) {
        let says_nothing = !expected.is_empty() && expected.iter().all(|line| line == shown::ANY);
        if shown::fits(expected, shown) && !says_nothing {
            return;
        }
        // What a page says of a line that fits, with its `…`, stays.
        let kept = |line: &String| {
            expected.iter().find(|own| *own != shown::ANY && shown::line_fits(own, line))
        };
        let instead = shown.iter().map(|line| kept(line).unwrap_or(line).clone()).collect();
        let message = format!("it shows\n{}", shown.join("\n"));
        self.wrong.push(Wrong { at: place.start, message, instead: Some((place, instead)) });
    }
}

/// A command of a `console`.
struct Step {
    /// Line of the page, from 0.
    at: usize,
    command: String,
    /// What it is said to show, and where.
    shows: Vec<String>,
    place: Range<usize>,
}

/// Splits a `console` into its commands; `None` if it does not begin with one.
fn steps(block: &Block) -> Option<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for (at, line) in block.place().zip(&block.lines) {
        if let Some(command) = line.strip_prefix("$ ") {
            let (command, place) = (command.to_owned(), at + 1..at + 1);
            steps.push(Step { at, command, shows: Vec::new(), place });
            continue;
        }
        let step = steps.last_mut()?;
        if step.command.ends_with('\\') {
            step.command += &format!("\n{line}");
            step.place = at + 1..at + 1;
        } else {
            step.shows.push(line.clone());
            step.place.end = at + 1;
        }
    }
    (!steps.is_empty()).then_some(steps)
}

fn lines_of(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

/// Counts lines of a drawn error from the first line of the block, which is the script's second.
fn moved(drawn: &[String], lines: usize) -> Vec<String> {
    // A number with a digit less would move the caret, too.
    assert!(lines < 9, "an `sql,error` has at most 8 lines");
    let here = |line: &String| {
        (1..=lines).find_map(|here| {
            let there = here + 1;
            let place = line.strip_prefix(&format!("  --> command:{there}:"));
            let place = place.map(|rest| format!("  --> command:{here}:{rest}"));
            let text = || line.strip_prefix(&format!("{there} | "));
            place.or_else(|| text().map(|rest| format!("{here} | {rest}")))
        })
    };
    drawn.iter().map(|line| here(line).unwrap_or_else(|| line.clone())).collect()
}
