//! The channel between the hosts of a cluster.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    ConfigError, Tls,
    bounds::{listen, optional_path},
    document::Document,
};

/// Handshakes of other hosts at a time.
const HANDSHAKES_MAX: usize = 64;
/// How long one may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(4);

/// The channel between the hosts of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Peers {
    /// Where others ask this host.
    pub listen: Vec<SocketAddr>,
    /// With what hosts prove to each other who they are; without it none is asked.
    pub tls: Option<Tls>,
}

pub(super) fn peers(document: &Document<'_>) -> Result<Peers, ConfigError> {
    let listen = listen(document, "peers.listen")?;
    let certificate = optional_path(document, "peers.certificate")?;
    let key = optional_path(document, "peers.key")?;
    let ca: Option<PathBuf> = optional_path(document, "peers.ca")?;
    let tls = match (certificate, key, ca) {
        (Some(certificate), Some(key), Some(ca)) => Some(Tls {
            listen: listen.clone(),
            identity: Some((certificate, key)),
            client_ca: Some(ca.clone()),
            require_client_certificate: true,
            server_ca: ca,
            handshakes_max: HANDSHAKES_MAX,
            handshake_time: HANDSHAKE_TIME,
        }),
        (None, None, None) if listen.is_empty() => None,
        _ => {
            let cure = "give peers.certificate, peers.key and peers.ca, or nothing of [peers]";
            return Err(document.missing("peers.certificate, peers.key, peers.ca", cure));
        }
    };
    Ok(Peers { listen, tls })
}
