//! Kamailio, the peer: one worker, the memory managers of its own default (`fm`), the receive buffer
//! of every server here, and a configuration for each job that does no more than the job takes.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{
    credentials::ha1_hex,
    kernel::Kernel,
    lab::{Lab, PORT},
    layout::{CLIENT, DOMAIN},
    options::Options,
    system::{RECEIVE_BUFFER, Server, System},
};

/// What Kamailio is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// The least that a 302 takes.
    Least,
    /// What Homeward does for a redirect: its checks, and so many clients in a table.
    Table(u64),
    /// A REGISTER is forwarded without state.
    Forward,
    /// A REGISTER is forwarded by transactions.
    Relay,
    /// A REGISTER is registered in memory.
    Registrar,
    /// The same after digest authentication of so many users.
    DigestRegistrar(u64),
}

impl Job {
    fn name(self) -> &'static str {
        match self {
            Self::Least => "kamailio",
            Self::Table(_) => "kamailiotable",
            Self::Forward => "k-forward",
            Self::Relay => "k-relay",
            Self::Registrar => "k-usrloc",
            Self::DigestRegistrar(_) => "k-digest",
        }
    }

    fn configuration(self) -> &'static str {
        match self {
            Self::Least => include_str!("../peers/kamailio-redirect.cfg"),
            Self::Table(_) => include_str!("../peers/kamailio-table.cfg"),
            Self::Forward | Self::Relay => include_str!("../peers/kamailio-proxy.cfg"),
            Self::Registrar | Self::DigestRegistrar(_) => {
                include_str!("../peers/kamailio-registrar.cfg")
            }
        }
    }

    /// MiB of shared memory: more than the job fills.
    fn shared_mib(self) -> u32 {
        match self {
            Self::Least | Self::Table(_) | Self::Forward => 64,
            Self::Registrar | Self::DigestRegistrar(_) => 1_024,
            Self::Relay => 4_096,
        }
    }

    /// Whether something stands at [`crate::lab::HOME_INTERFACE`] that it forwards to.
    fn has_home(self) -> bool {
        matches!(self, Self::Forward | Self::Relay)
    }
}

/// Starts it on a host of its own.
///
/// # Errors
/// When it does not start.
pub fn start(
    lab: &mut Lab,
    kernel: &mut Kernel,
    options: &Options,
    scratch: &Path,
    job: Job,
) -> Result<System> {
    let (name, modules) = (job.name(), options.kamailio_modules()?);
    let folder: PathBuf = scratch.join(name);
    let pair = lab.pair(name)?;
    kernel.sink(lab, &pair)?;
    kernel.attach("pass", &pair)?;
    if job.has_home() {
        lab.home(&pair)?;
        kernel.attach_home(&pair)?;
        kernel.pass_home(&pair)?;
    }
    let configuration = folder.join("kamailio.cfg");
    fs::create_dir_all(&folder)?;
    fs::write(&configuration, job.configuration())?;
    let mut command = pair.command(&options.kamailio);
    // The package is only unpacked; its libraries stand beside the folder of its modules.
    command.env("LD_LIBRARY_PATH", modules.parent().unwrap_or(&modules));
    match job {
        Job::Table(clients) => {
            let home = |_| Ok("home-1.example.com\\:5060".to_owned());
            write_table(&folder, "homes", clients, home, &format!("@{DOMAIN}"))?;
            command.arg("-A").arg(format!("HOMES=\"text://{}\"", folder.display()));
        }
        Job::DigestRegistrar(clients) => {
            write_table(&folder, "passwords", clients, ha1_hex, "")?;
            command.arg("-A").arg(format!("PASSWORDS=\"text://{}\"", folder.display()));
        }
        Job::Relay => {
            command.args(["-A", "RELAY"]);
        }
        Job::Least | Job::Forward | Job::Registrar => {}
    }
    command.arg("-f").arg(&configuration).arg("-L").arg(&modules).arg("-Y").arg(&folder);
    command.arg("-P").arg(folder.join("pid")).arg("-w").arg(&folder);
    command.args(["-l", &format!("udp:{}:{PORT}", pair.server), "-n", "1", "-DD", "-E"]);
    command.args(["-X", "fm", "-x", "fm", "-m", &job.shared_mib().to_string(), "-M", "16"]);
    command.args(["-b", &RECEIVE_BUFFER.to_string()]);
    let server = Server::start(command, &folder)?;
    Ok(System { name, pair, server: Some(server), object: None })
}

/// Writes a table of the clients in the form of Kamailio's `db_text`: a folder of two files.
fn write_table(
    folder: &Path,
    name: &str,
    clients: u64,
    value: impl Fn(u64) -> Result<String>,
    domain: &str,
) -> Result<()> {
    let version = format!("table_name(string) table_version(int)\n{name}:2\n");
    fs::write(folder.join("version"), version)?;
    let mut table = String::from(
        "key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n",
    );
    for client in 0..clients {
        writeln!(table, "{CLIENT}{client:08x}{domain}:0:0:{}:0", value(client)?)?;
    }
    fs::write(folder.join(name), table)?;
    Ok(())
}
