//! The driver: the one task that owns the core and everything it acts on.
//!
//! Batches of datagrams, messages of streams, commands, commits of the store, timers and signals come in; what the
//! core puts out is carried out at once, map operations before sends. Invariants: a change is
//! durable before it is applied, and applied in the table and in the kernel before its command is
//! answered; no lock and no waiting on a datagram's way.
//! Deliberately absent: decisions.

mod asks;
mod balance;
mod changes;
mod durable;
mod gate;
mod host;
mod lessons;
mod load;
mod moves;
mod names;
mod open;
mod peers;
mod send;
mod service;
mod shared;
mod streams;
mod users;
mod verify;

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};

pub(crate) use changes::Settled;
pub use open::{Host, RunError, settings};
use service::Service;
use shared::{BARRIER_MAX, Then, Whom};

use crate::{
    control::{Call, ControlError},
    core::{
        Packet,
        admin::{self, Answer, Asker, BindingView, Command, Planned, Refused},
    },
    datapath::KernelPath,
    net::{batch::Batch, clock},
    store::AssignmentStore,
};

/// The daemon's lease is renewed, and what fails is tried again, so often.
const TICK: Duration = Duration::from_secs(1);
/// The longest time without a look at the timers.
const IDLE: Duration = Duration::from_secs(3600);
/// Batches that are taken before commands, timers and confirmations of the log get their turn: what
/// waits for them waits no longer than these take, a few milliseconds.
const TURN: usize = 8;
/// Bursts that a source may be ahead of its rate where the kernel limits it too.
const BUNCH: u64 = 2;
/// News on their way from a shared store.
pub(crate) const EVENTS_MAX: usize = 64;

impl Host {
    /// Serves until a signal ends it.
    ///
    /// # Errors
    /// If the runtime refuses signals or timers, or the control socket ends.
    pub async fn run(mut self) -> Result<(), RunError> {
        let mut terminate = on(SignalKind::terminate())?;
        let mut interrupt = on(SignalKind::interrupt())?;
        let mut hangup = on(SignalKind::hangup())?;
        let (calls_in, mut calls) = mpsc::channel(64);
        let mut control: JoinHandle<Result<(), ControlError>> =
            tokio::spawn(self.control.take().ok_or(RunError::Twice)?.serve(calls_in.clone()));
        if let Some(api) = &mut self.api {
            api.start(calls_in)?;
        }
        // Every host would lead: the one that does decides for all.
        self.store.lead(true);
        let ready = self.udp.ready();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let log = self.kernel.as_mut().and_then(drain_log);
        tracing::info!(node = %self.config.node.name, listen = ?self.config.sip.listen, "serving");
        let mut service = Service::from_environment();
        service.ready(self.standing());
        self.timers();
        loop {
            // All records of a turn in one batch: each costs the log's thread a system call.
            self.durable.send();
            let timer = self.next_timer();
            tokio::select! {
                () = ready.notified() => if self.batches(&ready) {
                    // Timers and sockets are looked at only when nothing is ready.
                    tokio::task::yield_now().await;
                },
                Some(event) = self.streams.next() => self.stream_events(event),
                Some(event) = self.peers.next() => self.peer_event(event),
                Some(call) = calls.recv() => self.call(call),
                Some(settled) = self.settled.recv() => self.settle(settled),
                Some(confirmed) = self.durable.confirmed.recv() => self.stored(confirmed),
                Some(answered) = self.resolver.answers.recv() => self.resolved(answered),
                Some(settled) = self.users.recv() => self.users_settled(settled),
                Some(event) = self.events.recv() => self.news(event),
                Some(result) = self.lessons.settled.recv() => self.lessons_settled(result),
                Some(result) = self.balance.settled.recv() => self.balance_settled(result),
                Some(result) = self.moves.settled.recv() => self.moves_settled(result),
                () = sleep(timer) => self.timers(),
                () = tokio::task::yield_now(), if self.asks.wait() => self.ask_piece(),
                Some(loaded) = self.asks.loaded.recv() => self.loaded(loaded),
                _ = tick.tick() => {
                    self.durable.look();
                    self.share_lessons();
                    self.balance();
                    self.judge_servers();
                    self.measure_load();
                    self.tell_forwards();
                    if let Some(kernel) = &mut self.kernel {
                        kernel.attach_anew(&self.config);
                        self.publishing |= kernel.tick(self.core.table(), clock::now().mono);
                    }
                    service.status(|| self.standing());
                }
                _ = hangup.recv() => self.streams.reload(),
                () = tokio::task::yield_now(), if self.publishing => self.publish(),
                () = service.alive() => {}
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                ended = &mut control => {
                    let error = ended.map_err(|error| RunError::Control(error.to_string()))?;
                    return error.map_err(|error| RunError::Control(error.to_string()));
                }
            }
        }
        tracing::info!("leaving");
        service.stopping();
        drop(self.api.take());
        control.abort();
        // The task owns the socket's file; it is gone when the task is.
        let _ = control.await;
        if let Some(log) = log {
            log.abort();
        }
        if let Some(kernel) = self.kernel.take() {
            kernel.close();
        }
        Ok(())
    }

