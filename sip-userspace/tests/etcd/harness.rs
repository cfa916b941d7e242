//! etcd as the tests start it, and the hosts that share a table in it.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use etcd_client::{Client, ConnectOptions, DeleteOptions};
use homeward::{
    core::table::{Commit, Table},
    store::{
        AssignmentStore as _, Credentials as _, EtcdStore, Event, Health, StoreError, User,
        UserChange, UsersNews,
        conformance::proposal,
        etcd::{Settings, create},
    },
};
use nix::sys::signal::{Signal, kill};
use tokio::sync::mpsc;

/// Longest wait for anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster of etcd in a directory of its own.
pub struct Etcd {
    pub members: Vec<Member>,
    pub runtime: tokio::runtime::Runtime,
    _directory: tempfile::TempDir,
}

/// One member.
pub struct Member {
    pub address: String,
    arguments: Vec<String>,
    child: Option<Child>,
}

/// How a cluster differs from the plain one.
#[derive(Default)]
pub struct Shape {
    /// The scheme of the clients' URLs is https, with these arguments.
    pub tls: Option<Vec<String>>,
    /// Address of each member; loopback with a free port if there is none.
    pub hosts: Vec<String>,
    /// What each member is started with, e.g. `ip netns exec NAME`.
    pub before: Vec<Vec<String>>,
    /// More arguments.
    pub more: Vec<String>,
}

/// A port that no test takes twice, below the range that the kernel gives to connections: one of
/// those could be taken between this look and the member's own.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "no free port below 32000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn binary() -> PathBuf {
    let path = std::env::var_os("HOMEWARD_ETCD");
    let path = path.expect("HOMEWARD_ETCD is not set; `cargo xtask test` sets it to etcd's binary");
    assert!(Path::new(&path).is_file(), "HOMEWARD_ETCD names {}, which is no file", path.display());
    path.into()
}

impl Etcd {
    /// Starts so many members on loopback.
    pub fn start(count: usize) -> Self {
        Self::shaped(count, &Shape::default())
    }

