//! Which store: `sqlite:/path`, or `etcd://host:2379,host:2379` (`etcds://` with TLS).

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

/// Endpoints of one store, at most.
const ENDPOINTS_MAX: usize = 16;
/// etcd's client port.
const PORT_DEFAULT: u16 = 2379;

/// Where a table is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// In a file of this host.
    Sqlite(PathBuf),
    /// In an etcd that several hosts share.
    Etcd {
        /// `host:port` of each member.
        members: Vec<String>,
        /// Over TLS.
        tls: bool,
    },
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Etcd { members, tls } => {
                write!(f, "etcd{}://{}", if *tls { "s" } else { "" }, members.join(","))
            }
        }
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.starts_with('/') && !path.contains('\0') {
                true => Ok(Self::Sqlite(path.into())),
                false => Err(format!("`{path}` is no absolute path")),
            };
        }
        let (members, tls) = match (text.strip_prefix("etcd://"), text.strip_prefix("etcds://")) {
            (Some(members), _) => (members, false),
            (_, Some(members)) => (members, true),
            _ => return Err(format!("`{}` is no store", text.escape_debug())),
        };
        let members: Result<Vec<_>, _> = members.split(',').map(member).collect();
        let members = members?;
        match members.len() <= ENDPOINTS_MAX {
            true => Ok(Self::Etcd { members, tls }),
            false => Err(format!("more than {ENDPOINTS_MAX} members")),
        }
    }
}

/// `host:port` of a member; the port may be left out.
fn member(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address.to_string());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse().ok()),
        Some(_) if !text.ends_with(']') => {
            return Err(format!("`{}`: write an IPv6 address in brackets", text.escape_debug()));
        }
        _ => (text, Some(PORT_DEFAULT)),
    };
    let host = crate::core::admin::names::host(host)?;
    match port.filter(|port| *port != 0) {
        Some(port) => Ok(format!("{host}:{port}")),
        None => Err(format!("`{}` has no port after its `:`", text.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_reads_as_it_is_shown() {
        for (text, shown) in [
            ("sqlite:/var/lib/homeward/table.db", "sqlite:/var/lib/homeward/table.db"),
            ("sqlite:///x.db", "sqlite:/x.db"),
            ("etcd://10.0.0.1", "etcd://10.0.0.1:2379"),
            ("etcd://10.0.0.1:1,E2:2380/", "etcd://10.0.0.1:1,e2:2380"),
            ("etcds://[2001:db8::1]:2379", "etcds://[2001:db8::1]:2379"),
            ("etcds://[2001:db8::1]", "etcds://[2001:db8::1]:2379"),
        ] {
            assert_eq!(text.parse::<StoreUrl>().map(|url| url.to_string()).as_deref(), Ok(shown));
        }
        for text in [
            "",
            "etcd",
            "etcd://",
            "http://x",
            "sqlite:x",
            "etcd://a:b",
            "etcd://a,,b",
            "etcd://2001:db8::1",
        ] {
            assert!(text.parse::<StoreUrl>().is_err(), "{text}");
        }
    }
}
