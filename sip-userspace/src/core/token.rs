//! Tokens in the user part of this host's own Path and Record-Route URIs: by them it knows where a
//! request that comes back along them goes, and that it wrote them itself (RFC 5626 section 5.2).
//!
//! A Path token holds the flow over which its client registered. A Route token is bound to the
//! Call-ID of its dialog, and may hold the flow of one of its ends: so it opens the way to nobody
//! else, and nobody can have requests relayed here without having been in a dialog.
//! Invariants: a token that another host or nobody wrote is never read as one; a connection's
//! number is never taken for that of another run, since the key of streams is drawn at the start,
//! while tokens of datagrams outlive a restart as the dialogs do.

use sip_common::siphash::{Key, Pieces, hash_128};

use super::{io::Flow, io::Transport, pack, settings::Settings, table::Table};

/// Bytes of a token's code.
const CODE_LEN: usize = 10;
const PATH: u8 = 0;
const ROUTE: u8 = 1;
const VIA: u8 = 2;

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// It was in a Path: requests along it go over this flow.
    Path(Flow),
    /// It was in a Record-Route: requests of the dialog may pass, over this flow if there is one.
    Route(Option<Flow>),
}

impl Token {
    /// The flow in it.
    pub const fn flow(&self) -> Option<Flow> {
        match self {
            Self::Path(flow) => Some(*flow),
            Self::Route(flow) => *flow,
        }
    }
}

/// Writes and reads tokens.
#[derive(Clone, Copy)]
pub struct Tokens {
    lasting: Key,
    passing: Key,
}

impl Tokens {
    /// With the secrets of this cluster and of this run.
    pub fn new(settings: &Settings, table: &Table) -> Self {
        let derived = |secret: Key| {
            let [k0, k1] = hash_128(secret, b"tokens of Path and Record-Route");
            Key { k0, k1 }
        };
        Self { lasting: derived(table.meta().tag_secret), passing: derived(settings.node_secret) }
    }

    /// The token of a Path through which this flow is reached.
    pub fn path(&self, flow: &Flow) -> String {
        self.write(PATH, Some(flow), b"")
    }

    /// The token of a Record-Route in a dialog, with the flow to its end on that side.
    pub fn route(&self, flow: Option<&Flow>, call_id: &[u8]) -> String {
        self.write(ROUTE, flow, call_id)
    }

    /// The token in a Via of a request that is forwarded without state: its responses go there.
    pub fn via(&self, flow: &Flow) -> String {
        self.write(VIA, Some(flow), b"")
    }

    /// Reads the token of such a Via.
    pub fn read_via(&self, token: &[u8]) -> Option<Flow> {
        self.open(token, b"").filter(|(kind, _)| *kind == VIA)?.1
    }

    /// Reads the user part of a URI; `None` if it is no token of this cluster and, for a route, of
    /// this dialog.
    pub fn read(&self, user: &[u8], call_id: &[u8]) -> Option<Token> {
        match self.open(user, call_id)? {
            (PATH, Some(flow)) => Some(Token::Path(flow)),
            (ROUTE, flow) => Some(Token::Route(flow)),
            _ => None,
        }
    }

    /// What a token holds, if its code is right.
    fn open(&self, token: &[u8], call_id: &[u8]) -> Option<(u8, Option<Flow>)> {
        let bytes = base64_read(token)?;
        let (body, code) = bytes.split_at_checked(bytes.len().checked_sub(CODE_LEN)?)?;
        let (kind, packed) = body.split_first()?;
        let flow = if packed.is_empty() { None } else { Some(pack::read(packed)?) };
        let bound: &[u8] = if *kind == ROUTE { call_id } else { b"" };
        let expected = self.code(body, flow.as_ref(), bound);
        // Every byte is looked at, so that time tells nothing about the code.
        let differs = expected.iter().zip(code).fold(0, |seen, (a, b)| seen | (a ^ b));
        (differs == 0).then_some((*kind, flow))
    }

    fn write(&self, kind: u8, flow: Option<&Flow>, bound: &[u8]) -> String {
        let mut body = Vec::with_capacity(64);
        body.push(kind);
        if let Some(flow) = flow {
            pack::push(&mut body, flow);
        }
        let code = self.code(&body, flow, bound);
        body.extend_from_slice(&code);
        base64(&body)
    }

