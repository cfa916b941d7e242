//! Two homes and an edge: three daemons that share a table in an etcd, and hand state to each other
//! over mTLS.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command as Process,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use homeward::{
    control::Client,
    core::{
        admin::{Answer, Command, ServerFields},
        table::State,
    },
};
use nix::sched::CpuSet;

use super::{certificates::Authority, observer::Observer};
use crate::{
    backbone::{Backbone, HUB},
    etcd::{self, Etcd},
    interrupt,
    kernel::Kernel,
    lab::{Lab, PORT, Pair, SERVER_INTERFACE},
    layout::DOMAIN,
    options::Options,
    system::{RECEIVE_BUFFER, Server},
};

/// Slots of the table: few, so that a server's own are moved within a second or two.
pub(super) const SLOTS: u32 = 1_024;
/// The homes' names, as [`crate::layout`] has them; the edge is no server.
pub(super) const HOMES: [&str; 2] = ["home-1", "home-2"];
const EDGE: &str = "edge";
/// Where hosts ask each other.
const PEER_PORT: u16 = 5062;
/// How long a daemon may take to start, and hosts until they have the table.
const START: Duration = Duration::from_secs(30);

/// What the cluster is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Notices a second of each host.
    pub(super) notices: u32,
    /// Moves in progress at a time.
    pub(super) moves: u32,
}

/// A host with its daemon.
pub(super) struct Member {
    name: &'static str,
    pub(super) pair: Pair,
    program: PathBuf,
    folder: PathBuf,
    server: Option<Server>,
}

/// The hosts; in this order the daemons end before their store.
pub(super) struct Cluster {
    pub(super) homes: [Member; 2],
    pub(super) edge: Member,
    pub(super) observer: Observer,
    _etcd: Etcd,
}

impl Cluster {
    /// Starts all of it; both homes are up, and nobody is assigned.
    pub(super) fn set(
        lab: &mut Lab,
        kernel: &mut Kernel,
        options: &Options,
        folder: &Path,
        rules: Rules,
    ) -> Result<Self> {
        let folder = folder.join("servers");
        let _ = fs::remove_dir_all(&folder);
        let mut member = |name: &'static str, clients_end: &str| {
            let pair = lab.pair(name)?;
            kernel.attach_clients(clients_end, lab, &pair)?;
            let folder = folder.join(name);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            Ok::<_, anyhow::Error>(Member {
                name,
                pair,
                program: options.daemon.clone(),
                folder,
                server: None,
            })
        };
        let [one, two] = HOMES;
        let mut homes = [member(one, "pass")?, member(two, "pass")?];
        let mut edge = member(EDGE, "sink")?;
        let backbone = Backbone::new(lab)?;
        let [one, two] = &homes;
        let peers = backbone.join(&[&one.pair, &two.pair, &edge.pair])?;

        let store = folder.join("etcd");
        fs::create_dir_all(&store)?;
        let etcd = Etcd::start(backbone.command(&options.etcd), &store, HUB)?;
        let secret = folder.join("cluster.secret");
        let slots = SLOTS.to_string();
        etcd::create_table(
            &format!("etcd://{HUB}:2379"),
            &secret,
            &["--slots", &slots],
            |words| edge.command(words),
        )?;

