//! Listening sockets, and how many files the process may have open.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4_096;
/// Files that are open beside connections.
const OTHER_FILES: u64 = 256;

/// Why an address is not served.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {call}: {source}; {cure}")]
pub struct ListenError {
    address: SocketAddr,
    call: &'static str,
    source: io::Error,
    cure: &'static str,
}

/// Listens at an address.
pub(in crate::net) fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let error = |call, source: io::Error| {
        let cure = match source.kind() {
            io::ErrorKind::AddrInUse => "another program serves it; `ss -ltnp` names it",
            io::ErrorKind::AddrNotAvailable => {
                "no interface has this address; correct what is configured, or add it"
            }
            io::ErrorKind::PermissionDenied => "run as root, or with CAP_NET_BIND_SERVICE",
            _ => "correct tcp.listen, tls.listen or peers.listen",
        };
        ListenError { address, call, source, cure }
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
    let socket = socket.map_err(|source| error("socket", source))?;
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(|source| error("IPV6_V6ONLY", source))?;
    }
    // A restart must not wait for the connections of the last run.
    socket.set_reuse_address(true).map_err(|source| error("SO_REUSEADDR", source))?;
    socket.set_nonblocking(true).map_err(|source| error("O_NONBLOCK", source))?;
    socket.bind(&address.into()).map_err(|source| error("bind", source))?;
    socket.listen(BACKLOG).map_err(|source| error("listen", source))?;
    Ok(socket.into())
}

/// Asks for as many open files as the connections take, and says so if there are fewer.
pub(super) fn raise_files(connections: usize) {
    let wanted = (connections as u64).saturating_add(OTHER_FILES);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft >= wanted {
        return;
    }
    // The hard limit itself takes a right; without it, as much as is allowed.
    let raised = setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted.max(hard));
    let raised = raised.or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard));
    let now = getrlimit(Resource::RLIMIT_NOFILE).map_or(soft, |(soft, _)| soft);
    if raised.is_err() || now < wanted {
        tracing::warn!(
            open_files = now,
            wanted,
            "too few open files for tcp.connections; raise LimitNOFILE, or lower it"
        );
    }
}