    fn code(&self, body: &[u8], flow: Option<&Flow>, bound: &[u8]) -> [u8; CODE_LEN] {
        let stream = flow.is_some_and(|flow| flow.transport != Transport::Udp);
        let key = if stream { self.passing } else { self.lasting };
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut pieces = Pieces::new_128(key);
        [&len, body, bound].into_iter().for_each(|piece| pieces.push(piece));
        let [low, high] = pieces.finish_128();
        let mut code = [0; CODE_LEN];
        for (place, byte) in
            code.iter_mut().zip(low.to_le_bytes().into_iter().chain(high.to_le_bytes()))
        {
            *place = byte;
        }
        code
    }
}

/// The alphabet of RFC 4648 section 5: all of it may stand in a user part as it is.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |shift: u32| ALPHABET.get((word >> shift & 63) as usize).copied();
        let digits = [18, 12, 6, 0].map(|shift| char::from(digit(shift).unwrap_or_default()));
        out.extend(digits.iter().take(chunk.len().saturating_add(1)));
    }
    out
}

/// What each letter stands for; 64 and more for what is none.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which would say so")]
const VALUES: [u8; 256] = {
    let (mut values, mut value) = ([255; 256], 0);
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
};

fn base64_read(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.chunks(4) {
        if chunk.len() < 2 {
            return None;
        }
        let mut word = 0;
        for place in 0..4 {
            let value = match chunk.get(place) {
                Some(byte) => *VALUES.get(usize::from(*byte)).filter(|value| **value < 64)?,
                None => 0,
            };
            word = word << 6 | u32::from(value);
        }
        let [_, bytes @ ..] = word.to_be_bytes();
        let (taken, stray) = bytes.split_at_checked(chunk.len().saturating_sub(1))?;
        // One text for one value: no stray bits in the last letter.
        if stray.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(taken);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::{EDGE, settings, table};
    use proptest::prelude::*;

    fn tokens(run: u64) -> Tokens {
        let settings = Settings { node_secret: Key { k0: run, k1: 1 }, ..settings(EDGE) };
        Tokens::new(&settings, &table("edge", Some(1)))
    }

    fn flow(transport: Transport) -> Flow {
        let (local, peer) =
            ("192.0.2.1:5060".parse().unwrap(), "[2001:db8::7]:4000".parse().unwrap());
        let connection = u64::from(transport != Transport::Udp) * 77;
        Flow { transport, local, peer, connection }
    }

    #[test]
    fn tokens_come_back_and_nothing_else_does() {
        let tokens = tokens(1);
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            let flow = flow(transport);
            for (token, expected) in [
                (tokens.path(&flow), Token::Path(flow)),
                (tokens.route(Some(&flow), b"call"), Token::Route(Some(flow))),
                (tokens.route(None, b"call"), Token::Route(None)),
            ] {
                assert_eq!(tokens.read(token.as_bytes(), b"call"), Some(expected), "{token}");
                let same = tokens.read(token.as_bytes(), b"other").is_some();
                assert_eq!(same, matches!(expected, Token::Path(_)), "bound to its dialog");
                for at in 0..token.len() {
                    let mut forged = token.clone().into_bytes();
                    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
                    assert_eq!(tokens.read(&forged, b"call"), None, "{at}");
                }
            }
        }
    }

    #[test]
    fn a_token_of_a_via_is_none_of_a_route() {
        let (tokens, flow) = (tokens(1), flow(Transport::Tcp));
        assert_eq!(tokens.read_via(tokens.via(&flow).as_bytes()), Some(flow));
        assert_eq!(tokens.read_via(tokens.path(&flow).as_bytes()), None);
        assert_eq!(tokens.read(tokens.via(&flow).as_bytes(), b""), None);
    }

    #[test]
    fn datagrams_outlive_a_restart_and_connections_do_not() {
        let (before, after) = (tokens(1), tokens(2));
        for (transport, known) in [(Transport::Udp, true), (Transport::Tcp, false)] {
            let token = before.path(&flow(transport));
            assert_eq!(after.read(token.as_bytes(), b"").is_some(), known);
        }
    }

    proptest! {
        #[test]
        fn letters_come_back(bytes: Vec<u8>) {
            prop_assert_eq!(base64_read(base64(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn arbitrary_users_are_no_tokens(user: Vec<u8>) {
            prop_assert_eq!(tokens(1).read(&user, b"call"), None);
        }
    }
}
