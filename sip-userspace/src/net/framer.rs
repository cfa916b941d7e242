//! Messages out of a stream of bytes (RFC 3261 section 18.3), without IO.
//!
//! Over a stream Content-Length says where a message ends, so it must be there, once and readable.
//! The head is read by the same code that reads the whole message later: both see the same end.
//! Invariants: however the bytes are split, the same items come out; what is held is bounded by
//! the limits and one push; after a broken message, whose end nobody knows, nothing comes out any
//! more. Deliberately absent: what a message means, clocks, sockets.

use crate::sip::{
    fault::Fault,
    header::Name,
    lex,
    message::{HEADERS_MAX, Message},
};

/// What a keep-alive looks like (RFC 5626 section 3.5.1).
const PING: &[u8] = b"\r\n\r\n";

/// Longest parts of a message, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Start line and header section, the empty line included.
    pub head_max: usize,
    /// All of it.
    pub message_max: usize,
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole message.
    Message(Vec<u8>),
    /// A double CRLF between messages, which wants a single one back.
    Ping,
    /// A message whose end can't be known, or is too far away: the last item.
    Broken {
        /// What is wrong; `None` if it is not SIP.
        fault: Option<Fault>,
        /// Its head, as far as it is there.
        head: Vec<u8>,
    },
}

/// Cuts a stream into messages.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    buffer: Vec<u8>,
    /// What has come out already stands before this.
    from: usize,
    state: State,
}

/// Where the framer stands; all counts are from the start of the message.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Between messages.
    Between,
    /// In a head: bytes that were looked at, where the line begins, whether a line had no CR.
    Head { seen: usize, line: usize, bare: bool },
    /// In a body: where the message ends.
    Body { end: usize },
    /// Behind a broken message.
    Over,
}

impl Framer {
    /// A framer at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: Vec::new(), from: 0, state: State::Between }
    }

    /// Adds what was received. [`Self::next`] is then called until nothing comes out.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Over) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        matches!(self.state, State::Head { .. } | State::Body { .. })
    }

    /// Bytes of memory that are held.
    pub fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next item.
    #[expect(clippy::should_implement_trait, reason = "nothing now is not the end")]
    pub fn next(&mut self) -> Option<Item> {
        loop {
            match self.state {
                State::Between => {
                    if let Some(item) = self.between()? {
                        return Some(item);
                    }
                }
                State::Head { seen, line, bare } => match self.find_end(seen, line, bare) {
                    Some((end, bare)) => {
                        if let Some(item) = self.judge(end, bare) {
                            return Some(item);
                        }
                    }
                    None if self.rest().len() > self.limits.head_max => {
                        return Some(self.broken(Some(Fault::TooLarge), self.limits.head_max));
                    }
                    None => return self.nothing(),
                },
                State::Body { end } if self.rest().len() >= end => {
                    self.state = State::Between;
                    return Some(Item::Message(self.take(end)));
                }
                State::Body { .. } | State::Over => return self.nothing(),
            }
        }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.from..).unwrap_or_default()
    }

    /// Takes line ends away: `Some(None)` at the start of a message, `None` without more bytes.
    fn between(&mut self) -> Option<Option<Item>> {
        loop {
            let rest = self.rest();
            let skip = match rest {
                [] => 0,
                _ if rest.starts_with(PING) => {
                    self.from = self.from.saturating_add(PING.len());
                    return Some(Some(Item::Ping));
                }
                // The rest of a keep-alive may follow.
                _ if PING.starts_with(rest) => 0,
                [b'\r', b'\n', ..] => 2,
                [b'\r' | b'\n', ..] => 1,
                _ => {
                    self.state = State::Head { seen: 0, line: 0, bare: false };
                    return Some(None);
                }
            };
            if skip == 0 {
                self.nothing();
                return None;
            }
            self.from = self.from.saturating_add(skip);
        }
    }

    /// The end of the head, behind the first empty line, and whether a line had no CR.
    fn find_end(&mut self, seen: usize, line: usize, bare: bool) -> Option<(usize, bool)> {
        let (mut seen, mut line, mut bare) = (seen, line, bare);
        // No look at what can't belong to a head: its end is known to be too far away.
        let rest = self.rest();
        let text = rest.get(..self.limits.head_max).unwrap_or(rest);
        while let Some(found) = text.get(seen..).and_then(|more| memchr::memchr(b'\n', more)) {
            let at = seen.saturating_add(found);
            let content = text.get(line..at).unwrap_or_default();
            seen = at.saturating_add(1);
            line = seen;
            bare |= content.last() != Some(&b'\r');
            if matches!(content, [] | [b'\r']) {
                return Some((seen, bare));
            }
        }
        self.state = State::Head { seen: text.len(), line, bare };
        None
    }

    /// Reads a whole head: the message has an end from now on, or is broken.
    fn judge(&mut self, end: usize, bare: bool) -> Option<Item> {
        let message = Message::parse(self.rest().get(..end).unwrap_or_default());
        let length = match &message {
            Err(_) => Err(None),
            Ok(message) => content_length(message, bare).map_err(Some),
        };
        let whole = length
            .map(|length| usize::try_from(length).ok().and_then(|length| length.checked_add(end)));
        match whole {
            Ok(Some(whole)) if whole <= self.limits.message_max => {
                self.state = State::Body { end: whole };
                None
            }
            Ok(_) => Some(self.broken(Some(Fault::TooLarge), end)),
            Err(fault) => Some(self.broken(fault, end)),
        }
    }

    fn broken(&mut self, fault: Option<Fault>, head: usize) -> Item {
        let head = self.take(head);
        self.state = State::Over;
        (self.buffer, self.from) = (Vec::new(), 0);
        Item::Broken { fault, head }
    }

    /// Takes bytes out, without a copy if they are all that is there.
    fn take(&mut self, len: usize) -> Vec<u8> {
        if self.from == 0 && self.buffer.len() == len {
            return std::mem::take(&mut self.buffer);
        }
        let taken = self.rest().get(..len).unwrap_or_default().to_vec();
        self.from = self.from.saturating_add(taken.len());
        taken
    }

    /// Gives back the memory of what has come out.
    fn nothing(&mut self) -> Option<Item> {
        let from = std::mem::take(&mut self.from);
        if from >= self.buffer.len() {
            self.buffer = Vec::new();
        } else if from > 0 {
            self.buffer.drain(..from);
        }
        None
    }
}

/// The length of the body that a head announces.
fn content_length(head: &Message<'_>, bare: bool) -> Result<u64, Fault> {
    // Where lines do not end in CRLF, others may see another end.
    if bare {
        return Err(Fault::LineEnd);
    }
    if head.headers.len() >= HEADERS_MAX {
        return Err(Fault::TooManyHeaders);
    }
    let mut values = head.all(Name::ContentLength);
    let value = values.next().ok_or(Fault::Missing(Name::ContentLength))?;
    if values.next().is_some() {
        return Err(Fault::Doubled(Name::ContentLength));
    }
    lex::number(value).ok_or(Fault::Malformed(Name::ContentLength))
}

#[cfg(test)]
mod tests;
