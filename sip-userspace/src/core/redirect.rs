//! The 302 of the general path: for requests that the kernel's own code leaves to the daemon for
//! their form, such as folded lines. By the same rules: RFC 3261 section 8.3, invariant I7.

use std::net::IpAddr;

use sip_common::{
    abi::{ClientKey, Override},
    guard::{Memory, Recent, fold},
    siphash::Key,
};

use super::{Transport, settings::Settings, table::Table};
use crate::sip::{
    answer::{Answer, Path},
    message::{Message, Start},
    typed::{self, Target},
    uri::Uri,
};

/// Elements of the memory of redirects, a power of two; 8 bytes each.
const RECENT_MAX: usize = 1 << 16;
/// Preference of the home and of its standby, in tenths.
const Q_TENTHS: (u8, u8) = (7, 3);

/// Why there is no redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRedirect {
    /// The home is gone.
    Gone,
    /// It takes no requests by the transport that the client uses.
    Transport,
    /// It would be longer than the request (I5).
    TooLong,
}

/// The user part that a redirect of what is no REGISTER has to name: the client puts the Contact
/// into the Request-URI, which says whom it wants (section 8.1.3.4).
fn user<'m>(message: &Message<'m>) -> Option<&'m str> {
    let Start::Request { method, uri } = message.start else { return None };
    let uri = Uri::parse(uri).ok()?.sip().filter(|_| method != b"REGISTER")?;
    std::str::from_utf8(uri.user?).ok()
}

/// The answer that names a home, and its standby if that serves and there is room, by the transport
/// that the client uses: one that uses TLS must not be sent to a plain port. Over UDP it is never
/// longer than its request (I5), lest a spoofed source make it an amplifier.
///
/// # Errors
/// Why there is none.
pub fn answer(
    settings: &Settings,
    table: &Table,
    server: u16,
    message: &Message<'_>,
    path: &Path,
    transport: Transport,
) -> Result<Answer, NoRedirect> {
    let home = table.server(server).ok_or(NoRedirect::Gone)?;
    let standby = home.standby.filter(|standby| *standby != server && table.serves(*standby));
    let standby = standby.and_then(|standby| table.server(standby));
    let user = user(message);
    let standby = standby.filter(|standby| standby.port_for(transport).is_some());
    let target = |server: &super::table::Server, tenths: u8| {
        let q_tenths = standby.is_some().then_some(tenths);
        let port = server.port_for(transport).ok_or(NoRedirect::Transport)?;
        let (host, transport) = (server.contact.host.as_str(), transport.label());
        let target = Target { user, host, port, transport, q_tenths };
        Ok(typed::target(target, settings.redirect_expires_s))
    };
    let alone = Answer::new(302).with(target(home, Q_TENTHS.0)?);
    let both = standby.map(|standby| Ok(alone.clone().with(target(standby, Q_TENTHS.1)?)));
    let both = both.transpose()?;
    // All tags have the same length.
    let fits = |answer: &Answer| {
        transport != Transport::Udp
            || answer.compose(message, path, 0).len() <= message.datagram().len()
    };
    both.into_iter().chain([alone]).find(fits).ok_or(NoRedirect::TooLong)
}

/// The last redirects: a fixed array, indexed by client and source, as in the kernel.
pub struct Redirects {
    recent: Box<[Recent]>,
    secret: Key,
    memory_s: u32,
}

/// A request as the memory knows it.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    index: usize,
    recent: Recent,
}

impl Redirects {
    /// An empty memory.
    pub fn new(settings: &Settings) -> Self {
        Self {
            recent: vec![Recent::default(); RECENT_MAX].into_boxed_slice(),
            secret: settings.node_secret,
            memory_s: settings.redirect_memory_s,
        }
    }

    /// A request of a client from a source; `hash` is the same for its retransmissions.
    pub fn asked(&self, key: ClientKey, source: IpAddr, hash: u64, now_s: u64) -> Asked {
        let (octets, v6) = match source.to_canonical() {
            IpAddr::V4(v4) => (v4.to_ipv6_mapped().octets(), false),
            IpAddr::V6(v6) => (v6.octets(), true),
        };
        let mut address = [0u32; 4];
        for (word, bytes) in address.iter_mut().zip(octets.as_chunks::<4>().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        let source = fold(self.secret, address, v6);
        let index = Recent::index(key, source) as usize % RECENT_MAX;
        Asked { index, recent: Recent::new(key, source, hash, now_s) }
    }

    /// How many seconds ago the client was redirected for another request, if that was a short
    /// while ago.
    pub fn returned(&self, asked: Asked, follows: bool) -> Option<u32> {
        let flags = Override(if follows { Override::FOLLOWS } else { 0 });
        let last = self.recent.get(asked.index)?;
        let returned = last.judge(asked.recent, flags, self.memory_s) == Memory::Returned;
        returned.then(|| last.until_s(asked.recent))
    }

    /// Notes that the request was redirected.
    pub fn remember(&mut self, asked: Asked) {
        if let Some(place) = self.recent.get_mut(asked.index) {
            *place = asked.recent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_comes_back_is_known_by_its_source() {
        let mut redirects = Redirects::new(&Settings::default());
        let key = ClientKey([0x1234_5678_9abc_def0, 0xfeed]);
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = redirects.asked(key, here, 0xaaaa_aaaa_aaaa_aaaa, 100);
        assert_eq!(redirects.returned(first, false), None);
        redirects.remember(first);
        let other = 0xbbbb_bbbb_bbbb_bbbb;
        for (source, hash, at_s, follows, returned) in [
            (here, 0xaaaa_aaaa_aaaa_aaaa, 101, false, false),
            (here, other, 101, false, true),
            (here, other, 700, false, true),
            (here, other, 701, false, false),
            (here, other, 132, true, true),
            (here, other, 133, true, false),
            (there, other, 101, false, false),
        ] {
            let asked = redirects.asked(key, source, hash, at_s);
            assert_eq!(
                redirects.returned(asked, follows).is_some(),
                returned,
                "{source} {hash:x} {at_s}"
            );
        }
    }
}
