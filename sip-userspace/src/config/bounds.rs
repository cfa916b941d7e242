//! What each setting may be, and what it is if nobody says.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

use sip_common::abi::{LISTENERS_MAX, OVERRIDES_DEFAULT, SLOTS_MAX, SOURCES_MAX, VLANS_MAX};

use super::{
    BPFFS_DEFAULT, ConfigError, Control, Log, Mode, Node, Prefix, Receive, SOCKET_DEFAULT, Sip,
    Sources, Xdp,
    document::{Document, Found},
};
use crate::{
    core::{
        admin::names,
        table::{SLOTS_DEFAULT, SLOTS_MIN},
    },
    sip::uri::Uri,
};

/// Names and domains, each at most.
const NAMES_MAX: usize = 1024;
/// URIs of a Service-Route at most.
const SERVICE_ROUTE_MAX: usize = 8;
/// Interfaces at most.
const INTERFACES_MAX: usize = 16;
/// Longest name of an interface (IFNAMSIZ less one).
const INTERFACE_NAME_MAX: usize = 15;
/// Longest path of a unix socket (`sun_path` less one).
const SOCKET_PATH_MAX: usize = 107;
/// Highest VLAN id.
const VLAN_MAX: u32 = 4094;

pub(super) fn node(document: &Document<'_>) -> Result<Node, ConfigError> {
    let Some(name) = document.text("node.name")? else {
        return Err(document.missing("node.name", "give this host's name among the servers"));
    };
    if let Err(refused) = names::server(&name.value) {
        return Err(name.wrong(refused.reason, refused.cure));
    }
    let slots =
        document.number("node.slots", SLOTS_MIN.into()..=SLOTS_MAX.into(), SLOTS_DEFAULT.into())?;
    if !slots.value.is_power_of_two() {
        let reason = format!("{} is no power of two", slots.value);
        return Err(slots.wrong(reason, "use 4096, 16384 or 65536"));
    }
    let state_dir = path(document, "node.state_dir", "/var/lib/homeward", 4096)?;
    Ok(Node { name: name.value, state_dir, slots: slots.value as u32 })
}

pub(super) fn sip(document: &Document<'_>) -> Result<Sip, ConfigError> {
    let listen = listen(document, "sip.listen")?;
    if listen.is_empty() {
        return Err(
            document.missing("sip.listen", "give the served addresses, e.g. [\"192.0.2.1:5060\"]")
        );
    }
    let domains = hosts(document, "sip.domains")?;
    if domains.is_empty() {
        return Err(
            document.missing("sip.domains", "give the clients' domains, e.g. [\"example.com\"]")
        );
    }
    let seconds = |name, bounds, default| document.number(name, bounds, default);
    let min = seconds("sip.expires_min", 1..=3600, 60)?;
    let max = seconds("sip.expires_max", 60..=86_400, 600)?;
    let default =
        seconds("sip.expires_default", 1..=86_400, 300.clamp(min.value, max.value.max(min.value)))?;
    if min.value > max.value {
        let reason = format!("{} is longer than sip.expires_max, {}", min.value, max.value);
        return Err(min.wrong(reason, "lower it, or raise sip.expires_max"));
    }
    if !(min.value..=max.value).contains(&default.value) {
        let (min, max) = (min.value, max.value);
        return Err(default.wrong(
            format!("{} is out of bounds", default.value),
            format!("use a number from sip.expires_min, {min}, to sip.expires_max, {max}"),
        ));
    }
    Ok(Sip {
        listen,
        domains,
        names: hosts(document, "sip.names")?,
        expires_min_s: min.value as u32,
        expires_default_s: default.value as u32,
        expires_max_s: max.value as u32,
        register_rate: seconds("sip.register_rate", 0..=10_000_000, 0)?.value as u32,
        redirect_expires_s: seconds("sip.redirect_expires", 60..=300, 120)?.value as u32,
        redirect_memory_s: seconds("sip.redirect_memory", 32..=3_600, 600)?.value as u32,
        redirect_never: agents(document)?,
        service_route: service_route(document)?,
        flow_timer_s: seconds("sip.flow_timer", 0..=3_600, 120)?.value as u32,
    })
}

/// Beginnings of User-Agent.
fn agents(document: &Document<'_>) -> Result<Vec<String>, ConfigError> {
    let mut agents = Vec::new();
    for found in document.list("sip.redirect_never", NAMES_MAX)? {
        if found.value.is_empty() || found.value.chars().any(char::is_control) {
            let reason = format!("`{}` begins no User-Agent", found.value.escape_debug());
            return Err(found.wrong(reason, "write the first characters, e.g. \"PJSUA\""));
        }
        agents.push(found.value);
    }
    Ok(agents)
}

