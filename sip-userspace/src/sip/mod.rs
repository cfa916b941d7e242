//! Full SIP messages: what the strict scanner of `sip_common` refuses is read here.
//!
//! A datagram becomes a [`message::Message`] (start line, header lines in order, body) without
//! copying what is not folded; a [`request::Request`] is a message whose header fields that decide
//! something have been read; a [`fault::Fault`] says what is wrong and which status answers it.
//!
//! Invariants: no input makes any function here panic or allocate more than a small multiple of
//! its own size; unknown header fields and their order survive; nothing that is out of range is
//! wrapped or cut to fit. Deliberately absent: IO, clocks, state, and repair of broken messages.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod address;
pub mod answer;
pub mod aor;
pub mod compare;
pub mod date;
pub mod digest;
pub mod fault;
pub mod header;
pub mod inspect;
pub mod lex;
pub mod message;
pub mod params;
pub mod reason;
pub mod request;
pub mod typed;
pub mod uri;
pub mod via;
pub mod write;

#[cfg(test)]
mod corpus_tests;
