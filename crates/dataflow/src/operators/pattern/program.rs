//! A pattern as an automaton: its places, and what may follow each.
//!
//! A *place* is a variable where it stands in the pattern, with quantifiers written out. What follows a
//! place is a list in the order of preference, made once: stepping over a row looks at no operator of the
//! pattern any more. Where the end of the pattern stands in a list, the list ends: nothing behind it can be
//! preferred to a match that is there.
//!
//! Invariants: no list has a place twice; what can go round without a row does not: an iteration beyond
//! those that must be fails if it has mapped no row.

use std::collections::{BTreeSet, HashSet};

use thalweg_plan::pattern::{MatchNode, Pattern, VariableId};

use super::layout::Layout;

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A row at this place.
    Place(u32),
    /// Nothing: the match is complete.
    Match,
    /// Nothing, if the partition ends here.
    MatchAtEnd,
}

/// A variable where it stands in the pattern.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) variable: VariableId,
    /// Do its rows not come out?
    pub(super) is_hidden: bool,
    /// What follows, the preferred first.
    pub(super) next: Vec<Target>,
    /// Is what can follow decided by the rows alone, and not by how the match so far was made? Then of two
    /// ways to this place only the preferred one counts.
    pub(super) is_free: bool,
}

/// An automaton.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) places: Vec<Place>,
    /// What a match begins with at the first row of a partition, and elsewhere.
    begin: [Vec<Target>; 2],
    /// The variables that a match can begin with, as bits; all where it may be empty.
    pub(super) first: u64,
    /// What conditions ask of the match so far.
    pub(super) layout: Layout,
}

impl Program {
    /// Compiles the pattern of `node`; `dependent` has the variables, as bits, whose conditions look at the
    /// match so far, and `layout` what they ask.
    pub(super) fn new(node: &MatchNode, dependent: u64, layout: Layout) -> Program {
        let mut graph = Graph { nodes: vec![Node::Match], places: Vec::new(), loops: 0 };
        let entry = graph.add(&node.pattern, 0, false);
        let begin = [true, false].map(|is_first| graph.targets(entry, is_first));
        let follow: Vec<Vec<Target>> =
            graph.places.iter().map(|place| graph.targets(place.next, false)).collect();
        let places = graph.places.iter().zip(follow).map(|(place, next)| Place {
            variable: place.variable,
            is_hidden: place.is_hidden,
            next,
            is_free: dependent & place.variable.bit() == 0,
        });
        let mut program = Program { places: places.collect(), begin, first: 0, layout };
        program.first = program.first_variables();
        program.spread_dependence();
        program
    }

    /// Returns what a match begins with, the preferred first.
    pub(super) fn begin(&self, is_first: bool) -> &[Target] {
        &self.begin[usize::from(!is_first)]
    }

    fn first_variables(&self) -> u64 {
        let bits = self.begin.iter().flatten().map(|target| match target {
            Target::Place(place) => self.places[*place as usize].variable.bit(),
            Target::Match | Target::MatchAtEnd => u64::MAX,
        });
        bits.fold(0, |all, bit| all | bit)
    }

    /// Takes the freedom of places from which one can be reached that has none.
    fn spread_dependence(&mut self) {
        let mut before = vec![Vec::new(); self.places.len()];
        for (number, place) in self.places.iter().enumerate() {
            for target in &place.next {
                if let Target::Place(next) = target {
                    before[*next as usize].push(number);
                }
            }
        }
        let bound = (0..self.places.len()).filter(|place| !self.places[*place].is_free);
        let mut bound: Vec<usize> = bound.collect();
        while let Some(place) = bound.pop() {
            for before in &before[place] {
                if std::mem::take(&mut self.places[*before].is_free) {
                    bound.push(*before);
                }
            }
        }
    }
}

/// What is to be done without a row.
enum Node {
    /// The pattern is at its end.
    Match,
    /// Takes a row at a place.
    Take(u32),
    /// Goes on at one of these, the preferred first.
    Choice(Vec<usize>),
    /// Begins one more time of what is repeated, or leaves it.
    Repeat { number: u32, body: usize, exit: usize, is_greedy: bool },
    /// Ends that time, which must have mapped a row.
    Repeated { number: u32, next: usize },
    /// Goes on at the first row of a partition.
    Start(usize),
    /// Goes on at the end of a partition.
    End(usize),
}

struct Taken {
    variable: VariableId,
    is_hidden: bool,
    next: usize,
}

/// The pattern as a graph.
struct Graph {
    nodes: Vec<Node>,
    places: Vec<Taken>,
    loops: u32,
}

