//! One line of doctor's: grade, thing, what is so, and the cure if one is needed.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Ok,
    /// Works, but slower or with care.
    Warn,
    /// Does not work.
    Fail,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// What was looked at.
    pub thing: String,
    /// What is so.
    pub state: String,
    /// What to do about it; empty if nothing is to be done.
    pub cure: String,
}

impl Finding {
    /// All is well.
    pub fn ok(thing: impl Into<String>, state: impl Into<String>) -> Self {
        Self { grade: Grade::Ok, thing: thing.into(), state: state.into(), cure: String::new() }
    }

    /// Works, but.
    pub fn warn(
        thing: impl Into<String>,
        state: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { grade: Grade::Warn, thing: thing.into(), state: state.into(), cure: cure.into() }
    }

    /// Does not work.
    pub fn fail(
        thing: impl Into<String>,
        state: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { grade: Grade::Fail, thing: thing.into(), state: state.into(), cure: cure.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Ok => "ok  ",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        };
        write!(f, "{grade}  {}: {}", self.thing, self.state)?;
        if !self.cure.is_empty() {
            write!(f, "; {}", self.cure)?;
        }
        Ok(())
    }
}
