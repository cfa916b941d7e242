//! One client of a run: what it is, where it goes, and its running program.

use std::{fmt, net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result};

use super::{baresip, linphone, sipp};
use crate::{
    lab::{HostName, Lab, Service},
    scene::aor,
};

/// Whose client it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Make {
    Baresip,
    Linphone,
    Sipp,
}

/// How it reaches its first server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// What lies between it and Homeward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Nothing: it asks host a.
    Direct,
    /// Kamailio.
    Edge,
}

impl Transport {
    pub(super) const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// As it stands in a URI.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

impl Way {
    pub(super) const ALL: [Self; 2] = [Self::Direct, Self::Edge];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Edge => "through Kamailio",
        }
    }
}

impl Make {
    /// Its name and version, as it tells them in its own trace.
    pub(super) fn version(self, trace: &str) -> String {
        if self == Self::Sipp {
            return format!("SIPp {}", sipp::version().unwrap_or_default());
        }
        let agent = trace.lines().find_map(|line| line.strip_prefix("User-Agent: "));
        let agent = agent.unwrap_or_default().replace("Linphonec/", "linphonec ");
        let named = agent.split(" (").next().unwrap_or_default().replace(" v", " ");
        if named.is_empty() { self.to_string() } else { named }
    }
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baresip => "baresip",
            Self::Linphone => "linphone",
            Self::Sipp => "sipp",
        })
    }
}

/// What a client shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) make: Make,
    pub(super) transport: Transport,
    /// The host that it takes for its server.
    pub(super) server: HostName,
    /// Seconds for which it asks to be registered.
    pub(super) expires: u32,
    /// Its number among the clients of its kind, for ports.
    pub(super) number: u16,
    /// What it is for, in its user's name.
    pub(super) act: &'static str,
}

impl Plan {
    /// Its user, a name for its files too.
    pub(super) fn user(&self) -> String {
        format!("{}-{}-{}-{}", self.make, self.act, self.transport.as_str(), self.number)
    }

    /// Its address of record.
    pub(super) fn aor(&self) -> String {
        aor(&self.user())
    }

    /// Its user's password.
    pub(super) fn password(&self) -> String {
        format!("password-of-{}", self.user())
    }

    /// For the daemons.
    pub(super) fn credentials(&self) -> (String, String) {
        (self.aor(), self.password())
    }

    /// Where its server takes its transport.
    pub(super) fn address(&self, lab: &Lab) -> SocketAddr {
        let host = lab.host(self.server);
        if self.transport == Transport::Tls { host.sips() } else { host.sip() }
    }

    /// A new folder of its own in the run directory.
    pub(super) fn folder(&self, lab: &Lab) -> Result<PathBuf> {
        let folder = lab.host(HostName::Client).dir().join(self.user());
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// Starts it; it registers by itself.
    pub(super) fn start(self, lab: &Lab) -> Result<Client> {
        let service = match self.make {
            Make::Baresip => baresip::start(&self, lab)?,
            Make::Linphone => linphone::start(&self, lab)?,
            Make::Sipp => anyhow::bail!("SIPp plays a scenario and ends"),
        };
        Ok(Client { plan: self, service })
    }
}

/// A client that runs; dropping it ends it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) plan: Plan,
    service: Service,
}

impl Client {
    /// What it wrote so far: its trace of all that it sent and got.
    pub(super) fn trace(&self) -> String {
        let bytes = std::fs::read(self.service.log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended, if it has: nobody asked it to.
    pub(super) fn ended(&mut self) -> Result<Option<String>> {
        Ok(self.service.ended()?.map(|status| status.to_string()))
    }

    /// The end of its output, for messages to people.
    pub(super) fn tail(&self) -> String {
        self.service.log_tail(12)
    }
}
