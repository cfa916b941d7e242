//! Streams: where they are taken, and what each of them and all of them may take.
//!
//! What streams can hold is bounded by construction: `connections` times what each holds of its
//! own (about 8 KiB, inside TLS 48 KiB), and `buffered` for all that is more than that.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    ConfigError,
    bounds::{listen, optional_path, path},
    document::Document,
};

/// Where Debian keeps the certificates of public authorities.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Streams, and what they may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Tcp {
    /// Served TCP addresses.
    pub listen: Vec<SocketAddr>,
    /// Connections at a time, those inside TLS included.
    pub connections_max: usize,
    /// Accepted connections of an IPv4 address or an IPv6 /64.
    pub per_source_max: usize,
    /// Bytes of a start line and header section.
    pub head_max: usize,
    /// Bytes of a message.
    pub message_max: usize,
    /// Bytes that all connections hold beyond their own.
    pub buffered_max: usize,
    /// Messages that wait to leave by a connection.
    pub queue_max: usize,
    /// How long opening a connection may take.
    pub connect_time: Duration,
    /// How long a message may take to come in, or to go out.
    pub message_time: Duration,
    /// A connection that is silent for so long is closed.
    pub idle: Duration,
}

/// Streams inside TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// Served TLS addresses.
    pub listen: Vec<SocketAddr>,
    /// This host's certificate with its chain, and its key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Authorities of clients' certificates, PEM.
    pub client_ca: Option<PathBuf>,
    /// A client without a certificate is refused.
    pub require_client_certificate: bool,
    /// Authorities by which servers are checked, PEM.
    pub server_ca: PathBuf,
    /// Handshakes at a time.
    pub handshakes_max: usize,
    /// How long a handshake may take.
    pub handshake_time: Duration,
}

pub(super) fn tcp(document: &Document<'_>) -> Result<Tcp, ConfigError> {
    let number = |name, bounds, default| document.number(name, bounds, default);
    let size = |name, bounds, default| Ok(number(name, bounds, default)?.value as usize);
    let seconds =
        |name, bounds, default| Ok(Duration::from_secs(number(name, bounds, default)?.value));
    let head = number("tcp.head", 1_024..=65_536, 16_384)?;
    let message = number("tcp.message", 1_024..=1 << 20, 65_536)?;
    if head.value > message.value {
        let reason = format!("{} is more than tcp.message, {}", head.value, message.value);
        return Err(head.wrong(reason, "lower it, or raise tcp.message"));
    }
    Ok(Tcp {
        listen: listen(document, "tcp.listen")?,
        connections_max: size("tcp.connections", 1..=1_000_000, 16_384)?,
        per_source_max: size("tcp.per_source", 1..=1_000_000, 1_024)?,
        head_max: head.value as usize,
        message_max: message.value as usize,
        buffered_max: size("tcp.buffered", 1 << 20..=1 << 36, 256 << 20)?,
        queue_max: size("tcp.queue", 1..=65_536, 64)?,
        connect_time: seconds("tcp.connect_time", 1..=60, 4)?,
        message_time: seconds("tcp.message_time", 1..=300, 16)?,
        idle: seconds("tcp.idle", 2..=86_400, 900)?,
    })
}

pub(super) fn tls(document: &Document<'_>) -> Result<Tls, ConfigError> {
    let listen = listen(document, "tls.listen")?;
    let certificate = optional_path(document, "tls.certificate")?;
    let identity = match (certificate, optional_path(document, "tls.key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            let cure = "give both tls.certificate and tls.key, or neither";
            return Err(document.missing("tls.certificate, tls.key", cure));
        }
    };
    if identity.is_none() && !listen.is_empty() {
        let cure = "give tls.certificate and tls.key, or take tls.listen away";
        return Err(document.missing("tls.certificate", cure));
    }
    let client_ca = optional_path(document, "tls.client_ca")?;
    let require_client_certificate = document.switch("tls.require_client_certificate", false)?;
    if require_client_certificate && client_ca.is_none() {
        let cure = "name the authorities, or set tls.require_client_certificate = false";
        return Err(document.missing("tls.client_ca", cure));
    }
    let number = |name, bounds, default| document.number(name, bounds, default);
    Ok(Tls {
        listen,
        identity,
        client_ca,
        require_client_certificate,
        server_ca: path(document, "tls.server_ca", SYSTEM_ROOTS, 4096)?,
        handshakes_max: number("tls.handshakes", 1..=65_536, 512)?.value as usize,
        handshake_time: Duration::from_secs(number("tls.handshake_time", 1..=60, 8)?.value),
    })
}
