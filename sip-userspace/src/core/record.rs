//! What is kept of a client's bindings: bytes for a log, and back.
//!
//! A record is the whole state of one client after a change, with what is remembered of contacts that
//! are gone, so the last one says all and any may be read twice. Each binding carries its end on both clocks: the monotonic one is right as long as
//! the machine was not started again, whatever became of the calendar; after that the calendar is
//! all there is, and no binding lives longer than one that is granted now. A field more is a
//! version more; other versions are records of subscriptions and publications, of which each has
//! one of its own. Deliberately absent: files.

use super::{
    Now, Transport,
    bindings::{Binding, CallId},
    pack,
};

/// The form that is written.
const VERSION: u8 = 6;
/// The form that knew of nothing that is gone; it is read.
const VERSION_OF_BINDINGS: u8 = 1;
/// The flag of a tombstone.
const GONE: u8 = 1;

/// A client's bindings as they were kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The client's canonical AoR.
    pub aor: &'a [u8],
    bindings: Vec<(Binding, End)>,
}

/// The bytes of a record of all that is known of a client: what is in force of it, and the rest.
/// Nothing of it is ever too long for its place: bindings are bounded, and so is the past.
pub fn encode(aor: &[u8], bindings: &[Binding], past: &[Binding], now: Now) -> Vec<u8> {
    let all = || bindings.iter().chain(past).take(u8::MAX.into());
    let len = all().map(|binding| binding.contact().len().saturating_add(64));
    let mut out =
        Vec::with_capacity(len.sum::<usize>().saturating_add(aor.len()).saturating_add(8));
    out.push(VERSION);
    push(&mut out, aor);
    out.push(u8::try_from(all().count()).unwrap_or(u8::MAX));
    for binding in all() {
        out.extend_from_slice(&[if binding.gone { GONE } else { 0 }, binding.round]);
        push_end(&mut out, binding.expires_s, now);
        out.extend_from_slice(&binding.cseq.to_le_bytes());
        out.extend_from_slice(&binding.call.to_bytes());
        out.extend_from_slice(&binding.since_s.to_le_bytes());
        // A connection ends with the process that has it.
        let mut flow = Vec::new();
        if let Some(way) = binding.flow().filter(|flow| flow.transport == Transport::Udp) {
            pack::push(&mut flow, &way);
        }
        for text in [binding.uri(), binding.params(), binding.path(), &flow] {
            push(&mut out, text);
        }
    }
    out
}

/// When something ends, in seconds of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    mono_s: u32,
    unix_s: u64,
}

impl End {
    /// What is left of it. `same_boot`: the monotonic clock has run since it was written.
    pub(super) fn left_s(&self, now: Now, same_boot: bool) -> u32 {
        match same_boot {
            true => self.mono_s.saturating_sub(now.mono_s()),
            false => u32::try_from(self.unix_s.saturating_sub(now.unix_s)).unwrap_or(u32::MAX),
        }
    }
}

/// Appends an end that is a second of the monotonic clock.
pub(super) fn push_end(out: &mut Vec<u8>, end_s: u32, now: Now) {
    let left_s = end_s.saturating_sub(now.mono_s());
    out.extend_from_slice(&end_s.to_le_bytes());
    out.extend_from_slice(&now.unix_s.saturating_add(left_s.into()).to_le_bytes());
}

pub(super) fn push(out: &mut Vec<u8>, text: &[u8]) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.get(..len.into()).unwrap_or_default());
}

