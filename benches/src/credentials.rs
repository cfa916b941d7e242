//! Digest credentials for a load: a nonce for each client, got from the server as a client gets
//! it, and the response of each request, worked out before the run.
//!
//! Every client has an address of its own and uses its nonce again, each time with the next count
//! (RFC 7616 section 3.4), so a server that looks for replays finds none. The algorithm is MD5, the
//! one that every server here knows. Deliberately absent: another challenge during a load; nonces
//! have to live longer than a bench.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use homeward::sip::digest::{Algorithm, Ha1};

use crate::{
    interrupt,
    kernel::Kernel,
    lab::{Lab, PORT, Pair},
    layout::{
        CLIENT, CNONCE, DOMAIN, NONCE_ROOM, NONCES_MAX, Nonce, PROOFS_MAX, Proof, RESPONSE_LEN,
        add, own_request, uses,
    },
};

/// The password of every user.
pub const PASSWORD: &str = "a password";
/// Challenges that are asked for at a time.
const WINDOW: u64 = 256;
/// How long a challenge may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a client asks for one.
const TRIES: u32 = 3;

/// What the clients of one server prove themselves with.
pub struct Credentials {
    nonces: Vec<String>,
    ha1s: Vec<String>,
    ha2: String,
}

/// `user`'s HA1, as servers keep it.
pub fn ha1(client: u64) -> Ha1 {
    Ha1::new(format!("{CLIENT}{client:08x}").as_bytes(), DOMAIN, PASSWORD.as_bytes())
}

/// The same by MD5, in hex digits.
///
/// # Errors
/// Never.
pub fn ha1_hex(client: u64) -> Result<String> {
    let ha1 = ha1(client).get(Algorithm::Md5).context("a hash of zeros")?;
    Ok(String::from_utf8_lossy(ha1.hex().as_ref()).into_owned())
}

impl Credentials {
    /// Gets a nonce for each of these clients.
    ///
    /// # Errors
    /// When a client gets no challenge.
    pub fn get(lab: &Lab, kernel: &mut Kernel, pair: &Pair, clients: u64) -> Result<Self> {
        ensure!(clients <= u64::from(NONCES_MAX), "at most {NONCES_MAX} clients");
        kernel.pass_answers()?;
        let (server, mut nonces) = ((pair.server, PORT).into(), Vec::new());
        for first in (0..clients).step_by(WINDOW as usize) {
            interrupt::check()?;
            let window = first..clients.min(first + WINDOW);
            nonces.extend(lab.among_clients(|| challenges(window, clients, server))?);
        }
        let ha1s = (0..clients).map(ha1_hex).collect::<Result<_>>()?;
        let uri = format!("sip:{DOMAIN}");
        let ha2 = Algorithm::Md5.hash(&[b"REGISTER", uri.as_bytes()]).hex();
        Ok(Self { nonces, ha1s, ha2: String::from_utf8_lossy(ha2.as_ref()).into_owned() })
    }

    /// Works out what the requests with these numbers prove, and gives it to the generator.
    ///
    /// # Errors
    /// When there are too many.
    pub fn prove(&self, kernel: &mut Kernel, first: u64, count: u64) -> Result<()> {
        ensure!(count <= u64::from(PROOFS_MAX), "at most {PROOFS_MAX} requests of a run");
        let clients = self.nonces.len() as u64;
        for (client, nonce) in (0..).zip(&self.nonces) {
            kernel.nonces.set(client, room(nonce)?, 0)?;
        }
        for number in first..first + count {
            let client = own_request(number, clients).client as usize;
            let (Some(nonce), Some(ha1)) = (self.nonces.get(client), self.ha1s.get(client)) else {
                bail!("no client {client}")
            };
            let count = format!("{:08x}", uses(number, clients));
            let response = Algorithm::Md5.hash(&[
                ha1.as_bytes(),
                nonce.as_bytes(),
                count.as_bytes(),
                CNONCE.as_bytes(),
                b"auth",
                self.ha2.as_bytes(),
            ]);
            let text = words::<{ RESPONSE_LEN / 8 }>(response.hex().as_ref());
            let proof = Proof { text, sum: text.into_iter().fold(0, add) };
            kernel.proofs.set(number as u32 & (PROOFS_MAX - 1), proof, 0)?;
        }
        Ok(())
    }
}

