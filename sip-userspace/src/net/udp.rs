//! UDP in batches: one socket for each served address and receiving thread.
//!
//! Threads read with recvmmsg and hand batches to the core's owner through one bounded queue; a
//! full queue sheds the batch and counts it, since SIP retransmits. Without threads the owner reads
//! by itself: on one processor a thread would only interrupt it at every datagram, and what waits in
//! the socket meanwhile makes the next batch larger. The owner sends with sendmmsg
//! from the first socket of an address. Invariants: no lock on a datagram's way; a socket knows
//! its address, so an answer leaves from where the request came to.

mod open;
mod receive;

use std::{
    io::IoSlice,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use crossbeam::{queue::ArrayQueue, utils::CachePadded};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg},
};
use tokio::sync::Notify;

use self::{open::open, receive::Own};
use super::batch::Batch;

pub use self::open::OpenError;

/// Datagrams of one sending call: what can't be sent costs at most this squared.
const SEND_MAX: usize = 64;

/// How UDP is received.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Receiving threads; with none the core's owner receives.
    pub threads: usize,
    /// Datagrams of one system call.
    pub batch: usize,
    /// Batches between the threads and the core.
    pub queue: usize,
    /// Receive buffer of each socket in bytes.
    pub buffer: usize,
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
    own: Vec<Own>,
    /// The element of `own` that is read next.
    turn: usize,
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
            own: Vec::new(),
            turn: 0,
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
                    let sender = socket.try_clone().map_err(|error| {
                        OpenError::new(*address, "dup", error, "raise the limit of open files")
                    })?;
                    udp.senders.push((*address, sender));
                }
                sockets.push((*address, socket));
            }
        }
        for (address, socket) in sockets {
            let place = (address, options.batch.max(1));
            let counts = Arc::new(CachePadded::new(Counts::default()));
            udp.counts.push(Arc::clone(&counts));
            if options.threads == 0 {
                let own = Own::new(socket, place, counts, Arc::clone(&udp.ready));
                let cure = "raise the limit of open files";
                udp.own.push(own.map_err(|error| OpenError::new(address, "epoll", error, cure))?);
            } else {
                let (queue, ready) = (Arc::clone(&udp.queue), Arc::clone(&udp.ready));
                let stop = Arc::clone(&udp.stop);
                udp.threads.push(receive::thread(socket, place, counts, queue, ready, stop));
            }
        }
        Ok(udp)
    }

    /// The next batch, if one waits.
    pub fn next_batch(&mut self) -> Option<Batch> {
        self.queue.pop().or_else(|| self.read())
    }

    /// Reads a socket of the owner's.
    fn read(&mut self) -> Option<Batch> {
        // One after the other, so that no address has to wait for another to run dry.
        for _ in 0..self.own.len() {
            self.turn = self.turn.wrapping_add(1);
            let turn = self.turn.checked_rem(self.own.len()).unwrap_or_default();
            if let Some(batch) = self.own.get_mut(turn).and_then(Own::next_batch) {
                return Some(batch);
            }
        }
        None
    }

    /// Takes in what the sockets hold: while much is sent nobody else empties them, and what was
    /// sent may be answered faster than it is all sent.
    fn relieve(&mut self) {
        while self.queue.len() < self.queue.capacity() {
            let Some(batch) = self.read() else { return };
            // There is room, and nobody else pushes.
            let _ = self.queue.push(batch);
        }
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

    /// Sends datagrams from a served address. What a full socket does not take is counted and lost:
    /// SIP retransmits. So is what can't be sent at all, and where to is said: there is no route, a
    /// filter, or the datagram is too long.
    pub fn send(
        &mut self,
        local: SocketAddr,
        datagrams: &[(SocketAddr, Vec<u8>)],
    ) -> Vec<SocketAddr> {
        let mut failed = Vec::new();
        for (number, some) in datagrams.chunks(SEND_MAX).enumerate() {
            if number > 1 {
                self.relieve();
            }
            let sender = self.senders.iter().find(|(address, _)| *address == local);
            let unsent = match sender {
                Some((_, socket)) => send(socket, some, &mut failed),
                None => some.len() as u64,
            };
            self.unsent = self.unsent.wrapping_add(unsent);
        }
        failed
    }
}

/// Sends a few datagrams; how many were not.
fn send(
    socket: &UdpSocket,
    datagrams: &[(SocketAddr, Vec<u8>)],
    failed: &mut Vec<SocketAddr>,
) -> u64 {
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
            failed.extend(rest.first().map(|(to, _)| *to));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn datagrams_arrive_with_their_addresses_and_answers_leave_from_there() {
        exchange(2).await;
    }

    #[tokio::test]
    async fn they_do_so_without_threads() {
        exchange(0).await;
    }

    async fn exchange(threads: usize) {
        let options = Options { threads, batch: 8, queue: 64, buffer: 1 << 20 };
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
        let ready = udp.ready();
        for _ in 0..500 {
            let _ = tokio::time::timeout(Duration::from_millis(10), ready.notified()).await;
            while let Some(batch) = udp.next_batch() {
                for (source, local, payload) in batch.iter() {
                    assert_eq!((source, local), (client.local_addr().unwrap(), served));
                    assert_eq!(payload.len(), 700);
                    seen.push(payload[0]);
                }
            }
            if seen.len() == 20 {
                break;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        // One that no datagram can hold is left out, and it is said.
        let to = client.local_addr().unwrap();
        let nowhere = SocketAddr::new(to.ip(), 9);
        let datagrams = [(nowhere, vec![0; 70_000]), (to, b"answer".to_vec())];
        assert_eq!(udp.send(served, &datagrams), [nowhere]);
        let mut answer = [0; 16];
        let (len, from) = client.recv_from(&mut answer).unwrap();
        assert_eq!((&answer[..len], from), (&b"answer"[..], served));
        assert_eq!(udp.counts(), [20, 0, 1]);
    }

    #[test]
    fn an_address_that_is_not_here_is_refused_with_its_cure() {
        let options = Options { threads: 1, batch: 1, queue: 1, buffer: 4096 };
        let error = Udp::open(&["192.0.2.1:5060".parse().unwrap()], options).err().unwrap();
        assert!(error.to_string().contains("192.0.2.1:5060: bind:"), "{error}");
        assert!(error.to_string().contains("sip.listen"), "{error}");
    }
}
