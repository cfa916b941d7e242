//! What a person sees of the demo while it goes, and what it found to be true.

use std::time::Instant;

use anyhow::Result;

/// Prints progress and remembers every claim that was checked.
#[derive(Debug)]
pub(super) struct Teller {
    started: Instant,
    acts: u32,
    checked: u32,
    broken: Vec<String>,
}

impl Teller {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), acts: 0, checked: 0, broken: Vec::new() }
    }

    /// Does one thing before the play, and says what came of it and how long it took.
    pub(super) fn prepare<T>(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<T>,
        told: impl FnOnce(&T) -> String,
    ) -> Result<T> {
        let from = Instant::now();
        let done = work()?;
        println!("{name:<8}{}  ({:.1} s)", told(&done), from.elapsed().as_secs_f64());
        Ok(done)
    }

    /// Opens an act: a clause of the claim.
    pub(super) fn act(&mut self, title: &str) {
        self.acts += 1;
        println!("\n{}. {title}", self.acts);
    }

    /// Something that happened.
    pub(super) fn event(&self, who: &str, what: &str) {
        println!("     {who:<12}  {what}");
    }

    /// Whether what was claimed is true; `seen` is what was seen instead.
    pub(super) fn check(&mut self, claim: &str, holds: bool, seen: impl FnOnce() -> String) {
        self.checked += 1;
        if holds {
            println!("   ok  {claim}");
        } else {
            let broken = format!("{claim}: {}", seen());
            println!("   NOT TRUE  {broken}");
            self.broken.push(broken);
        }
    }

    /// The last word; whether all of it was true.
    pub(super) fn conclude(&self) -> bool {
        let seconds = self.started.elapsed().as_secs_f64();
        println!();
        if self.broken.is_empty() {
            println!(
                "All {} checks hold. {seconds:.0} s in all, nothing is left behind.",
                self.checked
            );
            return true;
        }
        println!("{} of {} checks do NOT hold:", self.broken.len(), self.checked);
        for broken in &self.broken {
            println!("   {broken}");
        }
        false
    }
}
