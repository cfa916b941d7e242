//! Reading datagrams: with a thread for a socket, or by the owner of the core itself.

use std::{
    io::{ErrorKind, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam::{queue::ArrayQueue, utils::CachePadded};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg},
};
use tokio::{io::Interest, sync::Notify, task::JoinHandle as Task};

use super::{super::batch::Batch, Counts};

/// Longest datagram (RFC 768).
const DATAGRAM_MAX: usize = 65_535;
/// From one datagram's room to the next: not a power of two, or the beginnings of all datagrams would
/// push each other out of the processor's cache.
const STRIDE: usize = DATAGRAM_MAX + 1 + 1_088;
/// A receiving thread looks so often whether it shall end.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// Room for the datagrams of one system call.
pub(super) struct Reader {
    local: SocketAddr,
    space: Vec<u8>,
    headers: MultiHeaders<SockaddrStorage>,
}

/// A socket that the core's owner reads.
pub(super) struct Own {
    socket: Arc<tokio::net::UdpSocket>,
    reader: Reader,
    counts: Arc<CachePadded<Counts>>,
    watcher: Task<()>,
}

impl Reader {
    pub(super) fn new(local: SocketAddr, batch: usize) -> Self {
        let headers = MultiHeaders::preallocate(batch, None);
        Self { local, space: vec![0; batch.saturating_mul(STRIDE)], headers }
    }

    /// Reads what is there, at least one datagram. One that was cut off is left out.
    fn read(&mut self, socket: &impl AsRawFd, flags: MsgFlags) -> Result<Batch, Errno> {
        let room = |chunk| <[u8]>::split_at_mut_checked(chunk, DATAGRAM_MAX);
        let rooms = self.space.chunks_mut(STRIDE).filter_map(room);
        let mut slices: Vec<_> = rooms.map(|(room, _)| [IoSliceMut::new(room)]).collect();
        let headers = &mut self.headers;
        let messages = recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None)?;
        let arrived: Vec<_> =
            messages.map(|message| (message.address.and_then(address), message.bytes)).collect();
        let bytes = arrived.iter().map(|(_, len)| *len).fold(0, usize::saturating_add);
        let mut batch = Batch::with_room(arrived.len(), bytes);
        for ((source, len), chunk) in arrived.into_iter().zip(self.space.chunks(STRIDE)) {
            if let (Some(source), Some(payload)) = (source, chunk.get(..len)) {
                batch.push(source, self.local, payload);
            }
        }
        Ok(batch)
    }
}

/// Starts the thread of a socket.
pub(super) fn thread(
    socket: UdpSocket,
    (local, batch): (SocketAddr, usize),
    counts: Arc<CachePadded<Counts>>,
    queue: Arc<ArrayQueue<Batch>>,
    ready: Arc<Notify>,
    stop: Arc<AtomicBool>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = Reader::new(local, batch);
        while !stop.load(Ordering::Relaxed) {
            match reader.read(&socket, MsgFlags::MSG_WAITFORONE) {
                Ok(full) if full.is_empty() => {}
                Ok(full) => {
                    counts.datagrams.fetch_add(full.len() as u64, Ordering::Relaxed);
                    if let Err(shed) = queue.push(full) {
                        counts.shed.fetch_add(shed.len() as u64, Ordering::Relaxed);
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
    })
}

impl Own {
    /// Watches a socket; `ready` is told when something arrives.
    pub(super) fn new(
        socket: UdpSocket,
        (local, batch): (SocketAddr, usize),
        counts: Arc<CachePadded<Counts>>,
        ready: Arc<Notify>,
    ) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = Arc::new(tokio::net::UdpSocket::from_std(socket)?);
        let watched = Arc::clone(&socket);
        let watcher = tokio::spawn(async move {
            // Each arrival makes it readable anew: whoever is told reads until nothing is left.
            while watched.readable().await.is_ok() {
                // Says that nothing is left, so that the next arrival is told too.
                let _: Result<(), _> =
                    watched.try_io(Interest::READABLE, || Err(ErrorKind::WouldBlock.into()));
                ready.notify_one();
            }
        });
        Ok(Self { socket, reader: Reader::new(local, batch), counts, watcher })
    }

    /// What waits in the socket.
    pub(super) fn next_batch(&mut self) -> Option<Batch> {
        loop {
            match self.reader.read(&*self.socket, MsgFlags::MSG_DONTWAIT) {
                Ok(full) if full.is_empty() => {}
                Ok(full) => {
                    self.counts.datagrams.fetch_add(full.len() as u64, Ordering::Relaxed);
                    return Some(full);
                }
                Err(Errno::EAGAIN) => return None,
                // ICMP errors of earlier datagrams.
                Err(Errno::EINTR | Errno::ECONNREFUSED) => {}
                Err(error) => {
                    tracing::warn!(local = %self.reader.local, %error, "recvmmsg");
                    return None;
                }
            }
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

fn address(storage: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}