    /// How the daemon stands, in one line for the service manager.
    fn standing(&self) -> String {
        let modes = self.kernel.as_ref().map(|kernel| kernel.modes().join(", "));
        let modes = modes.unwrap_or_else(|| "off, the daemon answers all".to_owned());
        format!("table revision {}; XDP {modes}", self.core.table().revision())
    }

    fn next_timer(&self) -> Duration {
        let due = [self.core.poll_timeout(), self.shared.deadline()].into_iter().flatten().min();
        let due = due.map_or(IDLE, |due| due.saturating_sub(clock::now().mono)).min(IDLE);
        self.durable.pause().map_or(due, |pause| due.min(pause))
    }

    fn timers(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        self.core.handle_timeout(clock::now(), &mut out);
        self.carry_out(out);
        self.barriers();
        self.rewrite();
    }

    /// Tells the kernel path which servers answer, for it to forward to.
    fn tell_forwards(&mut self) {
        if let Some(kernel) = self.kernel.as_mut().filter(|_| self.config.xdp.forward) {
            kernel.forward_to(self.core.forwards_to(clock::now()));
        }
    }

    /// Goes on with what the kernel's maps are behind, a piece at a time.
    fn publish(&mut self) {
        let Some(kernel) = &mut self.kernel else {
            self.publishing = false;
            return self.published();
        };
        let now = clock::now().mono;
        self.publishing = kernel.work(self.core.table(), now);
        for (key, lesson) in kernel.take_lessons() {
            for gone in self.core.table_mut().learned_mut().learn(key, lesson, now.as_secs()) {
                kernel.learned(self.core.table(), gone);
            }
        }
        self.published();
    }

    /// Takes waiting batches, some at a time, so that commands get their turn; whether there may
    /// be more.
    fn batches(&mut self, ready: &tokio::sync::Notify) -> bool {
        for _ in 0..TURN {
            let Some(batch) = self.udp.next_batch() else { return false };
            self.batch(&batch);
        }
        ready.notify_one();
        true
    }

    fn batch(&mut self, batch: &Batch) {
        let now = clock::now();
        let mut out = std::mem::take(&mut self.out);
        // The kernel has limited most of it, at another time: what waited since comes in one bunch.
        let limited = self.kernel.as_ref().is_some_and(|kernel| kernel.is_complete(&self.config));
        let bursts = if limited { BUNCH } else { 1 };
        for (source, local, payload) in batch.iter() {
            if !self.gate.admit(source.ip(), bursts, now.mono, self.core.table()) {
                continue;
            }
            self.core.handle_packet(now, &Packet::udp(source, local, payload), &mut out);
        }
        self.carry_out(out);
    }

    /// Answers a command, or asks the store for the change that it wants.
    fn call(&mut self, call: Call) {
        let Some(call) = self.of_hosts(call) else { return };
        let Some(call) = self.of_users(call) else { return };
        let Some(call) = self.of_balance(call) else { return };
        let Some(call) = self.of_load(call) else { return };
        let Some(call) = self.in_turn(call) else { return };
        if let Some(refused) = call.outdated(self.core.table().revision()) {
            return reply(call, Err(refused));
        }
        let asker = self.asker(&call.by);
        match admin::plan(self.core.table(), &call.command, &asker) {
            Ok(Planned::Answer(answer)) => {
                let answer = self.complete(answer, &call.command);
                reply(call, Ok(answer));
            }
            Ok(Planned::Commit { proposal, answer, barrier: false }) => {
                self.submit(proposal, call, answer);
            }
            Ok(Planned::Commit { proposal, answer, barrier: true }) => {
                let then = Then::Commit(proposal, answer);
                let before = self.core.table().revision();
                self.wait_for(before, Whom::Known, BARRIER_MAX, call, then);
            }
            Ok(Planned::Scan(scan)) => self.scan(scan, call),
            Ok(Planned::History { before, limit }) => self.history(before, limit, call),
            Ok(Planned::Verify { repair }) => self.verify(repair, call),
            Err(refused) => reply(call, Err(refused)),
        }
    }

    /// Who asks.
    fn asker<'a>(&'a self, by: &'a str) -> Asker<'a> {
        Asker { by, domains: &self.config.sip.domains, unix_s: clock::now().unix_s }
    }