    pub fn shaped(count: usize, shape: &Shape) -> Self {
        // In memory: a busy disk would hold up elections, and no test here cuts the power.
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let host = |index: usize| {
            shape.hosts.get(index).cloned().unwrap_or_else(|| "127.0.0.1".to_owned())
        };
        let peers: Vec<_> =
            (0..count).map(|index| format!("http://{}:{}", host(index), free_port())).collect();
        let cluster: Vec<_> =
            peers.iter().enumerate().map(|(index, peer)| format!("m{index}={peer}")).collect();
        let scheme = if shape.tls.is_some() { "https" } else { "http" };
        let mut members = Vec::new();
        for (index, peer) in peers.iter().enumerate() {
            let address = format!("{}:{}", host(index), free_port());
            let client = format!("{scheme}://{address}");
            let data = directory.path().join(format!("m{index}"));
            let mut arguments = shape.before.get(index).cloned().unwrap_or_default();
            // A test that is killed takes its members with it.
            let words = ["setpriv", "--pdeathsig", "KILL"].map(str::to_owned);
            arguments.splice(0..0, words);
            arguments.push(binary().display().to_string());
            for (name, value) in [
                ("--name", format!("m{index}")),
                ("--data-dir", data.display().to_string()),
                ("--listen-client-urls", client.clone()),
                ("--advertise-client-urls", client),
                ("--listen-peer-urls", peer.clone()),
                ("--initial-advertise-peer-urls", peer.clone()),
                ("--initial-cluster", cluster.join(",")),
                ("--heartbeat-interval", "100".to_owned()),
                ("--election-timeout", "500".to_owned()),
                ("--log-level", "error".to_owned()),
            ] {
                arguments.extend([name.to_owned(), value]);
            }
            arguments.extend(shape.tls.iter().flatten().cloned());
            arguments.extend(shape.more.iter().cloned());
            members.push(Member { address, arguments, child: None });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut etcd = Self { members, runtime, _directory: directory };
        for index in 0..count {
            etcd.members[index].run();
        }
        if shape.tls.is_none() && shape.before.is_empty() {
            etcd.wait();
        }
        etcd
    }

    pub fn addresses(&self) -> Vec<String> {
        self.members.iter().map(|member| member.address.clone()).collect()
    }

    /// Waits until the cluster answers.
    pub fn wait(&self) {
        until("etcd answers", || {
            self.runtime.block_on(async {
                let client = self.client().await?;
                let get = client.kv_client().get("x", None).await;
                get.ok()
            })
        });
    }

    async fn client(&self) -> Option<Client> {
        let options = ConnectOptions::new().with_timeout(Duration::from_secs(2));
        Client::connect(self.addresses(), Some(options)).await.ok()
    }

    /// Does something with a client of the tests' own.
    pub fn with<T>(&self, act: impl AsyncFnOnce(&mut Client) -> T) -> T {
        self.runtime.block_on(async {
            let mut client = self.client().await.expect("etcd answers");
            act(&mut client).await
        })
    }

    /// Removes everything.
    pub fn clear(&self) {
        self.with(async |client| {
            let all = DeleteOptions::new().with_prefix();
            client.delete("/", Some(all)).await.unwrap();
        });
    }

    pub fn kill(&mut self, index: usize) {
        let mut child = self.members[index].child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn restart(&mut self, index: usize) {
        self.members[index].run();
    }

    pub fn pause(&self, index: usize) {
        self.members[index].signal(Signal::SIGSTOP);
    }

    pub fn resume(&self, index: usize) {
        self.members[index].signal(Signal::SIGCONT);
    }
}

impl Member {
    fn run(&mut self) {
        let mut command = Command::new(&self.arguments[0]);
        command.args(&self.arguments[1..]).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    fn signal(&self, signal: Signal) {
        // `setpriv` and `ip netns exec` become etcd: it is the same process.
        let child = self.child.as_ref().unwrap();
        kill(nix::unistd::Pid::from_raw(child.id() as i32), signal).unwrap();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            if let Some(mut child) = member.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// Hosts that share a table.
pub struct Hosts {
    pub settings: Settings,
    pub directory: tempfile::TempDir,
}

impl Hosts {
    /// Settings of a cluster in that etcd, without a table.
    pub fn settings(members: Vec<String>, directory: &Path) -> Settings {
        Settings {
            members,
            tls: false,
            ca: None,
            certificate: None,
            key: None,
            user: None,
            secret_file: directory.join("cluster.secret"),
            edge_lease_s: 2,
            node: String::new(),
            snapshot: Some(directory.join("snapshot.db")),
        }
    }

    /// Makes a table.
    pub fn new(etcd: &Etcd, slots: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Self::settings(etcd.addresses(), directory.path());
        create(&settings, slots).unwrap();
        Self { settings, directory }
    }

    /// The settings of one of the hosts.
    pub fn host(&self, node: &str) -> Settings {
        let snapshot = self.directory.path().join(format!("{node}.db"));
        Settings { node: node.to_owned(), snapshot: Some(snapshot), ..self.settings.clone() }
    }

    pub fn open(&self, node: &str) -> EtcdStore {
        EtcdStore::start(self.host(node)).unwrap()
    }

    /// A host that loads and watches.
    pub fn follow(&self, node: &str) -> Host {
        let store = self.open(node);
        let table = store.load(node).unwrap();
        Host::new(store, table)
    }
}

/// A host with the table as it was told.
pub struct Host {
    pub store: EtcdStore,
    pub table: Table,
    pub health: Option<Health>,
    pub edges: Vec<homeward::store::Edge>,
    pub leads: bool,
    /// Deltas that were told, and how many of them covered everything.
    pub deltas: usize,
    pub wholes: usize,
    /// The users as they were told, and how often all of them were.
    pub users: BTreeMap<String, User>,
    pub anew: usize,
    events: mpsc::Receiver<Event>,
}

impl Host {
    pub fn new(store: EtcdStore, table: Table) -> Self {
        let (sender, events) = mpsc::channel(64);
        store.watch(table.revision(), sender);
        Self {
            store,
            table,
            health: None,
            edges: Vec::new(),
            leads: false,
            deltas: 0,
            wholes: 0,
            users: BTreeMap::new(),
            anew: 0,
            events,
        }
    }

    /// Takes in what has been told; asserts that it never goes back.
    pub fn drain(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Changed(delta) => {
                    assert!(delta.revision >= self.table.revision(), "told an older revision");
                    self.deltas += 1;
                    self.wholes += usize::from(delta.whole);
                    if delta.whole || delta.revision > self.table.revision() {
                        self.table.apply_delta(*delta).unwrap();
                    }
                }
                Event::Edges(edges) => self.edges = edges,
                Event::Health(health) => self.health = Some(health),
                Event::Leader { here, .. } => self.leads = here,
                Event::Users(news) => self.take_users(news),
            }
        }
    }

    fn take_users(&mut self, news: UsersNews) {
        match news {
            UsersNews::Changed(changes) => {
                for change in changes {
                    let aor = change.aor().to_owned();
                    match change {
                        UserChange::Put(user) => drop(self.users.insert(aor, user)),
                        UserChange::Delete(_) => drop(self.users.remove(&aor)),
                        other => panic!("{other:?}"),
                    }
                }
            }
            // Nothing is told in between here, so there is no need to keep the old ones.
            UsersNews::Anew => self.users.clear(),
            UsersNews::Page(page) => {
                self.users.extend(page.into_iter().map(|user| (user.aor.clone(), user)));
            }
            UsersNews::Whole => self.anew += 1,
        }
    }

    /// Reads all users, and follows them from then on.
    pub fn with_users(mut self) -> Self {
        let users = &mut self.users;
        let mut take = |user: User| drop(users.insert(user.aor.clone(), user));
        self.store.all_users(&mut take).unwrap();
        self
    }

    /// Changes users; what came of it.
    pub fn change_users(&self, changes: Vec<UserChange>) -> Result<(), StoreError> {
        let (sender, result) = crossbeam::channel::bounded(1);
        self.store.change_users(changes, Box::new(move |result| sender.send(result).unwrap()));
        result.recv().unwrap()
    }

    /// The AoRs that are known.
    pub fn known(&self) -> String {
        self.users.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Waits until what was told is as wanted.
    pub fn wait(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        until(what, || {
            self.drain();
            wanted(self).then_some(())
        });
    }

    pub fn wait_for(&mut self, commit: &Commit) {
        let revision = commit.revision;
        self.wait(&format!("revision {revision}"), |host| host.table.revision() >= revision);
    }

    /// Commits on the newest table.
    pub fn commit(&mut self, changes: Vec<homeward::core::table::Change>) -> Commit {
        until("a commit", || {
            self.drain();
            match self.store.commit(proposal(self.table.revision(), changes.clone())) {
                Ok(commit) => Some(commit),
                Err(StoreError::Conflict { .. } | StoreError::Away { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        })
    }

    pub fn is_well(&self) -> bool {
        self.health == Some(Health::Well)
    }

    pub fn is_away(&self) -> bool {
        matches!(self.health, Some(Health::Away { .. }))
    }
}

/// Waits until there is something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let from = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(from.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