impl Graph {
    fn push(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Adds a pattern before node `next`, and returns where it begins.
    fn add(&mut self, pattern: &Pattern, next: usize, is_hidden: bool) -> usize {
        match pattern {
            Pattern::Empty => next,
            Pattern::Start => self.push(Node::Start(next)),
            Pattern::End => self.push(Node::End(next)),
            Pattern::Excluded(of) => self.add(of, next, true),
            Pattern::Variable(variable) => {
                self.places.push(Taken { variable: *variable, is_hidden, next });
                self.push(Node::Take(self.places.len() as u32 - 1))
            }
            Pattern::Sequence(parts) => {
                parts.iter().rev().fold(next, |next, part| self.add(part, next, is_hidden))
            }
            Pattern::Choice(parts) => {
                let parts = parts.iter().map(|part| self.add(part, next, is_hidden)).collect();
                self.push(Node::Choice(parts))
            }
            Pattern::Permutation(parts) => {
                self.permutation(&parts.iter().collect::<Vec<_>>(), next, is_hidden)
            }
            Pattern::Repeat { of, least, most, is_greedy } => {
                let (least, most) = (*least, *most);
                let tail = match most {
                    None => self.endless(of, (least, *is_greedy), next, is_hidden),
                    Some(most) => (least..most).fold(next, |exit, _| {
                        let number = self.number();
                        let repeated = self.push(Node::Repeated { number, next: exit });
                        let body = self.add(of, repeated, is_hidden);
                        // Who leaves goes past all that could follow.
                        let is_greedy = *is_greedy;
                        self.push(Node::Repeat { number, body, exit: next, is_greedy })
                    }),
                };
                let is_looped = most.is_none() && least > 0 && !of.can_be_empty();
                let before = if is_looped { least - 1 } else { least };
                (0..before).fold(tail, |next, _| self.add(of, next, is_hidden))
            }
        }
    }

    /// Adds a part that is repeated without end; that must be there once if it need not be empty.
    fn endless(
        &mut self,
        of: &Pattern,
        (least, is_greedy): (u32, bool),
        exit: usize,
        is_hidden: bool,
    ) -> usize {
        let number = self.number();
        let head = self.push(Node::Match);
        let repeated = self.push(Node::Repeated { number, next: head });
        let body = self.add(of, repeated, is_hidden);
        self.nodes[head] = Node::Repeat { number, body, exit, is_greedy };
        if least > 0 && !of.can_be_empty() { body } else { head }
    }

    fn permutation(&mut self, parts: &[&Pattern], next: usize, is_hidden: bool) -> usize {
        if parts.is_empty() {
            return next;
        }
        let orders = (0..parts.len()).map(|first| {
            let mut others = parts.to_vec();
            let first = others.remove(first);
            let next = self.permutation(&others, next, is_hidden);
            self.add(first, next, is_hidden)
        });
        let orders = orders.collect();
        self.push(Node::Choice(orders))
    }

    fn number(&mut self) -> u32 {
        self.loops += 1;
        self.loops
    }

    /// Returns what may come next at `node`, the preferred first; is that before the first row of a
    /// partition?
    fn targets(&self, node: usize, is_first: bool) -> Vec<Target> {
        let (mut targets, mut been) = (Vec::new(), HashSet::new());
        let mut known = HashSet::new();
        let mut ways = vec![At { node, is_end: false, empty: BTreeSet::new() }];
        while let Some(at) = ways.pop() {
            if !been.insert(at.clone()) {
                continue;
            }
            match &self.nodes[at.node] {
                Node::Match if at.is_end => targets.push(Target::MatchAtEnd),
                Node::Match => {
                    targets.push(Target::Match);
                    break;
                }
                Node::Take(place) => {
                    if !at.is_end && known.insert(*place) {
                        targets.push(Target::Place(*place));
                    }
                }
                Node::Start(_) if !is_first => {}
                other => at.follow(other, &mut ways),
            }
        }
        targets
    }
}

/// A node on a way, and what that way has done since the last row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct At {
    node: usize,
    /// Is it behind `$`?
    is_end: bool,
    /// Repetitions that are under way and have mapped no row.
    empty: BTreeSet<u32>,
}

impl At {
    /// Adds the ways that lead on from a node, the preferred last.
    fn follow(mut self, node: &Node, ways: &mut Vec<At>) {
        let to = |node: usize, at: &At| At { node, ..at.clone() };
        match node {
            Node::Match | Node::Take(_) => {}
            Node::Choice(parts) => ways.extend(parts.iter().rev().map(|part| to(*part, &self))),
            Node::Start(next) => ways.push(to(*next, &self)),
            Node::End(next) => ways.push(At { node: *next, is_end: true, ..self }),
            Node::Repeated { number, next } => {
                if !self.empty.contains(number) {
                    ways.push(to(*next, &self));
                }
            }
            Node::Repeat { number, body, exit, is_greedy } => {
                self.empty.remove(number);
                let exit = to(*exit, &self);
                self.empty.insert(*number);
                let body = to(*body, &self);
                ways.extend(if *is_greedy { [exit, body] } else { [body, exit] });
            }
        }
    }
}