/// SIP URIs that are loose routers (RFC 3608 section 6.3).
fn service_route(document: &Document<'_>) -> Result<Vec<String>, ConfigError> {
    let mut uris = Vec::new();
    for found in document.list("sip.service_route", SERVICE_ROUTE_MAX)? {
        let uri = Uri::parse(found.value.as_bytes()).ok().and_then(Uri::sip);
        let loose = uri.is_some_and(|uri| uri.params().any(|(name, _)| name == b"lr"));
        if !loose {
            let reason = format!("`{}` is no URI of a loose router", found.value.escape_debug());
            return Err(found.wrong(reason, "write it as sip:edge.example.com;lr"));
        }
        uris.push(found.value);
    }
    Ok(uris)
}

/// Served addresses.
pub(super) fn listen(
    document: &Document<'_>,
    name: &'static str,
) -> Result<Vec<SocketAddr>, ConfigError> {
    let mut listen = Vec::new();
    for found in document.list(name, LISTENERS_MAX)? {
        let address: SocketAddr = found.value.parse().map_err(|_| {
            let reason = format!("`{}` is no address with a port", found.value.escape_debug());
            found.wrong(reason, "write it as 192.0.2.1:5060 or [2001:db8::1]:5060")
        })?;
        let ip = address.ip();
        let (reason, cure) = if address.port() == 0 {
            ("has port 0", "give a port, usually 5060")
        } else if ip.is_multicast() || ip == std::net::Ipv4Addr::BROADCAST {
            ("is no address of one host", "give an address of this host")
        } else if ip.is_unspecified() {
            (
                "is every address, and an answer has to leave from the one that was asked",
                "name the addresses",
            )
        } else if listen.contains(&address) {
            ("stands twice", "take one away")
        } else {
            listen.push(address);
            continue;
        };
        return Err(found.wrong(format!("{address} {reason}"), cure));
    }
    Ok(listen)
}

