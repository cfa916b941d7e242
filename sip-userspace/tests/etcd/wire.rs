//! A wire between a host and a member, which can be cut, and can lose or delay what is on it.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// In the bytes of the transaction that writes the history, and of a look at it; and in those of one
/// that writes users.
const MARKS: [&[u8]; 2] = [b"/homeward/v1/history/", b"{\"realm\":"];

/// What becomes of the next transaction that writes the table or users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives, and its answer does not.
    AnswerLost,
    /// It does not arrive.
    Lost,
    /// It arrives after so long, when its sender has long hung up.
    Late(Duration),
}

/// A listener that passes connections on.
pub struct Wire {
    pub address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    fate: Mutex<Option<Fate>>,
    streams: Mutex<Vec<TcpStream>>,
}

impl Wire {
    pub fn to(member: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State::default());
        let (shared, member) = (Arc::clone(&state), member.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&member) else { continue };
                let (shared, ends) = (Arc::clone(&shared), [client, server]);
                let copies = ends.each_ref().map(|end| end.try_clone().unwrap());
                shared.streams.lock().unwrap().extend(copies);
                std::thread::spawn(move || shared.join(ends));
            }
        });
        Self { address, state }
    }

    /// Hangs up and takes no call until it is mended.
    pub fn cut(&self) {
        self.state.cut.store(true, Ordering::SeqCst);
        for stream in self.state.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        self.state.cut.store(false, Ordering::SeqCst);
    }

    pub fn doom(&self, fate: Fate) {
        *self.state.fate.lock().unwrap() = Some(fate);
    }

    /// Whether what was doomed has met its fate.
    pub fn has_struck(&self) -> bool {
        self.state.fate.lock().unwrap().is_none()
    }
}

impl State {
    /// Passes bytes on in both directions until one end is closed.
    fn join(&self, [mut client, mut server]: [TcpStream; 2]) {
        let (mut back_from, mut back_to) =
            (server.try_clone().unwrap(), client.try_clone().unwrap());
        let answers = std::thread::spawn(move || {
            let _ = std::io::copy(&mut back_from, &mut back_to);
            let _ = back_to.shutdown(Shutdown::Both);
        });
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            let bytes = &buffer[..length];
            let has = |mark: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
            let marked = MARKS.into_iter().any(has);
            let fate = if marked { self.fate.lock().unwrap().take() } else { None };
            match fate {
                None => {
                    if server.write_all(bytes).is_err() {
                        break;
                    }
                }
                Some(fate) => {
                    // Nothing comes back any more.
                    let _ = client.shutdown(Shutdown::Both);
                    if let Fate::Late(delay) = fate {
                        std::thread::sleep(delay);
                    }
                    if fate != Fate::Lost {
                        let _ = server.write_all(bytes);
                        std::thread::sleep(Duration::from_millis(500));
                    }
                    break;
                }
            }
        }
        let _ = server.shutdown(Shutdown::Both);
        let _ = answers.join();
    }
}
