//! What is printed of one datagram.

use std::fmt;

use serde::Serialize;

use super::kernel::Verdict;
use crate::core::{explain::Explanation, table::Table};

/// One datagram: a line, or with `--json` an object.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    /// The file, and behind a colon the packet's number.
    path: &'a str,
    /// `register`, `redirect`, `proxy`, `answer` or `drop`.
    decision: &'static str,
    /// The status of an answer.
    status: Option<u16>,
    /// The name of the home that the client is sent to.
    home: Option<&'a str>,
    /// Via values; none where they can't be told apart.
    vias: Option<usize>,
    /// The AoR of To.
    aor: Option<&'a str>,
    /// The name of the reason.
    reason: &'static str,
    /// What the kernel program does.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<&'static str>,
    /// The name of its reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_reason: Option<&'static str>,
    #[serde(skip)]
    verdict: Option<Verdict>,
}

impl<'a> Line<'a> {
    pub fn new(
        path: &'a str,
        found: &'a Explanation,
        table: &'a Table,
        kernel: Option<&Verdict>,
    ) -> Self {
        let home = found.home.and_then(|index| table.server(index));
        Self {
            path,
            decision: found.decision,
            status: found.status,
            home: home.map(|server| server.name.as_str()),
            vias: found.found.vias,
            aor: found.found.aor.as_deref(),
            reason: found.reason,
            kernel: kernel.map(|verdict| verdict.action),
            kernel_reason: kernel.map(Verdict::reason),
            verdict: kernel.copied(),
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.decision)?;
        if let ("answer", Some(status)) = (self.decision, self.status) {
            write!(f, " {status}")?;
        }
        if let Some(home) = self.home {
            write!(f, " to {home}")?;
        }
        match self.vias {
            Some(vias) => write!(f, "; {vias} Via")?,
            None => write!(f, "; ? Via")?,
        }
        write!(f, "; {}; {}", self.aor.unwrap_or("-"), self.reason)?;
        match &self.verdict {
            Some(verdict) => write!(f, "; kernel {verdict}"),
            None => Ok(()),
        }
    }
}