fn hosts(document: &Document<'_>, name: &'static str) -> Result<Vec<String>, ConfigError> {
    let mut hosts = Vec::new();
    for found in document.list(name, NAMES_MAX)? {
        let host = names::host(&found.value);
        let host = host.map_err(|reason| found.wrong(reason, "write a name like example.com"))?;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    Ok(hosts)
}

pub(super) fn xdp(document: &Document<'_>) -> Result<Xdp, ConfigError> {
    let mode = match document.choice("xdp.mode", &["native", "generic", "auto", "off"], "auto")? {
        "native" => Mode::Native,
        "generic" => Mode::Generic,
        "off" => Mode::Off,
        _ => Mode::Auto,
    };
    let mut interfaces = Vec::new();
    for found in document.list("xdp.interfaces", INTERFACES_MAX)? {
        let name = &found.value;
        let fits = (1..=INTERFACE_NAME_MAX).contains(&name.len())
            && !name
                .contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
            && name != "."
            && name != "..";
        if !fits {
            let reason = format!("`{}` is no name of an interface", name.escape_debug());
            return Err(found.wrong(reason, "`ip link` lists them"));
        }
        if interfaces.contains(name) {
            return Err(found.wrong(format!("`{name}` stands twice"), "take one away"));
        }
        interfaces.push(found.value);
    }
    if interfaces.is_empty() && mode != Mode::Off {
        return Err(document.missing(
            "xdp.interfaces",
            "name the interface that clients come in by, or set xdp.mode = \"off\"",
        ));
    }
    let mut vlans = Vec::new();
    for found in document.list("xdp.vlans", VLANS_MAX)? {
        vlans.push(vlan(&found)?);
    }
    Ok(Xdp {
        mode,
        interfaces,
        vlans,
        forward: forward(document)?,
        keep_attached: document.switch("xdp.keep_attached", false)?,
        stale_serve_s: document.number("xdp.stale_serve", 1..=3600, 30)?.value as u32,
        overrides_max: document
            .number("xdp.overrides_max", 1024..=100_000_000, OVERRIDES_DEFAULT.into())?
            .value as u32,
        bpffs: path(document, "xdp.bpffs", BPFFS_DEFAULT, 4096)?,
    })
}

/// Only what is forwarded without state can be forwarded by the kernel program.
fn forward(document: &Document<'_>) -> Result<bool, ConfigError> {
    let forward = document.switch("xdp.forward", false)?;
    if forward && !super::proxy::stateless(document)? {
        let cure = "set proxy.mode = \"stateless\", or leave xdp.forward out";
        return Err(document.missing("proxy.mode", cure));
    }
    Ok(forward)
}

/// `inner`, or `outer.inner`, as [`sip_common::abi::Config::vlans`] has it.
fn vlan(found: &Found<'_, String>) -> Result<u32, ConfigError> {
    let id = |text: &str| text.parse::<u32>().ok().filter(|id| (1..=VLAN_MAX).contains(id));
    let word = match found.value.split_once('.') {
        None => id(&found.value),
        Some((outer, inner)) => id(outer).zip(id(inner)).map(|(outer, inner)| outer << 16 | inner),
    };
    word.ok_or_else(|| {
        let reason = format!("`{}` is no VLAN", found.value.escape_debug());
        found.wrong(reason, format!("use an id from 1 to {VLAN_MAX}, or \"outer.inner\""))
    })
}

/// A list of source prefixes.
pub(super) fn prefixes(
    document: &Document<'_>,
    name: &'static str,
) -> Result<Vec<Prefix>, ConfigError> {
    let mut prefixes = BTreeSet::new();
    for found in document.list(name, SOURCES_MAX as usize / 4)? {
        let prefix: Result<Prefix, _> = found.value.parse();
        prefixes.insert(
            prefix.map_err(|reason| {
                found.wrong(reason, "write it as 192.0.2.0/24 or 2001:db8::/32")
            })?,
        );
    }
    Ok(prefixes.into_iter().collect())
}

pub(super) fn sources(document: &Document<'_>) -> Result<Sources, ConfigError> {
    let list = |name| prefixes(document, name);
    let rate = document.number("sources.rate", 0..=1_000_000, 500)?.value;
    Ok(Sources {
        edge: list("sources.edge")?,
        direct: list("sources.direct")?,
        exempt: list("sources.exempt")?,
        rate: rate as u32,
        burst: document.number("sources.burst", 1..=1_000_000, rate.max(1))?.value as u32,
    })
}

pub(super) fn receive(document: &Document<'_>) -> Result<Receive, ConfigError> {
    let number = |name, bounds, default| document.number(name, bounds, default);
    // On one processor a thread would only interrupt the driver at every datagram.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = u64::from(processors > 1);
    Ok(Receive {
        threads: number("receive.threads", 0..=64, threads)?.value as usize,
        batch: number("receive.batch", 1..=1024, 64)?.value as usize,
        queue: number("receive.queue", 1..=65_536, 1024)?.value as usize,
        buffer_bytes: number("receive.buffer", 65_536..=1 << 30, 8 << 20)?.value as usize,
    })
}

pub(super) fn control(document: &Document<'_>) -> Result<Control, ConfigError> {
    let mode = match document.choice("control.mode", &["0600", "0660"], "0600")? {
        "0660" => 0o660,
        _ => 0o600,
    };
    Ok(Control { socket: path(document, "control.socket", SOCKET_DEFAULT, SOCKET_PATH_MAX)?, mode })
}

pub(super) fn log(document: &Document<'_>) -> Result<Log, ConfigError> {
    let levels = ["error", "warn", "info", "debug", "trace"];
    Ok(Log {
        level: document.choice("log.level", &levels, "info")?,
        json: document.choice("log.format", &["text", "json"], "text")? == "json",
    })
}

pub(super) fn path(
    document: &Document<'_>,
    name: &'static str,
    default: &str,
    bytes_max: usize,
) -> Result<PathBuf, ConfigError> {
    let found = document.text(name)?;
    found.map_or(Ok(PathBuf::from(default)), |found| checked_path(&found, default, bytes_max))
}

/// A path that has no default.
pub(super) fn optional_path(
    document: &Document<'_>,
    name: &'static str,
) -> Result<Option<PathBuf>, ConfigError> {
    let found = document.text(name)?;
    found.map(|found| checked_path(&found, "/etc/homeward/file", 4096)).transpose()
}

fn checked_path(
    found: &Found<'_, String>,
    example: &str,
    bytes_max: usize,
) -> Result<PathBuf, ConfigError> {
    let cure = format!("write an absolute path of at most {bytes_max} bytes, e.g. {example}");
    let shown = found.value.escape_debug();
    if !found.value.starts_with('/') || found.value.contains('\0') {
        return Err(found.wrong(format!("`{shown}` is no absolute path"), cure));
    }
    if found.value.len() > bytes_max {
        return Err(found.wrong(format!("{} bytes are too long", found.value.len()), cure));
    }
    Ok(PathBuf::from(&found.value))
}
