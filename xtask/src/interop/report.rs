//! What was seen, as tables for the terminal and for the README.

use std::fmt;

use anyhow::{Context as _, Result, bail};

use super::client::{Transport, Way};
use crate::{scene::Status, workspace};

/// Between these lines of the README the tables stand.
const MARKS: [&str; 2] = ["<!-- cargo xtask interop --write: begin -->", "<!-- end -->"];

/// Everything that a run saw.
#[derive(Debug, Default)]
pub struct Report {
    pub(super) offers: Vec<Offer>,
    pub(super) rows: Vec<Row>,
    pub(super) calls: Vec<Call>,
    /// 302s of host a: by its kernel, by its daemon.
    redirects: [u64; 2],
}

/// What a client does that is offered SHA-256 and MD5.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) client: String,
    pub(super) answers: String,
}

/// One client's way to its home.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) client: String,
    pub(super) transport: Transport,
    pub(super) way: Way,
    pub(super) digest: String,
    /// None if it was not redirected.
    pub(super) followed: Option<bool>,
    pub(super) at_home: bool,
    pub(super) after_move: bool,
    pub(super) note: String,
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) caller: Transport,
    pub(super) callee: Transport,
    /// What is not as it should be.
    pub(super) wrong: Vec<String>,
    /// Whether requests within the dialog went through Homeward, too.
    pub(super) stays: bool,
}

impl Report {
    /// Whether everybody came home and every call was made.
    pub fn good(&self) -> bool {
        self.rows.iter().all(|row| row.at_home && row.after_move)
            && self.calls.iter().all(|call| call.wrong.is_empty())
    }

    /// Adds the redirects that a host has made since its start.
    pub(super) fn add_redirects(&mut self, status: &Status) {
        let [kernel, daemon] = &mut self.redirects;
        *kernel += status.kernel_count("redirect");
        *daemon += ["redirects", "redirects_strict"]
            .map(|name| status.daemon_count(name))
            .iter()
            .sum::<u64>();
    }

    /// Puts the tables into the README.
    pub fn write(&self) -> Result<()> {
        let file = workspace::root().join("README.md");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let [begin, end] = MARKS;
        let Some((before, rest)) = text.split_once(begin) else {
            bail!("{} has no line {begin}", file.display());
        };
        let Some((_, after)) = rest.split_once(end) else {
            bail!("{} has no line {end} after {begin}", file.display());
        };
        std::fs::write(&file, format!("{before}{begin}\n{self}{end}{after}"))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(
            f,
            &[
                "client",
                "transport",
                "way",
                "digest",
                "follows the 302?",
                "registered at its home?",
                "after the move?",
                "note",
            ],
        )?;
        line(f, &["---"; 8])?;
        for row in &self.rows {
            let followed = match row.followed {
                None => "was not redirected",
                Some(followed) => yes(followed),
            };
            line(
                f,
                &[
                    &row.client,
                    &capitals(row.transport),
                    row.way.as_str(),
                    &row.digest,
                    followed,
                    yes(row.at_home),
                    yes(row.after_move),
                    &row.note,
                ],
            )?;
        }
        let [kernel, daemon] = self.redirects;
        writeln!(f, "\n{kernel} of the 302s were made in the kernel, {daemon} by the daemon.\n")?;
        line(f, &["call", "INVITE, 180, 200, ACK, BYE", "BYE goes"])?;
        line(f, &["---"; 3])?;
        for call in &self.calls {
            let ways = format!("{} to {}", capitals(call.caller), capitals(call.callee));
            let done = if call.wrong.is_empty() { "yes".into() } else { call.wrong.join("; ") };
            let goes = if call.stays { "through Homeward" } else { "from end to end" };
            line(f, &[&ways, &done, goes])?;
        }
        writeln!(f)?;
        line(f, &["client", "when it is offered SHA-256, then MD5 (the default)"])?;
        line(f, &["---"; 2])?;
        for offer in &self.offers {
            line(f, &[&offer.client, &offer.answers])?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, cells: &[&str]) -> fmt::Result {
    writeln!(f, "| {} |", cells.join(" | "))
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn capitals(transport: Transport) -> String {
    transport.as_str().to_uppercase()
}
