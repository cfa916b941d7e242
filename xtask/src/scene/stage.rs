//! A lab with two running daemons that have the same table.
//!
//! Each host keeps its table in a store of its own, with secrets of its own, so
//! every command is given to both. The table: everybody's home is b; a is the
//! home of those who are assigned to it.

use std::{fmt::Write as _, net::SocketAddr, path::Path, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{DOMAIN, Homeward, Model, Phone};
use crate::lab::{Certificates, Daemon, Host, HostName, Lab};

/// Hosts that run a daemon, with their names in the table.
const HOSTS: [HostName; 2] = [HostName::A, HostName::B];

/// Which of a host's addresses stands in the table, and which the phones have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

/// How the daemons are configured.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `xdp.mode`; `native` if it is none.
    pub mode: Option<&'static str>,
    /// The table's and the phones' addresses.
    pub version: Version,
    /// Settings that are given as flags: name and value.
    pub flags: Vec<(&'static str, String)>,
}

/// Two daemons in a lab; dropping it ends them and takes the lab down.
#[derive(Debug)]
pub struct Stage {
    // In this order: the daemons end before their hosts do.
    a: Daemon,
    b: Daemon,
    lab: Lab,
    binary: PathBuf,
    version: Version,
}

impl Stage {
    /// Starts both daemons of `binary` in `lab` and gives them the table.
    pub fn set(lab: Lab, binary: &Path, settings: &Settings) -> Result<Self> {
        let start = |name| start(&lab, binary, name, settings);
        let (a, b) = (start(HostName::A)?, start(HostName::B)?);
        let stage = Self { a, b, lab, binary: binary.into(), version: settings.version };
        for name in HOSTS {
            let homeward = stage.homeward(name);
            for server in HOSTS {
                let address = stage.sip(server).to_string();
                let mut words = vec!["server", "add", server.as_str(), "--address", &address];
                let tls = stage.lab.host(server).sips().to_string();
                if stage.lab.certificates().is_some() {
                    words.extend(["--tcp", &address, "--tls", &tls]);
                }
                homeward.run(&words)?;
            }
            homeward.run(&["server", "set", HostName::A.as_str(), "--state", "standby"])?;
        }
        Ok(stage)
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Where SIP is spoken on a host, by the table's version of IP.
    pub fn sip(&self, host: HostName) -> SocketAddr {
        let host = self.lab.host(host);
        match self.version {
            Version::V4 => host.sip(),
            Version::V6 => host.sip_v6(),
        }
    }

    /// The command line of the daemon on `host`.
    pub fn homeward(&self, host: HostName) -> Homeward {
        Homeward::new(&self.binary, &self.lab.host(host).control_socket())
    }

    /// The daemon on a, which is the first server of every phone.
    pub fn a(&mut self) -> &mut Daemon {
        &mut self.a
    }

    /// Assigns a client to a server by hand, at both hosts.
    pub fn assign(&self, aor: &str, server: HostName) -> Result<()> {
        HOSTS.iter().try_for_each(|host| self.homeward(*host).assign(aor, server.as_str()))
    }

    /// Gives users passwords, at both hosts: AoR and password.
    pub fn add_users(&self, users: &[(String, String)]) -> Result<()> {
        let mut rows = String::from("aor,password\n");
        for (aor, password) in users {
            let _ = writeln!(rows, "{aor},{password}"); // writing to a String can't fail
        }
        let file = self.lab.run_dir().join("users.csv");
        std::fs::write(&file, rows).with_context(|| format!("cannot write {}", file.display()))?;
        let file = file.display().to_string();
        HOSTS
            .iter()
            .try_for_each(|host| self.homeward(*host).run(&["user", "import", &file]).map(drop))
    }

    /// A phone of a make on the client's host.
    pub fn phone(&self, model: &'static Model, user: &str) -> Result<Phone> {
        let client = self.lab.host(HostName::Client);
        let address = match self.version {
            Version::V4 => client.v4().into(),
            Version::V6 => client.v6().into(),
        };
        Phone::new(&client, address, model, user)
    }

    /// The hosts on which `aor` has a binding.
    pub fn registered_at(&self, aor: &str) -> Result<Vec<HostName>> {
        let mut at = Vec::new();
        for host in HOSTS {
            if !self.homeward(host).client(aor)?.bindings.is_empty() {
                at.push(host);
            }
        }
        Ok(at)
    }

    /// Ends the daemon on a with SIGTERM and starts it on the same state with other settings.
    pub fn restart_a(self, settings: &Settings) -> Result<Self> {
        let Self { a, b, lab, binary, version } = self;
        end(a)?;
        let a = start(&lab, &binary, HostName::A, settings)?;
        Ok(Self { a, b, lab, binary, version })
    }

    /// As [`Stage::restart_a`], but the daemon on a has ended already, however it did.
    pub fn start_a_again(self, settings: &Settings) -> Result<Self> {
        let Self { a, b, lab, binary, version } = self;
        drop(a);
        let a = start(&lab, &binary, HostName::A, settings)?;
        Ok(Self { a, b, lab, binary, version })
    }

    /// Ends both daemons with SIGTERM; the lab stays.
    pub fn clear(self) -> Result<Lab> {
        end(self.a)?;
        end(self.b)?;
        Ok(self.lab)
    }
}

fn end(daemon: Daemon) -> Result<()> {
    let name = daemon.host().name();
    let ended = daemon.stop()?;
    if !ended.success() {
        bail!("homeward on host {name} ended with {ended}, not with 0");
    }
    Ok(())
}

fn start(lab: &Lab, binary: &Path, name: HostName, settings: &Settings) -> Result<Daemon> {
    let host = lab.host(name);
    let flags: Vec<_> =
        settings.flags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut text = configuration(&host, &lab.bpffs(), settings);
    if let Some(certificates) = lab.certificates() {
        text.push_str(&streams(&host, certificates));
    }
    host.start_daemon_with(binary, &text, &flags)
}

/// TCP and TLS, by IPv4.
fn streams(host: &Host, certificates: &Certificates) -> String {
    format!(
        "\n[tcp]\nlisten = [\"{tcp}\"]\n\n[tls]\nlisten = [\"{tls}\"]\ncertificate = \"{certificate}\"\n\
         key = \"{key}\"\nserver_ca = \"{authority}\"\n",
        tcp = host.sip(),
        tls = host.sips(),
        certificate = certificates.certificate(host.name()).display(),
        key = certificates.key(host.name()).display(),
        authority = certificates.authority().display(),
    )
}

/// The configuration of the daemon on `host`: state and socket end with the lab.
pub(super) fn configuration(host: &Host, bpffs: &Path, settings: &Settings) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write!(
        text,
        "[node]\nname = \"{name}\"\nstate_dir = \"{state}\"\n\n\
         [sip]\nlisten = [\"{v4}\", \"{v6}\"]\ndomains = [\"{DOMAIN}\"]\n\n\
         [xdp]\nmode = \"{mode}\"\ninterfaces = [\"eth0\"]\nbpffs = \"{bpffs}\"\n\n\
         [control]\nsocket = \"{socket}\"\n",
        name = host.name(),
        state = host.dir().join("state").display(),
        v4 = host.sip(),
        v6 = host.sip_v6(),
        mode = settings.mode.unwrap_or("native"),
        bpffs = bpffs.join(host.name().as_str()).display(),
        socket = host.control_socket().display(),
    );
    text
}
