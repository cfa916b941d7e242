//! UDP in batches: one socket for each served address and receiving thread.
//!
//! Threads read with recvmmsg and hand batches to the core's owner through one bounded queue; a
//! full queue sheds the batch and counts it, since SIP retransmits. The owner sends with sendmmsg
//! from the first socket of an address. Invariants: no lock on a datagram's way; a socket knows
//! its address, so an answer leaves from where the request came to.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam::{queue::ArrayQueue, utils::CachePadded};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::Notify;

use super::batch::Batch;

/// Longest datagram (RFC 768).
const DATAGRAM_MAX: usize = 65_535;
/// Datagrams of one sending call: what can't be sent costs at most this squared.
const SEND_MAX: usize = 64;
/// A receiving thread looks so often whether it shall end.
const PATIENCE: Duration = Duration::from_millis(200);

/// How UDP is received.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Receiving threads.
    pub threads: usize,
    /// Datagrams of one system call.
    pub batch: usize,
    /// Batches between the threads and the core.
    pub queue: usize,
    /// Receive buffer of each socket in bytes.
    pub buffer: usize,
}

/// Why the sockets could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {call}: {source}; {cure}")]
pub struct OpenError {
    address: SocketAddr,
    call: &'static str,
    source: std::io::Error,
    cure: &'static str,
}

/// Counts of a receiving thread.
#[derive(Debug, Default)]
struct Counts {
    datagrams: AtomicU64,
    shed: AtomicU64,
}

/// The sockets and their threads.
pub struct Udp {
    senders: Vec<(SocketAddr, UdpSocket)>,
    queue: Arc<ArrayQueue<Batch>>,
    ready: Arc<Notify>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    counts: Vec<Arc<CachePadded<Counts>>>,
    unsent: u64,
}

impl Udp {
    /// Opens a socket for each address and thread.
    ///
    /// # Errors
    /// If an address can't be bound.
    pub fn open(addresses: &[SocketAddr], options: Options) -> Result<Self, OpenError> {
        let mut udp = Self {
            senders: Vec::new(),
            queue: Arc::new(ArrayQueue::new(options.queue.max(1))),
            ready: Arc::new(Notify::new()),
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
            counts: Vec::new(),
            unsent: 0,
        };
        let mut sockets = Vec::new();
        for address in addresses {
            // Without SO_REUSEPORT, to see whether another program serves the address.
            drop(open(*address, options.buffer, false)?);
            for thread in 0..options.threads.max(1) {
                let socket = open(*address, options.buffer, true)?;
                if thread == 0 {
                    let sender = socket.try_clone().map_err(|source| OpenError {
                        address: *address,
                        call: "dup",
                        source,
                        cure: "raise the limit of open files",
                    })?;
                    udp.senders.push((*address, sender));
                }
                sockets.push((*address, socket));
            }
        }
        for (address, socket) in sockets {
            udp.receive(address, socket, options.batch.max(1));
        }
        Ok(udp)
    }

    /// Starts the thread of a socket.
    fn receive(&mut self, local: SocketAddr, socket: UdpSocket, batch: usize) {
        let counts = Arc::new(CachePadded::new(Counts::default()));
        let (queue, ready) = (Arc::clone(&self.queue), Arc::clone(&self.ready));
        let (stop, mine) = (Arc::clone(&self.stop), Arc::clone(&counts));
        self.counts.push(counts);
        self.threads.push(thread::spawn(move || {
            let mut space = vec![0; batch * DATAGRAM_MAX];
            let mut headers = MultiHeaders::preallocate(batch, None);
            while !stop.load(Ordering::Relaxed) {
                match receive(&socket, local, &mut space, &mut headers) {
                    Ok(full) if full.is_empty() => {}
                    Ok(full) => {
                        mine.datagrams.fetch_add(full.len() as u64, Ordering::Relaxed);
                        if let Err(shed) = queue.push(full) {
                            mine.shed.fetch_add(shed.len() as u64, Ordering::Relaxed);
                        }
                        ready.notify_one();
                    }
                    // Timeouts, and ICMP errors of earlier datagrams.
                    Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => {}
                    Err(error) => {
                        tracing::warn!(%local, %error, "recvmmsg");
                        thread::sleep(PATIENCE);
                    }
                }
            }
        }));
    }

    /// The next batch, if one waits.
    pub fn next(&self) -> Option<Batch> {
        self.queue.pop()
    }

    /// Waits until a batch may be there.
    pub fn ready(&self) -> Arc<Notify> {
        Arc::clone(&self.ready)
    }

    /// Datagrams received, datagrams shed by a full queue, and answers that no socket took.
    pub fn counts(&self) -> [u64; 3] {
        let sum = |count: fn(&Counts) -> &AtomicU64| {
            self.counts.iter().map(|counts| count(counts).load(Ordering::Relaxed)).sum()
        };
        [sum(|counts| &counts.datagrams), sum(|counts| &counts.shed), self.unsent]
    }

