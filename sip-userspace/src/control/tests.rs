//! Client and server over a socket in a temporary directory, with a driver of a few lines.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::*;
use crate::{
    core::{
        Now, Settings,
        admin::{Asker, Command, Fault, Planned, plan},
        balance::{Balancer, Rules, Sight},
        bindings::Bindings,
        load::{Load, LoadView, view::View},
        table::Table,
    },
    store::{AssignmentStore, MemoryStore},
};

/// A daemon with nothing but a table, until it is dropped.
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    _directory: tempfile::TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        Self::with(drive)
    }

    /// A daemon whose driver is this.
    pub(crate) fn with(drive: impl FnOnce(mpsc::Receiver<Call>) + Send + 'static) -> Self {
        let (calls, receiver) = mpsc::channel(8);
        let mut daemon = Self::listen(calls);
        daemon.threads.push(thread::spawn(move || drive(receiver)));
        daemon
    }

    fn listen(calls: mpsc::Sender<Call>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("run/control.sock");
        let listener = Listener::bind(&socket, 0o600).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let server = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    served = listener.serve(calls) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { socket, _directory: directory, stop: Some(stop), threads: vec![server] }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        assert!(!self.socket.exists(), "the socket's file goes with the daemon");
    }
}

/// What is asked of the balancer, which sees a cluster without load.
fn of_balance(
    balancer: &mut Balancer,
    table: &Table,
    call: &Call,
) -> Option<Result<Answer, Refused>> {
    let view = View::default();
    let sight = Sight { view: &view, table, leads: true, now: Now::default() };
    match &call.command {
        Command::Plan(order) => Some(balancer.order(order, &call.by, &sight)),
        Command::Balance { mode } => {
            if let Some(mode) = mode {
                balancer.set_mode(*mode);
            }
            Some(Ok(Answer::Balance(Box::new(balancer.status(&sight, None)))))
        }
        _ => None,
    }
}

pub(crate) fn drive(mut calls: mpsc::Receiver<Call>) {
    let store = MemoryStore::create(64).unwrap();
    let mut table = store.load("home0").unwrap();
    let domains = ["example.com".to_owned()];
    let mut balancer = Balancer::new(Rules::default(), "home0");
    while let Some(call) = calls.blocking_recv() {
        if let Some(refused) = call.outdated(table.revision()) {
            let _ = call.reply.send(Err(refused));
            continue;
        }
        if call.command == Command::EdgeList {
            let answer = Answer::Edges { revision: table.revision(), edges: Vec::new() };
            let _ = call.reply.send(Ok(answer));
            continue;
        }
        if let Some(answer) = of_balance(&mut balancer, &table, &call) {
            let _ = call.reply.send(answer);
            continue;
        }
        if let Command::Load { history } = call.command {
            let load = Load::new(&Settings::default(), &table);
            let view = LoadView::new(&load, &table, history, Now::default());
            let _ = call.reply.send(Ok(Answer::Load(Box::new(view))));
            continue;
        }
        let result = match plan(
            &table,
            &call.command,
            &Asker { by: &call.by, domains: &domains, unix_s: 0 },
        ) {
            Err(refused) => Err(refused),
            Ok(Planned::Answer(answer)) => Ok(answer),
            Ok(Planned::Commit { proposal, answer, .. }) => {
                table.apply(&store.commit(proposal).unwrap()).unwrap();
                Ok(answer)
            }
            Ok(Planned::Scan(mut scan)) => {
                let bindings = Bindings::default();
                Ok(std::iter::repeat_with(|| scan.step(&table, &bindings))
                    .flatten()
                    .next()
                    .unwrap())
            }
            Ok(Planned::History { before, limit }) => {
                let records = store.history(before, limit).unwrap();
                let servers =
                    table.servers().map(|(index, server)| (index.to_string(), server.name.clone()));
                let records = records.into_iter().map(Into::into).collect();
                Ok(Answer::History { records, servers: servers.collect() })
            }
            Ok(Planned::Verify { .. }) => Ok(Answer::Verified(Box::default())),
        };
        let _ = call.reply.send(result);
    }
}

/// Sends raw bytes and reads one reply.
fn raw(socket: &Path, bytes: &[u8]) -> Option<Reply> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may close before it has taken all.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

