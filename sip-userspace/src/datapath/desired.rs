//! What the kernel is told beside the table: from the configuration and the table's constants.

use sip_common::{
    abi::{
        self, ABI_VERSION, CONFIG_DIRECT_ONLY, CONFIG_FORWARD, CONFIG_SOURCES, FORWARD_BRANCH,
        INTERFACES_MAX, LISTENERS_MAX, Listener, VIA_WORDS, VLANS_MAX, ViaText,
    },
    siphash::Key,
};

use std::net::SocketAddr;

use crate::{
    config::Config,
    core::{
        route::address_words,
        table::{Meta, domains::Domains},
    },
};

/// The configuration in the kernel's layout. `source_secret` is this process's own.
pub fn config(config: &Config, meta: &Meta, source_secret: Key) -> abi::Config {
    let mut listeners = [Listener::default(); LISTENERS_MAX];
    for (place, address) in listeners.iter_mut().zip(&config.sip.listen) {
        *place = Listener { address: address_words(address.ip()), port: address.port().into() };
    }
    let mut vlans = [0; VLANS_MAX];
    for (place, vlan) in vlans.iter_mut().zip(&config.xdp.vlans) {
        *place = *vlan;
    }
    let mut vias = [ViaText::default(); LISTENERS_MAX];
    for (place, address) in vias.iter_mut().zip(&config.sip.listen) {
        *place = via_text(*address);
    }
    let forward = if config.xdp.forward { CONFIG_FORWARD } else { 0 };
    let sources = &config.sources;
    let direct = if sources.direct.is_empty() { 0 } else { CONFIG_DIRECT_ONLY };
    let asked = !sources.direct.is_empty() || !sources.edge.is_empty();
    abi::Config {
        abi: ABI_VERSION,
        flags: direct | forward | if asked { CONFIG_SOURCES } else { 0 },
        slot_mask: meta.slots.saturating_sub(1),
        listeners_len: config.sip.listen.len().min(LISTENERS_MAX) as u32,
        vlans_len: config.xdp.vlans.len().min(VLANS_MAX) as u32,
        redirect_memory_s: config.sip.redirect_memory_s,
        client_secret: meta.client_secret,
        tag_secret: meta.tag_secret,
        source_secret,
        rate_cost_ns: sources.rate_cost_ns(),
        rate_burst_ns: sources.rate_burst_ns(),
        listeners,
        vlans,
        // Known when the program is attached.
        interfaces: [0; INTERFACES_MAX],
        vias,
    }
}

/// The beginning of this host's Via where it serves this address.
fn via_text(address: SocketAddr) -> ViaText {
    let line = format!("Via: SIP/2.0/UDP {address};branch={FORWARD_BRANCH}");
    let mut bytes = [0; 8 * VIA_WORDS];
    for (place, byte) in bytes.iter_mut().zip(line.bytes()) {
        *place = byte;
    }
    let mut text = [0; VIA_WORDS];
    for (word, bytes) in text.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    // One that does not fit is none: the daemon forwards there.
    let len = if line.len() <= 8 * VIA_WORDS { line.len() as u32 } else { 0 };
    ViaText { text, len, reserved: 0 }
}

/// The served names where the kernel looks for them; those left out are warned of.
pub fn domains(config: &Config) -> Domains {
    let names = config.served_names();
    let domains = Domains::place(names.iter().map(|(name, flags)| (name.as_str(), *flags)));
    for (name, reason) in &domains.left_out {
        tracing::warn!(name, %reason, "this name is served by the daemon alone");
    }
    domains
}