impl<'a> Record<'a> {
    /// Reads a record; `None` for one of another version, or that contradicts itself.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let [version] = reader.array()?;
        if ![VERSION, VERSION_OF_BINDINGS].contains(&version) {
            return None;
        }
        let aor = reader.text()?;
        let [len] = reader.array()?;
        let mut bindings = Vec::with_capacity(len.into());
        for _ in 0..len {
            let [flags, round] = match version {
                VERSION => reader.array()?,
                _ => [0; 2],
            };
            let end = reader.end()?;
            let cseq = u32::from_le_bytes(reader.array()?);
            let call = CallId::from_bytes(reader.array()?);
            let since_s = i32::from_le_bytes(reader.array()?);
            let (uri, params, path) = (reader.text()?, reader.text()?, reader.text()?);
            let flow = reader.text()?;
            let flow = if flow.is_empty() { None } else { Some(pack::read(flow)?) };
            let binding = Binding::new(uri, params, call, cseq, end.mono_s)?;
            let mut binding = binding.reached_by(path, flow.as_ref(), since_s)?;
            (binding.gone, binding.round) = (flags & GONE != 0, round);
            bindings.push((binding, end));
        }
        reader.0.is_empty().then_some(Self { aor, bindings })
    }

    /// What has not ended, with its times on today's monotonic clock. `same_boot`: that clock has run
    /// since the record was written. What is in force of it says [`super::history::settle`].
    pub fn live(self, now: Now, same_boot: bool, life_max_s: u32) -> Vec<Binding> {
        let now_s = now.mono_s();
        let left = |(mut binding, end): (Binding, End)| {
            let left_s = end.left_s(now, same_boot);
            let ends_s = now_s.saturating_add(left_s.min(life_max_s));
            if !same_boot {
                // It was granted for as long as ever, and nothing was accepted in the future.
                let life_s = i64::from(end.mono_s).saturating_sub(binding.since_s.into());
                let since_s = i64::from(ends_s).saturating_sub(life_s).min(now_s.into());
                binding.since_s = i32::try_from(since_s).unwrap_or(i32::MIN);
            }
            binding.expires_s = ends_s;
            (left_s > 0).then_some(binding)
        };
        self.bindings.into_iter().filter_map(left).collect()
    }
}

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn end(&mut self) -> Option<End> {
        let mono_s = u32::from_le_bytes(self.array()?);
        Some(End { mono_s, unix_s: u64::from_le_bytes(self.array()?) })
    }

    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let len = u16::from_le_bytes(self.array()?);
        let (text, rest) = self.0.split_at_checked(len.into())?;
        self.0 = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Flow;
    use std::time::Duration;

    fn at(mono_s: u64, unix_s: u64) -> Now {
        Now { mono: Duration::from_secs(mono_s), unix_s }
    }

    fn bindings() -> Vec<Binding> {
        let call = CallId::of(b"x");
        let at = |text: &str| text.parse().unwrap();
        let flow = Flow::udp(at("192.0.2.1:5060"), at("203.0.113.7:4000"));
        let first = Binding::new(b"sip:a@h", b";q=0.5", call, 7, 1_600).unwrap();
        let second = Binding::new(b"sip:b@h", b"", call, 8, 1_300).unwrap();
        vec![
            first.reached_by(b"", Some(&flow), 900).unwrap(),
            second.reached_by(b"<sip:p;lr>", None, 800).unwrap(),
        ]
    }

    #[test]
    fn a_connection_is_not_kept_and_the_order_is() {
        let mut old = bindings();
        let flow = Flow { transport: Transport::Tcp, connection: 7, ..old[0].flow().unwrap() };
        old[0] = old[0].clone().reached_by(b"", Some(&flow), 900).unwrap();
        let bytes = encode(b"a@h", &old, &[], at(1_000, 1_700_000_000));
        let live = Record::decode(&bytes).unwrap().live(at(5, 1_700_000_100), false, 600);
        assert!(live.iter().all(|binding| binding.flow().is_none()));
        assert_eq!(live.iter().map(|it| it.since_s).collect::<Vec<_>>(), [-195, -295]);
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let bytes = encode(b"a@h", &bindings(), &[], at(1_000, 1_700_000_000));
        let record = Record::decode(&bytes).unwrap();
        assert_eq!(record.aor, b"a@h");
        assert_eq!(record.live(at(1_000, 1_700_000_000), true, 600), bindings());
        for cut in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(Record::decode(&[&bytes[..], b"x"].concat()), None);
        let gone = encode(b"a@h", &[], &[], at(0, 0));
        assert!(Record::decode(&gone).unwrap().live(at(0, 0), true, 600).is_empty());
    }

    #[test]
    fn what_is_gone_stays_gone_and_a_record_that_knew_of_nothing_gone_is_read() {
        let now = at(1_000, 1_700_000_000);
        let mut gone = bindings()[1].clone().into_gone();
        gone.round = 3;
        let bytes = encode(b"a@h", &bindings()[..1], &[gone.clone()], now);
        let live = Record::decode(&bytes).unwrap().live(now, true, 600);
        assert_eq!(live, [bindings()[0].clone(), gone]);

        let mut old = vec![VERSION_OF_BINDINGS];
        push(&mut old, b"a@h");
        old.push(1);
        push_end(&mut old, 1_600, now);
        old.extend_from_slice(&7u32.to_le_bytes());
        old.extend_from_slice(&CallId::of(b"x").to_bytes());
        old.extend_from_slice(&900u32.to_le_bytes());
        for text in [&b"sip:a@h"[..], b";q=0.5", b"", b""] {
            push(&mut old, text);
        }
        let live = Record::decode(&old).unwrap().live(now, true, 600);
        assert_eq!(live, [bindings()[0].clone().reached_by(b"", None, 900).unwrap()]);
    }

    #[test]
    fn what_is_left_of_a_binding_survives_steps_of_the_clock() {
        let bytes = encode(b"a@h", &bindings(), &[], at(1_000, 1_700_000_000));
        for (now, same_boot, left) in [
            (at(1_100, 1_700_000_100), true, vec![500, 200]),
            (at(1_100, 1_800_000_000), true, vec![500, 200]),
            (at(1_100, 0), true, vec![500, 200]),
            (at(1_400, 1_700_000_400), true, vec![200]),
            (at(5, 1_700_000_100), false, vec![500, 200]),
            (at(5, 1_800_000_000), false, vec![]),
            (at(5, 1_600_000_000), false, vec![600, 600]),
        ] {
            let live = Record::decode(&bytes).unwrap().live(now, same_boot, 600);
            let got: Vec<_> = live.iter().map(|it| it.expires_s - now.mono_s()).collect();
            assert_eq!(got, left, "{now:?} {same_boot}");
        }
    }
}