#[test]
fn a_command_is_answered_and_a_connection_takes_several() {
    let daemon = Daemon::start();
    let mode = std::fs::metadata(&daemon.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut client = Client::connect(&daemon.socket).unwrap();
    for _ in 0..3 {
        let Answer::Status(status) = client.call(&Command::Status).unwrap() else { panic!() };
        assert_eq!(status.node, "home0");
    }
    let bad = client.call(&Command::ClientShow { aor: "alice".into(), source: None }).unwrap_err();
    assert_eq!(bad.exit_code(), 2);
    assert!(matches!(bad, CallError::Refused(Refused { fault: Fault::Argument, .. })), "{bad}");
    assert!(client.call(&Command::Status).is_ok(), "the connection outlives a refusal");
}

#[test]
fn what_is_no_command_is_refused_and_others_are_still_served() {
    let daemon = Daemon::start();
    let long = vec![b'x'; REQUEST_MAX + 10];
    for (bytes, expected) in [
        (&b"garbage\n"[..], "not a command"),
        (b"{\"command\":\"fly\"}\n", "not a command"),
        (b"{\"command\":\"status\",\"more\":1}{}\n", "not a command"),
        (b"{\"command\":\"assign\",\"aor\":\"a@b\",\"server\":\"x\",\"pinned\":false,\"no_redirect\":false,\"z\":1}\n", "unknown field"),
        (b"\xff\xfe\n", "not a command"),
        (b"{\"command\":\"status\"}", "cut off"),
        (&long, "longer than 1048576 bytes"),
    ] {
        let reply = raw(&daemon.socket, bytes);
        let Some(Reply::Refused(refused)) = reply else { panic!("{expected}: {reply:?}") };
        assert!(refused.reason.contains(expected), "{expected}: {refused}");
        assert_eq!(refused.fault, Fault::Argument);
    }
    assert!(Client::connect(&daemon.socket).unwrap().call(&Command::Status).is_ok());
}

#[test]
fn silent_and_slow_clients_hold_nobody_up() {
    let daemon = Daemon::start();
    let mut silent: Vec<_> =
        (0..20).map(|_| UnixStream::connect(&daemon.socket).unwrap()).collect();
    for stream in &mut silent {
        stream.write_all(b"{\"comm").unwrap();
    }
    let began = Instant::now();
    assert!(Client::connect(&daemon.socket).unwrap().call(&Command::Status).is_ok());
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_full_queue_and_a_driver_that_is_gone_are_told_apart() {
    let (calls, mut receiver) = mpsc::channel(1);
    let daemon = Daemon::listen(calls);
    let socket = daemon.socket.clone();
    let waiting = thread::spawn(move || Client::connect(&socket).unwrap().call(&Command::Status));
    let first = receiver.blocking_recv().unwrap();
    let socket = daemon.socket.clone();
    let queued = thread::spawn(move || Client::connect(&socket).unwrap().call(&Command::Status));
    while receiver.is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    let full = Client::connect(&daemon.socket).unwrap().call(&Command::Status).unwrap_err();
    assert!(full.to_string().contains("too many commands waiting"), "{full}");
    assert_eq!(full.exit_code(), 1);
    drop((first, receiver));
    for call in [waiting, queued] {
        let gone = call.join().unwrap().unwrap_err();
        assert!(gone.to_string().contains("the daemon is stopping"), "{gone}");
    }
}

#[test]
fn a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not() {
    let daemon = Daemon::start();
    let taken = Listener::bind(&daemon.socket, 0o600).unwrap_err();
    assert!(matches!(taken, ControlError::InUse { .. }), "{taken}");
    assert!(Client::connect(&daemon.socket).is_ok());

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "what a killed daemon leaves behind");
    let dead = Client::connect(&path).unwrap_err();
    assert!(matches!(dead, CallError::NoDaemon { .. }), "{dead}");
    assert!(Listener::bind(&path, 0o660).is_ok());

    let file = directory.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(matches!(Listener::bind(&file, 0o600), Err(ControlError::NoSocket { .. })));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

#[test]
fn without_a_daemon_the_path_and_the_cure_are_named() {
    let error = Client::connect(Path::new("/nonexistent/control.sock")).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    let text = error.to_string();
    assert!(
        text.contains("/nonexistent/control.sock") && text.contains("start `homeward run`"),
        "{text}"
    );
}
