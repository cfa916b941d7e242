//! Homeward's kernel program with a table of the bench's own, without the daemon.
//!
//! What the daemon writes into the maps is written here by the same layouts (`sip_common::abi`):
//! one home that is up and elsewhere, every slot complete, and as many overrides as asked for.
//! Deliberately absent: everything that changes while packets run.

use std::{net::Ipv4Addr, path::Path};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, PerCpuArray},
    programs::Xdp,
};
use sip_common::{
    abi::{
        ABI_VERSION, Config, Contact, DOMAIN_CLIENTS, DOMAIN_URI, DOMAINS_MAX, Domain, Listener,
        Override, ServerWord, SlotWord, domain_mix, map,
    },
    aor::key_of,
    siphash::Key,
    verdict::{COUNTER_REDIRECT, REFUSALS},
};

use crate::{
    interrupt,
    lab::PORT,
    layout::{CLIENT, DOMAIN, hex},
    pod::Plain,
};

/// Slots of the table, as by default.
const SLOTS: u32 = 16_384;
/// The home of every client.
const HOME: u16 = 1;
/// A source may send so many requests a second, as by default.
const RATE: u64 = 500;
/// The program's name in its object.
const PROGRAM: &str = "homeward";

/// Loads the program at `path` and fills its table for a server at `address`.
///
/// # Errors
/// When the object is missing, the kernel refuses it, or the table does not fit.
pub fn load(path: &Path, address: Ipv4Addr, clients: u64) -> Result<Ebpf> {
    let room = u32::try_from(clients.max(1)).context("too many clients")?;
    let mut object = EbpfLoader::new()
        .map_max_entries(map::OVERRIDES, room)
        .load_file(path)
        .with_context(|| format!("cannot load {}: `cargo xtask build` makes it", path.display()))?;
    let config = config(address);
    array(&mut object, map::CONFIG)?.set(0, Plain(config), 0)?;
    array(&mut object, map::LEASE)?.set(0, Plain(u64::MAX), 0)?;
    let (index, domain) = domain();
    array(&mut object, map::DOMAINS)?.set(index, Plain(domain), 0)?;
    let mut contacts = array(&mut object, map::CONTACTS)?;
    contacts.set(u32::from(HOME), Plain(contact()?), 0)?;
    let mut servers = array(&mut object, map::SERVERS)?;
    let word = ServerWord::new(u32::from(HOME), ServerWord::UP);
    servers.set(u32::from(HOME), Plain(word.0), 0)?;
    let mut slots = array(&mut object, map::SLOTS)?;
    for slot in 0..SLOTS {
        slots.set(slot, Plain(SlotWord::new(HOME, true).0), 0)?;
    }
    let overrides = object.map_mut(map::OVERRIDES).context("no map of overrides")?;
    let mut overrides: HashMap<_, Plain<_>, Plain<u64>> = overrides.try_into()?;
    for client in 0..room {
        if client.is_multiple_of(1 << 16) {
            interrupt::check()?;
        }
        let mut aor = [0; CLIENT.len() + 8 + 1 + DOMAIN.len()];
        let text = CLIENT.bytes().chain(hex(client).to_le_bytes()).chain([b'@']);
        aor.iter_mut().zip(text.chain(DOMAIN.bytes())).for_each(|(to, from)| *to = from);
        let key = key_of(config.client_secret, &aor);
        overrides.insert(Plain(key), Plain(Override::new(key, HOME, 0).0), 0)?;
    }
    program(&mut object)?.load().context("the kernel refuses the program")?;
    Ok(object)
}

/// The program in a loaded object.
///
/// # Errors
/// When the object holds none of that name.
pub fn program(object: &mut Ebpf) -> Result<&mut Xdp> {
    let program = object.program_mut(PROGRAM);
    Ok(program.with_context(|| format!("the object has no program {PROGRAM}"))?.try_into()?)
}

/// What the program has counted: redirects, and each refusal that came up.
///
/// # Errors
/// When the object has no counters.
pub fn counters(object: &Ebpf) -> Result<(u64, Vec<(&'static str, u64)>)> {
    let counters = object.map(map::COUNTERS).context("no map of counters")?;
    let counters: PerCpuArray<_, u64> = counters.try_into()?;
    let count = |index| Ok(counters.get(&index, 0)?.iter().sum::<u64>());
    let mut refusals = Vec::new();
    for refusal in REFUSALS {
        let times: Result<u64> = count(*refusal as u32);
        let times = times?;
        if times > 0 {
            refusals.push((refusal.label(), times));
        }
    }
    let redirects: Result<u64> = count(COUNTER_REDIRECT);
    Ok((redirects?, refusals))
}

fn array<'a, T>(
    object: &'a mut Ebpf,
    name: &str,
) -> Result<Array<&'a mut aya::maps::MapData, Plain<T>>>
where
    Plain<T>: aya::Pod,
{
    let map = object.map_mut(name).with_context(|| format!("the object has no map {name}"))?;
    Ok(map.try_into()?)
}

/// The configuration that the default settings of the daemon come to.
fn config(address: Ipv4Addr) -> Config {
    let mut config = Config {
        abi: ABI_VERSION,
        slot_mask: SLOTS - 1,
        listeners_len: 1,
        client_secret: Key { k0: 0x0123_4567_89ab_cdef, k1: 0xfedc_ba98_7654_3210 },
        tag_secret: Key { k0: 0x1122_3344_5566_7788, k1: 0x99aa_bbcc_ddee_ff00 },
        source_secret: Key { k0: 0x0f1e_2d3c_4b5a_6978, k1: 0x8796_a5b4_c3d2_e1f0 },
        rate_cost_ns: 1_000_000_000 / RATE,
        rate_burst_ns: 1_000_000_000,
        ..Config::default()
    };
    let mapped = [0, 0, 0x0000_ffffu32.to_be(), u32::from(address).to_be()];
    if let Some(listener) = config.listeners.first_mut() {
        *listener = Listener { address: mapped, port: u32::from(PORT) };
    }
    config
}

/// The served domain, and the element at which the program looks for it.
fn domain() -> (u32, Domain) {
    let mut domain = Domain {
        len: DOMAIN.len() as u32,
        flags: DOMAIN_CLIENTS | DOMAIN_URI,
        ..Domain::default()
    };
    let mut mix = 0;
    for (word, bytes) in domain.text.iter_mut().zip(DOMAIN.as_bytes().chunks(8)) {
        let mut text = [0; 8];
        text.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        *word = u64::from_le_bytes(text);
        mix = domain_mix(mix, *word);
    }
    ((mix >> 32) as u32 & (DOMAINS_MAX - 1), domain)
}

/// The home's Contact line and the end of the answer.
///
/// # Errors
/// Never with this text.
pub fn contact() -> Result<Contact> {
    let line = "Contact: <sip:home-1.example.com:5060;transport=udp>;expires=120\r\n";
    let text = format!("{line}Content-Length: 0\r\n\r\n");
    let mut contact = Contact {
        primary: line.len() as u32,
        standby: line.len() as u32,
        end: text.len() as u32,
        host: 1,
        ..Contact::default()
    };
    ensure!(text.len() <= contact.text.len(), "the Contact text is too long");
    contact.text.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    Ok(contact)
}
