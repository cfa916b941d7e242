//! All that goes on at the client's host at once: clients that register, watchers, a caller.
//!
//! One thread plays them in steps, so that what a test asks in between is asked of one moment.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{Caller, Crowd, Watcher};
use crate::{
    interrupt,
    lab::{HostName, Lab},
};

/// Between two steps.
const STEP: Duration = Duration::from_millis(1);
/// Between two looks whether what is waited for is there.
const LOOK: Duration = Duration::from_millis(100);

/// Everybody at the client's host.
#[derive(Debug)]
pub struct Street {
    client: crate::lab::Host,
    /// Those who register.
    pub crowd: Crowd,
    /// Those who watch.
    pub watchers: Vec<Watcher>,
    /// The one who calls.
    pub caller: Caller,
}

impl Street {
    /// Nobody but the caller, with these servers in the order in which clients try them.
    pub fn new(lab: &Lab, servers: &[HostName]) -> Result<Self> {
        let client = lab.host(HostName::Client);
        let servers = servers.iter().map(|host| lab.host(*host).sip()).collect();
        let (crowd, caller) = (Crowd::new(&client, servers)?, Caller::new(&client)?);
        Ok(Self { client, crowd, watchers: Vec::new(), caller })
    }

    /// Adds somebody who watches a user by a package, by way of a server.
    pub fn watch(&mut self, watched: &str, event: &'static str, by: SocketAddr) -> Result<()> {
        let user = format!("watcher-{}", self.watchers.len());
        self.watchers.push(Watcher::new(&self.client, &user, watched, event, by)?);
        Ok(())
    }

    /// Goes on until `done` says so, and whether it did within `limit`.
    pub fn play(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<bool> {
        let end = Instant::now() + limit;
        let mut look = Instant::now();
        loop {
            interrupt::check()?;
            self.crowd.step()?;
            self.watchers.iter_mut().try_for_each(Watcher::step)?;
            self.caller.step()?;
            let now = Instant::now();
            if now >= look {
                if done(self)? {
                    return Ok(true);
                }
                look = Instant::now() + LOOK;
            }
            if now >= end {
                return Ok(false);
            }
            thread::sleep(STEP);
        }
    }

    /// Goes on for so long.
    pub fn go_on(&mut self, time: Duration) -> Result<()> {
        self.play(time, |_| Ok(false)).map(drop)
    }
}
