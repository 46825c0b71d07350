//! Makes an automaton small: drops what cannot change the outcome any more, merges what cannot be told apart.
//!
//! General minimisers keep apart which patterns matched; here only the best outcome counts, so most states go.

use std::collections::HashMap;

use crate::table::{Failure, NONE, Table};

/// A match that ends somewhere: its rank, where 0 is best, and its outcome.
pub type End = Option<(u16, u16)>;

fn rank(end: End) -> u16 {
    end.map_or(NONE, |(rank, _)| rank)
}

/// Returns the match with the better rank, and the first on a tie.
fn better(first: End, second: End) -> End {
    if rank(second) < rank(first) { second } else { first }
}

/// An automaton as build steps pass it on. State 0 is the start.
#[derive(Debug, Clone)]
pub struct Graph {
    /// Class of each byte.
    pub classes: Vec<u8>,
    /// Number of classes.
    pub width: usize,
    /// Next state by state and class.
    pub next: Vec<u32>,
    /// By state: the best match that ends here.
    pub outcome: Vec<End>,
    /// By state: the best match that ends with the line.
    pub last: Vec<End>,
}

impl Graph {
    /// Returns an automaton that gives every line the same outcome with as few states and classes as it takes.
    pub fn reduce(self) -> Reduced {
        let finals = self.finals();
        let group = self.partition(&finals);
        let mut reduced = Reduced::renumber(&self, &finals, &group);
        reduced.merge_classes();
        reduced
    }

    /// Returns an automaton that remembers the best match so far in its states, so that each path ends where its
    /// outcome is settled. Worth it where paths are short: the states multiply by the outcomes they may carry.
    pub fn settle(self) -> Self {
        let reach = self.reach();
        let mut number = HashMap::from([((0usize, self.outcome[0]), 0u32)]);
        let mut order = vec![(0usize, self.outcome[0])];
        let mut settled = Self { next: Vec::new(), outcome: Vec::new(), last: Vec::new(), ..self.clone() };
        let mut at = 0;
        while let Some(&(state, best)) = order.get(at) {
            let is_final = rank(best) <= reach[state];
            for &to in self.row(state) {
                let fresh = order.len() as u32;
                let to = to as usize;
                // Final states lead nowhere; a loop stands for that.
                let to = if is_final { (state, best) } else { (to, better(best, self.outcome[to])) };
                settled.next.push(*number.entry(to).or_insert_with(|| {
                    order.push(to);
                    fresh
                }));
            }
            settled.outcome.push(if is_final { best } else { None });
            settled.last.push(better(best, self.last[state]));
            at += 1;
        }
        settled
    }

    fn row(&self, state: usize) -> &[u32] {
        &self.next[state * self.width..(state + 1) * self.width]
    }

    /// Returns which states end the walk: nothing better than their own outcome lies further on.
    fn finals(&self) -> Vec<bool> {
        let reach = self.reach();
        (0..self.outcome.len()).map(|state| rank(self.outcome[state]) <= reach[state]).collect()
    }

    /// Returns, by state, the best rank of a match that lies further on: a search backwards from the matches, best
    /// rank first, so that each state is settled once.
    fn reach(&self) -> Vec<u16> {
        let states = self.outcome.len();
        let mut before: Vec<Vec<u32>> = vec![Vec::new(); states];
        for (state, row) in (0u32..).zip(self.next.chunks_exact(self.width)) {
            for &to in row {
                let list = &mut before[to as usize];
                if list.last() != Some(&state) {
                    list.push(state);
                }
            }
        }
        let mut seeds: Vec<(u16, u32)> = Vec::new();
        for (state, (last, (outcome, before))) in
            (0u32..).zip(self.last.iter().zip(self.outcome.iter().zip(&before)))
        {
            seeds.extend(last.map(|(rank, _)| (rank, state)));
            if let Some((rank, _)) = *outcome {
                seeds.extend(before.iter().map(|&from| (rank, from)));
            }
        }
        seeds.sort_unstable();
        let mut reach = vec![NONE; states];
        let mut stack = Vec::new();
        for (rank, seed) in seeds {
            stack.push(seed);
            while let Some(state) = stack.pop() {
                let settled = &mut reach[state as usize];
                if *settled > rank {
                    *settled = rank;
                    stack.extend_from_slice(&before[state as usize]);
                }
            }
        }
        reach
    }

