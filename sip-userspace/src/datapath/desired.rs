//! What the kernel is told beside the table: from the configuration and the table's constants.

use sip_common::{
    abi::{
        self, ABI_VERSION, CONFIG_DIRECT_ONLY, CONFIG_SOURCES, LISTENERS_MAX, Listener, VLANS_MAX,
    },
    siphash::Key,
};

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
    let sources = &config.sources;
    let direct = if sources.direct.is_empty() { 0 } else { CONFIG_DIRECT_ONLY };
    let asked = !sources.direct.is_empty() || !sources.edge.is_empty();
    abi::Config {
        abi: ABI_VERSION,
        flags: direct | if asked { CONFIG_SOURCES } else { 0 },
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
    }
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
