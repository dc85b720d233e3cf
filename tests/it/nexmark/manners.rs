//! How the queries are run: over which input, on how many workers, and whether they are killed on the way.
//!
//! `THALWEG_NEXMARK_MANNERS=all` runs each input on 1, 2 and 3 workers and in two processes, lived and killed,
//! instead of the few manners of every day. Words select of these: `disordered,3,killed` leaves one, `killed`
//! leaves twelve. The words: `native`, `ordered` and `disordered`; `1`, `2` and `3`, workers in one process,
//! or `processes`, two of them; `lived` and `killed`.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Input {
    Native,
    Ordered,
    Disordered,
}

/// How a query is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Manner {
    pub(super) input: Input,
    pub(super) workers: usize,
    pub(super) processes: usize,
    /// Is it killed in the middle, to go on with one worker more in each process?
    pub(super) is_killed: bool,
}

/// The manners of every day.
const USUAL: [Manner; 5] = [
    Manner { input: Input::Native, workers: 1, processes: 1, is_killed: false },
    Manner { input: Input::Native, workers: 3, processes: 1, is_killed: false },
    Manner { input: Input::Ordered, workers: 2, processes: 1, is_killed: false },
    Manner { input: Input::Disordered, workers: 2, processes: 2, is_killed: false },
    Manner { input: Input::Disordered, workers: 1, processes: 1, is_killed: true },
];

impl Manner {
    /// Returns every manner that there is.
    fn all() -> impl Iterator<Item = Manner> {
        let inputs = [Input::Native, Input::Ordered, Input::Disordered];
        let shapes = [(1, 1), (2, 1), (3, 1), (2, 2)];
        inputs.into_iter().flat_map(move |input| {
            shapes.into_iter().flat_map(move |(workers, processes)| {
                [false, true].map(|is_killed| Manner { input, workers, processes, is_killed })
            })
        })
    }

    /// Returns the words that select it.
    fn words(self) -> [String; 3] {
        let input = format!("{:?}", self.input).to_lowercase();
        let shape = match self.processes {
            1 => self.workers.to_string(),
            _ => "processes".to_owned(),
        };
        [input, shape, if self.is_killed { "killed" } else { "lived" }.to_owned()]
    }
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [input, _, fate] = self.words();
        let processes = if self.processes == 1 { "" } else { " in 2 processes" };
        let plural = if self.workers == 1 { "" } else { "s" };
        write!(f, "{input}, {} worker{plural}{processes}, {fate}", self.workers)
    }
}

/// Returns the manners that are asked for.
pub(super) fn manners() -> Vec<Manner> {
    match std::env::var("THALWEG_NEXMARK_MANNERS") {
        Ok(asked) => selected(&asked),
        Err(_) => USUAL.to_vec(),
    }
}

fn selected(asked: &str) -> Vec<Manner> {
    let asked: Vec<&str> = asked.split(',').filter(|word| *word != "all").collect();
    let fits = |manner: &Manner| asked.iter().all(|word| manner.words().iter().any(|w| w == word));
    let selected: Vec<Manner> = Manner::all().filter(fits).collect();
    assert!(!selected.is_empty(), "THALWEG_NEXMARK_MANNERS: no manner is {asked:?}");
    selected
}

/// Would fail if `all` left a manner out, or a word selected others than it says.
#[test]
fn words_select_manners() {
    assert_eq!(selected("all").len(), 24);
    assert!(USUAL.iter().all(|usual| selected("all").contains(usual)));
    assert_eq!(selected("killed").len(), 12);
    let one = Manner { input: Input::Disordered, workers: 3, processes: 1, is_killed: true };
    assert_eq!(selected("killed,disordered,3"), [one]);
    assert!(selected("processes").iter().all(|manner| manner.processes == 2));
}
