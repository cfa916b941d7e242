//! What happened: a hash of all of it, by which two runs are known to be the same, and its end.

use std::{collections::VecDeque, fmt, hash::Hasher as _, io::Write as _, time::Duration};

/// Lines that are kept.
const LAST: usize = 60;

/// The trace of a run.
#[derive(Default)]
pub struct Trace {
    hash: std::hash::DefaultHasher,
    last: VecDeque<String>,
    loud: bool,
}

impl Trace {
    /// A trace that nothing is in; a loud one prints each line.
    pub fn new(loud: bool) -> Self {
        Self { loud, ..Self::default() }
    }

    /// Whether each line is printed.
    pub fn is_loud(&self) -> bool {
        self.loud
    }

    /// Something happened.
    pub fn line(&mut self, now: Duration, what: fmt::Arguments<'_>) {
        let line = format!("{:>12.6} {what}", now.as_secs_f64());
        self.hash.write(line.as_bytes());
        self.keep(line);
    }

    /// Something that follows from what happened, for who reads.
    pub fn aside(&mut self, now: Duration, what: fmt::Arguments<'_>) {
        self.keep(format!("{:>12.6}   {what}", now.as_secs_f64()));
    }

    fn keep(&mut self, line: String) {
        if self.loud {
            // Who reads has gone: the run goes on.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The hash of all lines.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// The last lines.
    pub fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}
