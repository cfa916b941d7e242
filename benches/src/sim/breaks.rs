//! Ways to break the driver on purpose: what the checks have to find.

/// What the simulated driver does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Break {
    /// It tells the core at once that every host has applied a revision.
    SkipBarrier,
    /// The store makes a proposal that is based on an older revision.
    DropFence,
    /// State that another host gave is acknowledged before it is written.
    AcknowledgeUnwritten,
    /// A 200 leaves before its binding is written.
    AnswerUnwritten,
    /// State that was given counts as kept whatever became of it.
    DropUnkept,
    /// The store is told that a revision is applied before the kernel has it.
    TellEarly,
    /// State is given without what its clients have taken back.
    ForgetRemovals,
}

impl Break {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SkipBarrier,
        Self::DropFence,
        Self::AcknowledgeUnwritten,
        Self::AnswerUnwritten,
        Self::DropUnkept,
        Self::TellEarly,
        Self::ForgetRemovals,
    ];
}
