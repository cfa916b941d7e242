//! SIPp on the client's host: many clients at a steady rate.
//!
//! Its scenarios are in `xtask/sipp/`. Its own count is read from its statistics,
//! and its exit code says whether all calls went as the scenario says.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    interrupt,
    lab::{HostName, Lab},
    process, workspace,
};

/// A run of SIPp.
#[derive(Clone, Copy, Debug)]
pub struct Sipp<'a> {
    /// The scenario's name in `xtask/sipp/`, without `.xml`.
    pub scenario: &'a str,
    /// Where the requests go.
    pub server: SocketAddr,
    /// Clients in all.
    pub clients: u32,
    /// New clients a second.
    pub rate: u32,
    /// SIPp's word for its transport and sockets: `u1`, `t1`, `tn`.
    pub transport: &'a str,
    /// Fields for the scenario, a line for each client.
    pub users: Option<&'a Path>,
}

/// What SIPp counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SippCalls {
    /// Clients that got what the scenario says.
    pub successful: u64,
    /// Others.
    pub failed: u64,
    /// Requests that SIPp sent again.
    pub retransmitted: u64,
}

impl Sipp<'_> {
    /// Runs it to its end.
    pub fn run(&self, lab: &Lab) -> Result<SippCalls> {
        interrupt::check()?;
        let client = lab.host(HostName::Client);
        let folder = client.dir();
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let statistics = folder.join(format!("{}.csv", self.scenario));
        let scenario = workspace::root().join(format!("xtask/sipp/{}.xml", self.scenario));
        let mut command: Command = client.command("sipp");
        command
            .arg(self.server.to_string())
            .arg("-sf")
            .arg(scenario)
            .args(["-i", &client.v4().to_string()])
            .args(["-m", &self.clients.to_string(), "-r", &self.rate.to_string()])
            .args(["-trace_stat", "-stf"])
            .arg(&statistics)
            .args(["-fd", "1", "-trace_err", "-error_file"])
            .arg(folder.join(format!("{}.errors", self.scenario)))
            .args(["-t", self.transport, "-max_socket", "1000"])
            .args(["-timeout", "30", "-timeout_error", "-nostdin"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(users) = self.users {
            command.arg("-inf").arg(users);
        }
        let errors = folder.join(format!("{}.errors", self.scenario));
        // Those of an earlier run of the same scenario.
        std::fs::remove_file(&errors).ok();
        let status =
            command.status().context("cannot start sipp; `cargo xtask setup` installs it")?;
        interrupt::check()?;
        let text = std::fs::read_to_string(&statistics).with_context(|| {
            format!("sipp ({status}) left no statistics at {}", statistics.display())
        })?;
        let calls =
            read(&text).with_context(|| format!("sipp's statistics are strange:\n{text}"))?;
        if !status.success() {
            let errors = process::tail(&errors, 6);
            bail!("sipp ended with {status}, {calls:?}:\n{errors}");
        }
        Ok(calls)
    }
}

/// The cumulative columns of the last line.
fn read(statistics: &str) -> Option<SippCalls> {
    let names: Vec<_> = statistics.lines().next()?.split(';').collect();
    let values: Vec<_> = statistics.lines().last()?.split(';').collect();
    let value = |name: &str| -> Option<u64> {
        let at = names.iter().position(|found| *found == name)?;
        values.get(at)?.parse().ok()
    };
    Some(SippCalls {
        successful: value("SuccessfulCall(C)")?,
        failed: value("FailedCall(C)")?,
        retransmitted: value("Retransmissions(C)")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_the_statistics_counts() {
        let text = "StartTime;SuccessfulCall(P);SuccessfulCall(C);FailedCall(C);Retransmissions(C);\n\
                    x;5;5;0;0;\nx;2;7;1;3;\n";
        let calls = SippCalls { successful: 7, failed: 1, retransmitted: 3 };
        assert_eq!(read(text), Some(calls));
        assert_eq!(read("a;b\n1;2\n"), None);
    }
}
