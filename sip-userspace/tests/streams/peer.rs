//! A client on a stream: blocking, plain or inside TLS.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use homeward::net::framer::{Framer, Item, Limits};
use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

pub struct Peer {
    stream: Box<dyn Stream>,
    socket: TcpStream,
    framer: Framer,
}

/// What came, or that nothing more does.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    Message(String),
    Pong,
    Closed,
    Nothing,
}

impl Peer {
    pub fn tcp(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    /// Inside TLS; an error is that of the handshake.
    pub fn tls(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        let name = ServerName::try_from("home1.example.com").unwrap();
        let mut connection = ClientConnection::new(config, name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let stream = StreamOwned::new(connection, socket.try_clone()?);
        Ok(Self::over(Box::new(stream), socket))
    }

    fn over(stream: Box<dyn Stream>, socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let framer = Framer::new(Limits { head_max: 65_536, message_max: 65_536 });
        Self { stream, socket, framer }
    }

    /// A client whose system takes little for it.
    pub fn tcp_narrow(address: SocketAddr) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::of(socket.into())
    }

    /// A client at another address of this host.
    pub fn tcp_from(source: &str, address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        let source: SocketAddr = format!("{source}:0").parse().unwrap();
        socket.bind(&source.into())?;
        socket.connect(&address.into())?;
        Ok(Self::of(socket.into()))
    }

    pub fn of(socket: TcpStream) -> Self {
        Self::over(Box::new(socket.try_clone().unwrap()), socket)
    }

    /// The next message.
    pub fn text(&mut self) -> String {
        match self.next() {
            Got::Message(text) => text,
            other => panic!("{other:?}"),
        }
    }

    pub fn local(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub fn patience(&self, time: Duration) {
        self.socket.set_read_timeout(Some(time)).unwrap();
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends what may be more than the other side wants.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    pub fn next(&mut self) -> Got {
        loop {
            match self.framer.next() {
                Some(Item::Message(message)) => {
                    return Got::Message(String::from_utf8_lossy(&message).into_owned());
                }
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            let mut space = [0; 4096];
            match self.stream.read(&mut space) {
                Ok(0) => return Got::Closed,
                Ok(2) if space.starts_with(b"\r\n") => return Got::Pong,
                Ok(len) => self.framer.push(&space[..len]),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Got::Nothing,
                    _ => return Got::Closed,
                },
            }
        }
    }

    /// The status of the next message.
    pub fn status(&mut self) -> u16 {
        match self.next() {
            Got::Message(text) => status(&text),
            other => panic!("{other:?}"),
        }
    }

    pub fn expect_closed(&mut self) {
        assert_eq!(self.next(), Got::Closed);
    }
}

pub fn status(text: &str) -> u16 {
    text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// A REGISTER over a stream.
pub fn register(user: &str, serial: u32, transport: &str) -> String {
    request("REGISTER", user, serial, transport, "")
}

/// A request with more header lines.
pub fn request(method: &str, user: &str, serial: u32, transport: &str, more: &str) -> String {
    format!(
        "{method} sip:example.com SIP/2.0\r\n\
         Via: SIP/2.0/{transport} client.invalid:5999;branch=z9hG4bK{user}{serial}\r\n\
         Max-Forwards: 70\r\nTo: <sip:{user}@example.com>\r\n\
         From: <sip:{user}@example.com>;tag=f{user}\r\nCall-ID: {user}@client.invalid\r\n\
         CSeq: {serial} {method}\r\nContact: <sip:{user}@client.invalid;transport=tcp>\r\n\
         Expires: 300\r\n{more}Content-Length: 0\r\n\r\n"
    )
}