    /// Adds what only the driver knows.
    fn complete(&self, mut answer: Answer, command: &Command) -> Answer {
        match &mut answer {
            Answer::Client(view) => {
                let now_s = clock::now().mono_s();
                let key = self.core.table().key(&view.aor);
                view.bindings = self
                    .core
                    .bindings_of(&key)
                    .iter()
                    .map(|binding| BindingView {
                        contact: String::from_utf8_lossy(binding.contact()).into_owned(),
                        expires_s: binding.expires_s.saturating_sub(now_s).into(),
                        cseq: binding.cseq,
                    })
                    .collect();
                view.watchers = self.core.subscriptions().watchers(&key);
                let seen_s = self.core.bindings().seen_s(&key);
                view.seen_s = seen_s.map(|seen_s| now_s.saturating_sub(seen_s).into());
                if let Some(done) = self.core.handled().get(&key) {
                    (view.redirects, view.proxied) = (done.redirects, done.proxied);
                    view.handled_s = Some(now_s.saturating_sub(done.last_s).into());
                }
                if let Command::ClientShow { source: Some(source), .. } = command {
                    view.redirected_s = self.core.redirected_s(key, *source, clock::now());
                }
            }
            Answer::Servers { servers, .. } => {
                let now = clock::now().mono;
                for server in servers {
                    server.health = self.core.health().views(server.index, now);
                }
            }
            Answer::Status(view) => {
                let off = || json!({"interfaces": [], "mode": "off"});
                let table = self.core.table();
                let kernel = self.kernel.as_ref().map_or_else(off, |kernel| kernel.status(table));
                view.more.insert("kernel".to_owned(), kernel);
                let counters = self
                    .core
                    .counters()
                    .iter()
                    .map(|(name, _, count)| (name.to_owned(), json!(count)));
                view.more
                    .insert("daemon".to_owned(), serde_json::Value::Object(counters.collect()));
                let [received, shed, unsent] = self.udp.counts();
                view.more.insert(
                    "sockets".to_owned(),
                    json!({"received": received, "shed": shed, "unsent": unsent, "over_rate": self.gate.dropped()}),
                );
                view.more.insert("health".to_owned(), self.health_status());
                view.more.insert("load".to_owned(), self.load_status());
                let names = self.core.names();
                view.more.insert(
                    "names".to_owned(),
                    json!({"known": names.known(), "waiting": names.waiting()}),
                );
                view.more.insert("connections".to_owned(), self.streams.status());
                view.more.insert("peers".to_owned(), self.peers.status());
                view.more.insert("redirects".to_owned(), json!(self.core.agents().all()));
                view.more.insert("store".to_owned(), self.shared.status());
                view.more.insert("bindings_log".to_owned(), self.durable.status(self.core.held()));
                view.more.insert("auth".to_owned(), self.auth_status());
                let subscriptions = self.core.subscriptions();
                view.more.insert(
                    "subscriptions".to_owned(),
                    json!({"all": subscriptions.len(), "publications": subscriptions.publications(), "notices_waiting": subscriptions.waiting()}),
                );
                if let Some(api) = &self.api {
                    view.more.insert("api".to_owned(), api.status());
                }
                view.more.insert(
                    "clients".to_owned(),
                    json!({"registered": self.core.bindings().clients(), "bindings": self.core.bindings().len(), "proxied_now": self.core.proxied(), "assignments_bytes": table.overrides().memory_bytes()}),
                );
            }
            _ => {}
        }
        answer
    }
}

impl Host {
    /// Which servers answer, by name and transport.
    fn health_status(&self) -> serde_json::Value {
        let now = clock::now().mono;
        let health = self.core.health();
        let views = self.core.table().servers().filter_map(|(index, server)| {
            let states = health.views(index, now).into_iter();
            let states = states.map(|(transport, view)| (transport, json!(view.state)));
            let states: serde_json::Map<_, _> = states.collect();
            (!states.is_empty()).then(|| (server.name.clone(), states.into()))
        });
        let servers: serde_json::Map<String, serde_json::Value> = views.collect();
        let [up, down, unknown] = health.counts();
        json!({"up": up, "down": down, "unknown": unknown, "servers": servers})
    }

    fn auth_status(&self) -> serde_json::Value {
        let Some(auth) = self.core.auth() else { return json!({"mode": "off"}) };
        json!({
            "mode": "digest", "before_redirect": self.config.auth.before_redirect,
            "users": auth.users().len(), "nonces": auth.nonces_used(),
        })
    }
}

/// A caller that hung up needs no answer.
fn reply(call: Call, answer: Result<Answer, Refused>) {
    let _ = call.reply.send(answer);
}

fn on(kind: SignalKind) -> Result<Signal, RunError> {
    signal(kind).map_err(RunError::Signals)
}

/// A debug build of the program logs the reason for each packet.
#[expect(deprecated, reason = "its successor is unsafe, and the logger owns its descriptor")]
fn drain_log(kernel: &mut KernelPath) -> Option<JoinHandle<()>> {
    let logger = aya_log::EbpfLogger::init(kernel.ebpf()?).ok()?;
    let mut logger = tokio::io::unix::AsyncFd::new(logger).ok()?;
    Some(tokio::spawn(async move {
        while let Ok(mut guard) = logger.readable_mut().await {
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
    }))
}

/// The store, shared with its own thread.
pub(crate) type Store = Arc<dyn AssignmentStore>;
