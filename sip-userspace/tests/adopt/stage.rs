//! A namespace with interfaces, a directory of pins, and daemons that come and go.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use homeward::{
    config::{Config, Inputs},
    core::table::Table,
    datapath::{DatapathError, Head, KernelPath, pins::Pins},
};
use nix::sched::{CloneFlags, unshare};
use sip_common::siphash::Key;

use crate::filled::{self, now};

static STAGES: AtomicU32 = AtomicU32::new(0);

/// A place of its own.
pub struct Stage {
    pub pins: PathBuf,
    pub state: tempfile::TempDir,
}

impl Stage {
    /// A namespace for this thread, with `veth0` and `veth1`, and `other0` and `other1`.
    pub fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let name = format!("/sys/fs/bpf/homeward-test-{}-{number}", std::process::id());
        let stage = Self { pins: name.into(), state: tempfile::tempdir().unwrap() };
        ip("link set lo up");
        ip("addr add 198.51.100.10/32 dev lo");
        stage.veth("veth");
        stage.veth("other");
        stage
    }

    pub fn veth(&self, name: &str) {
        ip(&format!("link add {name}0 type veth peer name {name}1"));
        ip(&format!("link set {name}0 up"));
        ip(&format!("link set {name}1 up"));
    }

    /// The configuration with some lines more.
    pub fn config(&self, more: &[(&str, &str)]) -> Config {
        let text = format!(
            "[node]\nname = \"home0\"\nstate_dir = \"{state}\"\nslots = {slots}\n\
             [sip]\nlisten = [\"198.51.100.10:5060\"]\ndomains = [\"example.com\"]\n\
             [xdp]\nmode = \"native\"\ninterfaces = [\"veth0\"]\nkeep_attached = true\n\
             bpffs = \"{pins}\"\noverrides_max = 1024\n\
             [sources]\nrate = 0\n\
             [control]\nsocket = \"{state}/control.sock\"\n",
            state = self.state.path().display(),
            pins = self.pins.display(),
            slots = filled::SLOTS,
        );
        let flags: Vec<_> =
            more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let inputs = Inputs { path: "test", text: &text, environment: &[], flags: &flags };
        fs::write(self.state.path().join("homeward.toml"), &text).unwrap();
        Config::parse(&inputs).unwrap()
    }

    /// A daemon's kernel path, before it has read its table.
    pub fn open(
        &self,
        object: &[u8],
        config: &Config,
        table: &Table,
    ) -> Result<KernelPath, DatapathError> {
        let head = Head { meta: table.meta(), revision: table.revision() };
        let secret = Key { k0: std::process::id().into(), k1: now().as_nanos() as u64 };
        KernelPath::open_object(object, config, head, secret, now()).map(Option::unwrap)
    }

    /// The same with its table, attached.
    pub fn run(&self, object: &[u8], config: &Config, table: &Table) -> KernelPath {
        let mut path = self.open(object, config, table).unwrap();
        path.start(table, now()).unwrap();
        assert!(path.attach(config, now()).unwrap());
        finish(&mut path, table);
        path
    }

    pub fn names(&self, within: &str) -> Vec<String> {
        let entries = fs::read_dir(self.pins.join(within)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.pins.exists() {
            let _ = fs::set_permissions(
                &self.pins,
                std::os::unix::fs::PermissionsExt::from_mode(0o700),
            );
            Pins::at(&self.pins).remove_all().unwrap();
        }
    }
}

/// Works until nothing is left.
pub fn finish(path: &mut KernelPath, table: &Table) {
    while path.work(table, now()) {}
    assert!(path.publisher().is_settled(), "{:?}", path.publisher().failed());
}

/// The home that the loaded program names a client.
pub fn ask(path: &mut KernelPath, table: &Table, n: u32) -> Option<u16> {
    let run = path.kernel().test_run(&filled::request(n, 0)).unwrap();
    let named = filled::named(&run.frame, run.action);
    assert!(filled::is_right(table, n, named), "client {n} is sent to {named:?}");
    named
}

/// Everybody whose home is elsewhere is sent there by the kernel.
pub fn all_right(path: &mut KernelPath, table: &Table, clients: std::ops::Range<u32>) {
    for n in clients {
        let home = table.home(&table.key(&filled::aor(n)));
        let elsewhere = matches!(home, homeward::core::table::Home::Elsewhere { .. });
        assert_eq!(ask(path, table, n).is_some(), elsewhere, "client {n}");
    }
}

/// The object with another program on the same maps, or with maps of another layout.
pub fn object(kind: &str) -> Vec<u8> {
    let path = std::env::var_os("HOMEWARD_XDP_OBJECT").unwrap();
    fs::read(Path::new(&path).with_file_name(format!("homeward-xdp-{kind}.o"))).unwrap()
}

/// The number of the program on an interface.
pub fn program_on(interface: &str) -> Option<u32> {
    let output = Command::new("ip").args(["-j", "link", "show", interface]).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(value[0]["xdp"]["prog"]["id"].as_u64()? as u32)
}

pub fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(done.success(), "ip {arguments}");
}
