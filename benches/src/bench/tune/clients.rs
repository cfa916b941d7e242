//! The table that every daemon of a run has: which clients are its own, and which are redirected.
//!
//! Two servers of equal weight: this host, and one elsewhere. The table is made once and copied,
//! so that each daemon has the same one and the load's halves are known exactly.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use homeward::{
    core::table::{Change, ContactHost, Home, Proposal, SLOTS_DEFAULT, Server},
    store::{AssignmentStore as _, SqliteStore},
};

use crate::{
    lab::PORT,
    layout::{CLIENT, DOMAIN, request},
};

/// Clients of the load.
pub const CLIENTS: u64 = 10_000;
/// What a daemon calls itself.
pub const HOST: &str = "here";

/// Which clients have their home here.
#[derive(Clone, Debug)]
pub struct Table {
    path: PathBuf,
    here: Vec<bool>,
}

impl Table {
    /// Makes the table in a folder.
    ///
    /// # Errors
    /// When the store can't be made.
    pub fn make(folder: &Path) -> Result<Self> {
        let path = folder.join("table.db");
        let store = SqliteStore::create(&path, SLOTS_DEFAULT)?;
        let server = |name: &str, last| Server {
            contact: ContactHost { host: format!("{name}.{DOMAIN}"), port: PORT },
            ..Server::new(name, SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), PORT)))
        };
        let changes = [(1, HOST), (2, "home-1")]
            .map(|(index, name)| Change::Server { index, server: server(name, index as u8) });
        store.commit(Proposal {
            base: store.load(HOST)?.revision(),
            by: "homeward-bench".into(),
            why: "tune".into(),
            led: false,
            changes: changes.into(),
        })?;
        let table = store.load(HOST)?;
        let is_here = |client| {
            let aor = format!("{CLIENT}{client:08x}@{DOMAIN}");
            table.home(&table.key(&aor)) == Home::Here
        };
        let here = (0..CLIENTS).map(is_here).collect();
        Ok(Self { path, here })
    }

    /// Puts a copy into another folder, with what the store keeps beside it.
    ///
    /// # Errors
    /// When the copy can't be written.
    pub fn copy(&self, folder: &Path) -> Result<()> {
        for suffix in ["", "-wal"] {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            let to = folder.join(format!("table.db{suffix}"));
            if Path::new(&name).is_file() {
                fs::copy(&name, &to).with_context(|| format!("cannot write {}", to.display()))?;
            }
        }
        Ok(())
    }

    /// How many of the requests with these numbers are the daemon's.
    pub fn passed(&self, first: u64, count: u64) -> u64 {
        let is_here = |number: &u64| {
            let client = request(*number, CLIENTS).client as usize;
            self.here.get(client).copied().unwrap_or_default()
        };
        (first..first + count).filter(is_here).count() as u64
    }

    /// The share of clients whose home is here.
    pub fn share(&self) -> f64 {
        self.here.iter().filter(|here| **here).count() as f64 / CLIENTS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_clients_are_here_and_a_copy_says_the_same() {
        let folder = std::env::temp_dir().join(format!("homeward-tune-{}", std::process::id()));
        let copy = folder.join("copy");
        fs::create_dir_all(&copy).unwrap();
        let table = Table::make(&folder).unwrap();
        table.copy(&copy).unwrap();
        let store = SqliteStore::open_or_create(&copy.join("table.db"), SLOTS_DEFAULT).unwrap();
        let again = store.load(HOST).unwrap();
        drop(store);
        fs::remove_dir_all(&folder).unwrap();
        assert!((0.45..0.55).contains(&table.share()), "{}", table.share());
        let zero = again.key(&format!("{CLIENT}{:08x}@{DOMAIN}", 0));
        assert_eq!(again.home(&zero) == Home::Here, table.here[0]);
        let passed = table.passed(1, 100_000) as f64 / 100_000.0;
        assert!((passed - table.share()).abs() < 0.01, "{passed}");
    }
}