    /// Sends datagrams from a served address. What a full socket does not take, or what can't be
    /// sent, is counted and lost: SIP retransmits.
    pub fn send(&mut self, local: SocketAddr, datagrams: &[(SocketAddr, Vec<u8>)]) {
        let sender = self.senders.iter().find(|(address, _)| *address == local);
        let Some((_, socket)) = sender else {
            self.unsent = self.unsent.wrapping_add(datagrams.len() as u64);
            return;
        };
        for some in datagrams.chunks(SEND_MAX) {
            self.unsent = self.unsent.wrapping_add(send(socket, some));
        }
    }
}

/// Sends a few datagrams; how many were not.
fn send(socket: &UdpSocket, datagrams: &[(SocketAddr, Vec<u8>)]) -> u64 {
    let mut unsent = 0;
    let mut rest = datagrams;
    while !rest.is_empty() {
        let slices: Vec<_> = rest.iter().map(|(_, bytes)| [IoSlice::new(bytes)]).collect();
        let targets: Vec<_> = rest.iter().map(|(to, _)| Some(SockaddrStorage::from(*to))).collect();
        let mut headers = MultiHeaders::preallocate(rest.len(), None);
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, &targets, [], flags);
        let sent = match sent {
            Ok(results) => results.count(),
            Err(Errno::EAGAIN | Errno::ENOBUFS) => return unsent + rest.len() as u64,
            Err(_) => 0,
        };
        if sent == 0 {
            // The first of the rest can't be sent: leave it out and go on.
            unsent += 1;
        }
        rest = rest.get(sent.max(1)..).unwrap_or_default();
    }
    unsent
}

impl Drop for Udp {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn open(address: SocketAddr, buffer: usize, shared: bool) -> Result<UdpSocket, OpenError> {
    let error = |call, source: std::io::Error| {
        let cure = match source.kind() {
            std::io::ErrorKind::AddrInUse => "another program serves it; `ss -lunp` names it",
            std::io::ErrorKind::AddrNotAvailable => {
                "no interface has this address; correct sip.listen, or add it"
            }
            std::io::ErrorKind::PermissionDenied => "run as root, or with CAP_NET_BIND_SERVICE",
            _ => "correct sip.listen",
        };
        OpenError { address, call, source, cure }
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

/// Reads what is there, at least one datagram. One that was cut off is left out.
fn receive(
    socket: &UdpSocket,
    local: SocketAddr,
    space: &mut [u8],
    headers: &mut MultiHeaders<SockaddrStorage>,
) -> Result<Batch, Errno> {
    let mut slices: Vec<_> =
        space.chunks_mut(DATAGRAM_MAX).map(|chunk| [IoSliceMut::new(chunk)]).collect();
    let flags = MsgFlags::MSG_WAITFORONE;
    let messages = recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None)?;
    let arrived: Vec<_> =
        messages.map(|message| (message.address.and_then(address), message.bytes)).collect();
    let mut batch = Batch::default();
    for ((source, len), chunk) in arrived.into_iter().zip(space.chunks(DATAGRAM_MAX)) {
        if let (Some(source), Some(payload)) = (source, chunk.get(..len)) {
            batch.push(source, local, payload);
        }
    }
    Ok(batch)
}

fn address(storage: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_arrive_with_their_addresses_and_answers_leave_from_there() {
        let options = Options { threads: 2, batch: 8, queue: 64, buffer: 1 << 20 };
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let served = free.local_addr().unwrap();
        drop(free);
        let mut udp = Udp::open(&[served], options).unwrap();
        for number in 0..20u8 {
            client.send_to(&[number; 700], served).unwrap();
        }
        let mut seen = Vec::new();
        for _ in 0..500 {
            while let Some(batch) = udp.next() {
                for (source, local, payload) in batch.iter() {
                    assert_eq!((source, local), (client.local_addr().unwrap(), served));
                    assert_eq!(payload.len(), 700);
                    seen.push(payload[0]);
                }
            }
            if seen.len() == 20 {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        udp.send(served, &[(client.local_addr().unwrap(), b"answer".to_vec())]);
        let mut answer = [0; 16];
        let (len, from) = client.recv_from(&mut answer).unwrap();
        assert_eq!((&answer[..len], from), (&b"answer"[..], served));
        assert_eq!(udp.counts(), [20, 0, 0]);
    }

    #[test]
    fn an_address_that_is_not_here_is_refused_with_its_cure() {
        let options = Options { threads: 1, batch: 1, queue: 1, buffer: 4096 };
        let error = Udp::open(&["192.0.2.1:5060".parse().unwrap()], options).err().unwrap();
        assert!(error.to_string().contains("192.0.2.1:5060: bind:"), "{error}");
        assert!(error.to_string().contains("sip.listen"), "{error}");
    }
}
