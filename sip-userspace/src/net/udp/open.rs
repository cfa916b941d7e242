//! Sockets of served addresses.

use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::receive::PATIENCE;

/// Why the sockets could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {call}: {source}; {cure}")]
pub struct OpenError {
    address: SocketAddr,
    call: &'static str,
    source: std::io::Error,
    cure: &'static str,
}

impl OpenError {
    pub(super) fn new(
        address: SocketAddr,
        call: &'static str,
        source: std::io::Error,
        cure: &'static str,
    ) -> Self {
        Self { address, call, source, cure }
    }
}

/// Opens one; `shared` with others at the same address.
pub(super) fn open(
    address: SocketAddr,
    buffer: usize,
    shared: bool,
) -> Result<UdpSocket, OpenError> {
    let error = |call, source: std::io::Error| {
        let cure = match source.kind() {
            std::io::ErrorKind::AddrInUse => "another program serves it; `ss -lunp` names it",
            std::io::ErrorKind::AddrNotAvailable => {
                "no interface has this address; correct sip.listen, or add it"
            }
            std::io::ErrorKind::PermissionDenied => "run as root, or with CAP_NET_BIND_SERVICE",
            _ => "correct sip.listen",
        };
        OpenError::new(address, call, source, cure)
    };
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP));
    let socket = socket.map_err(|source| error("socket", source))?;
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(|source| error("IPV6_V6ONLY", source))?;
    }
    // The plain limit first; the forced one needs CAP_NET_ADMIN and may exceed rmem_max.
    socket.set_recv_buffer_size(buffer).map_err(|source| error("SO_RCVBUF", source))?;
    let _ = nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &buffer);
    socket.set_reuse_port(shared).map_err(|source| error("SO_REUSEPORT", source))?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(|source| error("SO_RCVTIMEO", source))?;
    socket.bind(&address.into()).map_err(|source| error("bind", source))?;
    Ok(socket.into())
}
