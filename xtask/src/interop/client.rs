//! One client of a run: what it is, where it goes, and its running program.

use std::{fmt, net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result};

use super::{baresip, linphone, sipp};
use crate::{
    lab::{HostName, Lab, Service},
    scene::{aor, password},
};

/// Whose client it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Baresip,
    Linphone,
    Sipp,
}

/// How it reaches its first server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// What lies between it and Homeward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing: it asks host a.
    Direct,
    /// Kamailio.
    Edge,
}

impl Transport {
    pub(crate) const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// As it stands in a URI.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

impl Way {
    pub(crate) const ALL: [Self; 2] = [Self::Direct, Self::Edge];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Edge => "through Kamailio",
        }
    }
}

impl Make {
    /// Its name and version, as it tells them in its own trace.
    pub(crate) fn version(self, trace: &str) -> String {
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
pub(crate) struct Plan {
    pub(crate) make: Make,
    pub(crate) transport: Transport,
    /// The host that it takes for its server.
    pub(crate) server: HostName,
    /// Seconds for which it asks to be registered.
    pub(crate) expires: u32,
    /// Its number among the clients of its kind, for ports.
    pub(crate) number: u16,
    /// What it is for, in its user's name.
    pub(crate) act: &'static str,
}

impl Plan {
    /// Its user, a name for its files too.
    pub(crate) fn user(&self) -> String {
        format!("{}-{}-{}-{}", self.make, self.act, self.transport.as_str(), self.number)
    }

    /// Its address of record.
    pub(crate) fn aor(&self) -> String {
        aor(&self.user())
    }

    /// Its user's password.
    pub(crate) fn password(&self) -> String {
        password(&self.user())
    }

    /// For the daemons.
    pub(crate) fn credentials(&self) -> (String, String) {
        (self.aor(), self.password())
    }

    /// Where its server takes its transport.
    pub(crate) fn address(&self, lab: &Lab) -> SocketAddr {
        let host = lab.host(self.server);
        if self.transport == Transport::Tls { host.sips() } else { host.sip() }
    }

    /// A new folder of its own in the run directory.
    pub(crate) fn folder(&self, lab: &Lab) -> Result<PathBuf> {
        let folder = lab.host(HostName::Client).dir().join(self.user());
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// Starts it; it registers by itself.
    pub(crate) fn start(self, lab: &Lab) -> Result<Client> {
        let service = match self.make {
            Make::Baresip => baresip::start(&self, lab, None)?,
            Make::Linphone => linphone::start(&self, lab)?,
            Make::Sipp => anyhow::bail!("SIPp plays a scenario and ends"),
        };
        Ok(Client { plan: self, service })
    }
}

impl Plan {
    /// Starts a baresip that watches a user's presence, too.
    pub(crate) fn start_watching(self, lab: &Lab, watched: &str) -> Result<Client> {
        let service = baresip::start(&self, lab, Some(watched))?;
        Ok(Client { plan: self, service })
    }
}

/// A client that runs; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) plan: Plan,
    service: Service,
}

impl Client {
    /// What it wrote so far: its trace of all that it sent and got.
    pub(crate) fn trace(&self) -> String {
        let bytes = std::fs::read(self.service.log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended, if it has: nobody asked it to.
    pub(crate) fn ended(&mut self) -> Result<Option<String>> {
        Ok(self.service.ended()?.map(|status| status.to_string()))
    }

    /// The end of its output, for messages to people.
    pub(crate) fn tail(&self) -> String {
        self.service.log_tail(12)
    }
}