        let authority = Authority::new(&folder)?;
        let edge_address = edge.pair.server;
        let [one, two] = &mut homes;
        for (member, peer) in [one, two, &mut edge].into_iter().zip(&peers) {
            member.configure(&authority, *peer, edge_address, &secret, rules)?;
            member.start()?;
        }
        for (home, peer) in homes.iter().zip(&peers) {
            home.add_itself(*peer)?;
        }
        let observer = backbone.run(|| Observer::new(&format!("{HUB}:2379"), &secret))?;
        let cluster = Self { homes, edge, observer, _etcd: etcd };
        cluster.settle()?;
        Ok(cluster)
    }

    /// Waits until every host has the table, and somebody leads.
    pub(super) fn settle(&self) -> Result<()> {
        let from = Instant::now();
        self.edge.call(&Command::EdgeWait { revision: None, wait_s: None })?;
        loop {
            interrupt::check()?;
            match self.edge.call(&Command::Balance { mode: None })? {
                Answer::Balance(view) if view.leader.is_some() => return Ok(()),
                _ => ensure!(from.elapsed() < START, "no host leads the cluster"),
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Orders home number `from` (0 or 1) to be emptied.
    pub(super) fn drain(&self, from: usize) -> Result<()> {
        let name = self.home(from)?.name.to_owned();
        self.edge.call(&Command::ServerDrain { name, rate: None, within_s: None })?;
        Ok(())
    }

    /// Takes home number `home` into use again.
    pub(super) fn enable(&self, home: usize) -> Result<()> {
        let fields = ServerFields { state: Some(State::Up), ..ServerFields::default() };
        let name = self.home(home)?.name.to_owned();
        self.edge.call(&Command::ServerSet { name, fields })?;
        self.settle()
    }

    pub(super) fn home(&self, number: usize) -> Result<&Member> {
        self.homes.get(number).context("there are two homes")
    }
}

impl Member {
    fn configure(
        &self,
        authority: &Authority,
        peer: Ipv4Addr,
        edge: Ipv4Addr,
        secret: &Path,
        rules: Rules,
    ) -> Result<()> {
        let Self { name, folder, .. } = self;
        let host = format!("{name}.{DOMAIN}");
        let peers = authority.settings(&host, &format!("{peer}:{PEER_PORT}"))?;
        let Rules { notices, moves } = rules;
        let (address, state, socket) = (self.pair.server, folder.display(), self.socket());
        let (socket, secret) = (socket.display(), secret.display());
        // Moves begin as fast as they can: what is measured is how fast they are made.
        let text = format!(
            "[node]\nname = \"{name}\"\nstate_dir = \"{state}\"\n\
             [sip]\nlisten = [\"{address}:{PORT}\"]\ndomains = [\"{DOMAIN}\"]\n\
             names = [\"{host}\"]\nexpires_max = 86400\n\
             [control]\nsocket = \"{socket}\"\n\
             [xdp]\ninterfaces = [\"{SERVER_INTERFACE}\"]\nmode = \"native\"\n\
             [sources]\nedge = [\"{edge}\"]\n\
             [receive]\nbuffer = {RECEIVE_BUFFER}\n\
             [store]\nurl = \"etcd://{HUB}:2379\"\nsecret_file = \"{secret}\"\n\
             [subscriptions]\nnotices_per_second = {notices}\n\
             [balance]\nmode = \"off\"\nwindow = 1\nshare = 100\ncooldown = 0\ncpu = 100\n\
             moves = {moves}\nrate = 10000\n\
             [load]\nwindow = 1\n{peers}"
        );
        let path = self.configuration();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn start(&mut self) -> Result<()> {
        let mut all = CpuSet::new();
        for processor in 0..thread::available_parallelism()?.get() {
            all.set(processor)?;
        }
        let mut command = self.command(&["run", "--config"]);
        command.arg(self.configuration());
        let server = self.server.insert(Server::start_on(command, &self.folder, &all)?);
        let from = Instant::now();
        while Client::connect(&self.folder.join("control.sock")).is_err() {
            interrupt::check()?;
            server.check()?;
            ensure!(from.elapsed() < START, "{} answers no command", self.name);
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn add_itself(&self, peer: Ipv4Addr) -> Result<()> {
        let Self { name, .. } = self;
        let fields = ServerFields {
            address: Some((self.pair.server, PORT).into()),
            contact: Some(format!("{name}.{DOMAIN}:{PORT}").parse().map_err(anyhow::Error::msg)?),
            peer: Some(format!("{peer}:{PEER_PORT}")),
            ..ServerFields::default()
        };
        self.call(&Command::ServerAdd { name: (*name).to_owned(), fields })?;
        Ok(())
    }

    /// `homeward WORDS...` on this host.
    pub(super) fn command(&self, words: &[&str]) -> Process {
        let mut command = self.pair.command(&self.program);
        command.args(words);
        command
    }

    /// `homeward WORDS...` for its daemon.
    pub(super) fn homeward(&self, words: &[&str]) -> Result<()> {
        let mut command = self.command(&["--socket"]);
        let output = command.arg(self.socket()).args(words).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "`homeward {}` failed: {said}", words.join(" "));
        Ok(())
    }

    /// A connection to its daemon.
    pub(super) fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.socket())?)
    }

    /// Gives its daemon one command.
    pub(super) fn call(&self, command: &Command) -> Result<Answer> {
        let answer = self.client()?.call(command);
        answer.with_context(|| format!("{} refuses {command:?}", self.name))
    }

    /// Memory of its daemon that is resident, bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        self.server.as_ref().context("the daemon does not run")?.resident()
    }

    /// Fails if its daemon has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        self.server.as_mut().map_or(Ok(()), Server::check)
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("homeward.toml")
    }
}
