//! One socket for tens of thousands of clients, each with an address of its own.
//!
//! The clients' host has all their addresses (`Lab::clients_are_here`), so one socket hears them all;
//! what it sends says whose it is (`IP_PKTINFO`).

use std::{
    io::{ErrorKind, IoSlice},
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::{AsFd as _, AsRawFd as _},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        ControlMessage, MsgFlags, SockaddrIn, sendmsg, setsockopt,
        sockopt::{RcvBufForce, SndBufForce},
    },
};

use crate::{
    lab::Lab,
    layout::{SOURCE_BITS, SOURCE_FIRST},
};

/// Bytes of its buffers.
const BUFFER: usize = 64 << 20;
/// Longest datagram.
const LONGEST: usize = 4_096;

pub(super) struct Wire {
    socket: UdpSocket,
    /// Its port.
    pub(super) port: u16,
    buffer: Vec<u8>,
}

impl Wire {
    pub(super) fn new(lab: &Lab) -> Result<Self> {
        let socket = lab.among_clients(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, RcvBufForce, &BUFFER).context("no large buffer: not root?")?;
        setsockopt(&socket, SndBufForce, &BUFFER)?;
        let port = socket.local_addr()?.port();
        Ok(Self { socket, port, buffer: vec![0; LONGEST] })
    }

    /// Sends a datagram; one that finds no room is lost, as on any network.
    pub(super) fn send(&self, from: Ipv4Addr, to: SocketAddrV4, text: &str) -> Result<()> {
        let source = libc::in_addr { s_addr: u32::from(from).to_be() };
        let nobody = libc::in_addr { s_addr: 0 };
        let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: nobody };
        let (text, control) =
            ([IoSlice::new(text.as_bytes())], [ControlMessage::Ipv4PacketInfo(&info)]);
        let (fd, to) = (self.socket.as_raw_fd(), SockaddrIn::from(to));
        match sendmsg(fd, &text, &control, MsgFlags::empty(), Some(&to)) {
            Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ECONNREFUSED) => Ok(()),
            Err(error) => Err(error).context("cannot send"),
        }
    }

    /// The next datagram, if there is one, with its sender.
    pub(super) fn receive(&mut self) -> Result<Option<(String, SocketAddrV4)>> {
        loop {
            match self.socket.recv_from(&mut self.buffer) {
                Ok((len, std::net::SocketAddr::V4(from))) => {
                    let bytes = self.buffer.get(..len).unwrap_or_default();
                    return Ok(Some((String::from_utf8_lossy(bytes).into_owned(), from)));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                // An earlier datagram could not be delivered.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error).context("cannot receive"),
            }
        }
    }

    /// Waits for a datagram, at most so long.
    pub(super) fn wait(&self, most: Duration) -> Result<()> {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(most)?) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The address of a client by its number; there are a million.
pub(super) fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(SOURCE_FIRST | number & ((1 << SOURCE_BITS) - 1))
}

/// The value of a header field that stands in its long form.
pub(super) fn field<'m>(message: &'m str, name: &str) -> Option<&'m str> {
    message.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The status of a response; none of a request.
pub(super) fn status(message: &str) -> Option<u16> {
    message.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// The URI of a response's Contact.
pub(super) fn contact(message: &str) -> Option<&str> {
    field(message, "Contact")?.split_once('<')?.1.split('>').next()
}

/// The home (0 or 1) that a URI or a response's Contact names, by its digit.
pub(super) fn home_of(uri: &str) -> Option<usize> {
    let digit = uri.split_once("@home-").or_else(|| uri.split_once(":home-"))?.1;
    match digit.as_bytes().first() {
        Some(b'1') => Some(0),
        Some(b'2') => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let text = "SIP/2.0 302 Moved Temporarily\r\nVia: SIP/2.0/UDP 10.128.0.1:5060\r\n\
                    Call-ID: 1\r\nContact: <sip:client-1@home-2.example.com:5060>;expires=120\r\n\r\n";
        assert_eq!(status(text), Some(302));
        assert_eq!(field(text, "Call-ID"), Some("1"));
        assert_eq!(contact(text), Some("sip:client-1@home-2.example.com:5060"));
        assert_eq!(contact(text).and_then(home_of), Some(1));
        assert_eq!(home_of("sip:home-1.example.com:5060;transport=udp"), Some(0));
        assert_eq!(home_of("sip:example.com"), None);
        assert_eq!(status("NOTIFY sip:x SIP/2.0\r\n\r\n"), None);
        assert_eq!(address(0x10_0003), address(3));
    }
}
