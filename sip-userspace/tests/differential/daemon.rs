//! The daemon with XDP off: the whole core, fed with the same datagrams (invariant I1).
//!
//! It decides by a committed table, not by words in maps; its 302s have to be the kernel's, byte
//! for byte, for the same datagrams and no others. What the kernel leaves alone goes through it
//! as well: whatever it answers, it stays on its feet.

use crate::world::{CONTACT_B, HOME_B, SERVER, TAIL, World};
use homeward::core::{
    Core, Flow, Now, Output, Packet,
    route::{Own, Strict},
    settings::Settings,
    table::{Change, Commit, ContactHost, Meta, Server, Table, domains::Domains},
};
use sip_common::abi::{ClientKey, DOMAINS_MAX, Domain, Override};
use std::{net::SocketAddr, time::Duration};

/// Seconds that a redirect is good for, as the world's Contact texts say.
const EXPIRES_S: u32 = 60;

/// A daemon on home A.
pub struct Daemon {
    core: Core,
    out: Vec<Output>,
}

impl Daemon {
    /// A daemon whose table says what the world's maps say.
    pub fn new(world: &World) -> Self {
        let table = table(world);
        let contact = table.contact(HOME_B, EXPIRES_S).unwrap();
        let text = &contact.text[..contact.end as usize];
        assert_eq!(text, format!("{CONTACT_B}{TAIL}").as_bytes(), "one text on both sides");
        let mut elements = vec![Domain::default(); DOMAINS_MAX as usize];
        let mut names = Vec::new();
        for (index, domain) in &world.domains {
            elements[*index as usize] = *domain;
            let text: Vec<u8> = domain.text.iter().flat_map(|word| word.to_le_bytes()).collect();
            names.push(String::from_utf8(text[..domain.len as usize].to_vec()).unwrap());
        }
        let settings = Settings {
            domains: names,
            own_names: vec!["home-a.example.com".to_owned(), SERVER.ip().to_string()],
            listeners: vec![SERVER],
            redirect_expires_s: EXPIRES_S,
            server: "Homeward".to_owned(),
            ..Settings::default()
        };
        let names = Domains { elements, left_out: Vec::new() };
        let strict = Strict::new(world.config, names, Box::new(Own::default()));
        Self { core: Core::new(settings, table, Some(strict)), out: Vec::new() }
    }

    /// Takes a datagram: the 302 that the kernel's own code gave, if it did.
    pub fn take(
        &mut self,
        payload: &[u8],
        source: SocketAddr,
        local: SocketAddr,
        now_s: u64,
    ) -> Result<Option<Vec<u8>>, String> {
        let now = Now { mono: Duration::from_secs(now_s), unix_s: 1_800_000_000 + now_s };
        let before = self.strict_redirects();
        self.out.clear();
        self.core.handle_packet(now, &Packet::udp(source, local, payload), &mut self.out);
        let answer = match self.out.as_slice() {
            _ if self.strict_redirects() == before => None,
            [Output::Send { flow, payload }] if *flow == Flow::udp(local, source) => {
                Some(payload.clone())
            }
            other => return Err(format!("a redirect is one answer to the source: {other:?}")),
        };
        if self.core.poll_timeout().is_some_and(|due| due <= now.mono) {
            self.core.handle_timeout(now, &mut self.out);
        }
        Ok(answer)
    }

    /// What the last datagram taught about a client, as the words for the kernel's map (I7).
    pub fn lessons(&self) -> Vec<(ClientKey, Option<Override>)> {
        let learned = self.out.iter().filter_map(|output| match output {
            Output::Learn { key, .. } => Some(*key),
            Output::Send { .. }
            | Output::Charge { .. }
            | Output::Store { .. }
            | Output::Share { .. }
            | Output::Ask { .. } => None,
        });
        learned.map(|key| (key, self.core.table().override_word(&key))).collect()
    }

    fn strict_redirects(&self) -> u64 {
        self.core.counters().redirects_strict
    }
}

fn table(world: &World) -> Table {
    let meta = Meta {
        cluster: "differential".to_owned(),
        client_secret: world.config.client_secret,
        tag_secret: world.config.tag_secret,
        slots: world.slots.len() as u32,
    };
    let mut table = Table::new(meta, "home-a");
    let server = |name: &str, address: SocketAddr| Server {
        contact: ContactHost { host: format!("{name}.example.com"), port: 5060 },
        ..Server::new(name, address)
    };
    let mut changes = vec![
        Change::Server { index: 0, server: server("home-a", SERVER) },
        Change::Server {
            index: HOME_B,
            server: server("home-b", "198.51.100.20:5060".parse().unwrap()),
        },
    ];
    changes.extend(
        (0..world.slots.len() as u32).map(|slot| Change::Place { slot, server: Some(HOME_B) }),
    );
    let revision = table.revision().next();
    let (by, why) = ("test".to_owned(), "test".to_owned());
    table.apply(&Commit { revision, at_ms: 1, by, why, changes }).unwrap();
    table
}