/// A nonce with what stands behind it, always as long.
fn room(nonce: &str) -> Result<Nonce> {
    let mut text = format!("{nonce}\"\r\nSubject: ");
    ensure!(text.len() < NONCE_ROOM, "a nonce of {} characters is too long", nonce.len());
    text.extend(std::iter::repeat_n('x', NONCE_ROOM - text.len()));
    let text = words::<{ NONCE_ROOM / 8 }>(text.as_bytes());
    Ok(Nonce { text, sum: text.into_iter().fold(0, add) })
}

fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// Asks for the challenges of a few clients at a time.
fn challenges(
    window: std::ops::Range<u64>,
    clients: u64,
    server: SocketAddr,
) -> Result<Vec<String>> {
    let mut sockets = Vec::new();
    for client in window {
        let source = Ipv4Addr::from(own_request(client, clients).source);
        let socket =
            UdpSocket::bind((source, 0)).with_context(|| format!("{source} is not one of ours"))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        ask(&socket, client)?;
        sockets.push((client, socket));
    }
    let nonce = |(client, socket): &(u64, UdpSocket)| {
        let mut buffer = [0; 2048];
        for _ in 0..TRIES {
            match socket.recv(&mut buffer) {
                Ok(len) => return nonce_of(buffer.get(..len).unwrap_or_default()),
                Err(_) => ask(socket, *client)?,
            }
        }
        bail!("client {client} gets no challenge")
    };
    sockets.iter().map(nonce).collect()
}

fn ask(socket: &UdpSocket, client: u64) -> Result<()> {
    let here = socket.local_addr()?;
    let text = format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {here};branch=z9hG4bKnonce{client};rport\r\n\
         Max-Forwards: 70\r\n\
         To: <sip:{CLIENT}{client:08x}@{DOMAIN}>\r\n\
         From: <sip:{CLIENT}{client:08x}@{DOMAIN}>;tag=n{client}\r\n\
         Call-ID: nonce{client}@{here}\r\n\
         CSeq: 1 REGISTER\r\n\
         Contact: <sip:phone@198.51.100.77:5060>\r\n\
         Expires: 600\r\n\
         Content-Length: 0\r\n\r\n"
    );
    socket.send(text.as_bytes())?;
    Ok(())
}

/// The nonce of a challenge.
fn nonce_of(answer: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(answer);
    ensure!(text.starts_with("SIP/2.0 401 "), "not a challenge: {text}");
    let rest = text.split_once("nonce=\"").context("a challenge without a nonce")?.1;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_of_any_length_leaves_the_message_as_long_as_it_is() {
        for len in [8, 32, 48, 80] {
            let room = room(&"n".repeat(len)).unwrap();
            let bytes: Vec<u8> = room.text.iter().flat_map(|word| word.to_le_bytes()).collect();
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.len(), NONCE_ROOM);
            assert!(text[len..].starts_with("\"\r\nSubject: x"), "{text}");
        }
        assert!(room(&"n".repeat(90)).is_err());
    }

    #[test]
    fn a_nonce_is_found_in_its_challenge() {
        let text = "SIP/2.0 401 Unauthorized\r\n\
                    WWW-Authenticate: Digest realm=\"r\", nonce=\"abc+/=\", qop=\"auth\"\r\n\r\n";
        assert_eq!(nonce_of(text.as_bytes()).unwrap(), "abc+/=");
        assert!(nonce_of(b"SIP/2.0 200 OK\r\n\r\n").is_err());
    }
}