    /// Returns each state's group, states of one group being indistinguishable: Moore's refinement. It begins with
    /// what states say and splits groups whose members lead to different groups, until none does.
    fn partition(&self, finals: &[bool]) -> Vec<u32> {
        let states = self.outcome.len();
        // The last match of a final state counts only where the state itself has none, and then it is `None` too.
        let says = |state: usize| {
            let last = if finals[state] { None } else { self.last[state] };
            (finals[state], self.outcome[state], last)
        };
        let mut seen = HashMap::new();
        let mut group: Vec<u32> = (0..states)
            .map(|state| {
                let fresh = seen.len() as u32;
                *seen.entry(says(state)).or_insert(fresh)
            })
            .collect();
        let mut count = seen.len();
        loop {
            let mut seen: HashMap<(u32, Vec<u32>), u32> = HashMap::new();
            let split: Vec<u32> = (0..states)
                .map(|state| {
                    let leads = match finals[state] {
                        true => Vec::new(),
                        false => self.row(state).iter().map(|&to| group[to as usize]).collect(),
                    };
                    let fresh = seen.len() as u32;
                    *seen.entry((group[state], leads)).or_insert(fresh)
                })
                .collect();
            let grown = seen.len() > count;
            count = seen.len();
            group = split;
            if !grown {
                return group;
            }
        }
    }
}

/// The reduced automaton, numbered as the walk wants it.
#[derive(Debug, Clone)]
pub struct Reduced {
    classes: Vec<u8>,
    width: usize,
    next: Vec<u32>,
    start: u32,
    finals: usize,
    special: usize,
    outcome: Vec<End>,
    last: Vec<End>,
}

impl Reduced {
    /// Numbers the groups that are met from the start: final ones, then those with an outcome, then the rest, each
    /// in the order they are met, so that the rows of ordinary lines lie together.
    fn renumber(graph: &Graph, finals: &[bool], group: &[u32]) -> Self {
        // One state stands for each group.
        let mut met = HashMap::from([(group[0], ())]);
        let mut order = vec![0usize];
        let mut at = 0;
        while let Some(&state) = order.get(at) {
            at += 1;
            if finals[state] {
                continue;
            }
            for &to in graph.row(state) {
                if met.insert(group[to as usize], ()).is_none() {
                    order.push(to as usize);
                }
            }
        }
        order.sort_by_key(|&state| match (finals[state], graph.outcome[state]) {
            (true, _) => 0,
            (false, Some(_)) => 1,
            (false, None) => 2,
        });
        let number: HashMap<u32, u32> =
            order.iter().enumerate().map(|(number, &state)| (group[state], number as u32)).collect();
        let mut next = Vec::with_capacity(order.len() * graph.width);
        for &state in &order {
            // A final state's row is never read.
            next.extend(graph.row(state).iter().map(|&to| match finals[state] {
                true => 0,
                false => number[&group[to as usize]],
            }));
        }
        Self {
            classes: graph.classes.clone(),
            width: graph.width,
            next,
            start: number[&group[0]],
            finals: order.iter().filter(|&&state| finals[state]).count(),
            special: order.iter().filter(|&&state| finals[state] || graph.outcome[state].is_some()).count(),
            outcome: order.iter().map(|&state| graph.outcome[state]).collect(),
            last: order.iter().map(|&state| if finals[state] { None } else { graph.last[state] }).collect(),
        }
    }

    /// Merges classes of bytes that no state tells apart any more.
    fn merge_classes(&mut self) {
        let states = self.outcome.len();
        let mut seen: HashMap<Vec<u32>, u8> = HashMap::new();
        let mut kept = Vec::new();
        let mut merged = vec![0u8; self.width];
        for (class, merged) in merged.iter_mut().enumerate() {
            let column: Vec<u32> =
                (self.finals..states).map(|state| self.next[state * self.width + class]).collect();
            let fresh = seen.len() as u8;
            *merged = *seen.entry(column).or_insert_with(|| {
                kept.push(class);
                fresh
            });
        }
        self.next = (0..states)
            .flat_map(|state| kept.iter().map(move |class| (state, *class)))
            .map(|(state, class)| self.next[state * self.width + class])
            .collect();
        self.width = kept.len();
        for class in &mut self.classes {
            *class = merged[usize::from(*class)];
        }
    }

    /// Packs the automaton into the table that lines walk.
    ///
    /// # Errors
    /// [`Failure::TooLarge`] when its states do not fit 16 bits.
    pub fn into_table(self) -> Result<Table<'static>, Failure> {
        let states = self.outcome.len();
        if states >= usize::from(NONE) {
            return Err(Failure::TooLarge);
        }
        let shift = if self.width <= 128 { 7 } else { 8 };
        let mut next = vec![0u16; states << shift];
        for state in 0..states {
            for class in 0..self.width {
                next[(state << shift) + class] = self.next[state * self.width + class] as u16;
            }
        }
        let number = |end: &End| end.map_or(NONE, |(_, outcome)| outcome);
        Ok(Table {
            classes: self.classes.into(),
            next: next.into(),
            shift,
            start: self.start as u16,
            finals: self.finals as u16,
            special: self.special as u16,
            outcome: self.outcome[..self.special].iter().map(number).collect(),
            last: self.last.iter().map(number).collect(),
        })
    }
}
