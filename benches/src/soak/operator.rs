//! An operator who changes the table all the time, and remembers every change that was confirmed.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, bail};
use homeward::{
    control::Client,
    core::admin::{Answer, Command, StatusView},
};

use crate::layout::{DOMAIN, home};

/// Between two changes.
const PAUSE: Duration = Duration::from_millis(2);

/// The changes: client n is assigned to [`home`] of n.
#[derive(Debug)]
pub(super) struct Operator {
    socket: PathBuf,
}

impl Operator {
    pub(super) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Makes changes until told to stop; how many were confirmed, from the first on.
    pub(super) fn work(&self, stop: &AtomicBool) -> u32 {
        let (mut client, mut next) = (None, 0);
        while !stop.load(Ordering::Relaxed) {
            let assign = Command::Assign {
                aor: aor(next),
                server: format!("home-{}", home(next)),
                pinned: false,
                no_redirect: false,
            };
            // What was cut off is repeated: it may have been made or not.
            match ask(&mut client, &self.socket, &assign) {
                Some(Answer::Done { .. }) => next += 1,
                _ => client = None,
            }
            thread::sleep(PAUSE);
        }
        next
    }

    /// Of the changes before `confirmed`, from `first` on, those that the daemon does not have.
    pub(super) fn missing(&self, first: u32, confirmed: u32) -> Result<u32> {
        let mut client = None;
        let mut missing = 0;
        for number in first..confirmed {
            let show = Command::ClientShow { aor: aor(number), source: None };
            match ask(&mut client, &self.socket, &show) {
                Some(Answer::Client(view)) => {
                    let right = view.assigned == Some(format!("home-{}", home(number)));
                    missing += u32::from(!right);
                }
                other => bail!("`client show` of {} gave {other:?}", aor(number)),
            }
        }
        Ok(missing)
    }

    /// What the daemon says of itself; none while it is not up.
    pub(super) fn status(&self) -> Option<Box<StatusView>> {
        match ask(&mut None, &self.socket, &Command::Status) {
            Some(Answer::Status(view)) => Some(view),
            _ => None,
        }
    }
}

/// One question over a connection that is made anew when it broke.
pub(super) fn ask(client: &mut Option<Client>, socket: &Path, command: &Command) -> Option<Answer> {
    if client.is_none() {
        *client = Client::connect(socket).ok();
    }
    let answer = client.as_mut()?.call(command).ok();
    if answer.is_none() {
        *client = None;
    }
    answer
}

fn aor(number: u32) -> String {
    format!("moved-{number}@{DOMAIN}")
}
