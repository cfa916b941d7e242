//! What this host would do with a datagram, for people: the daemon's own decision under a given
//! table, without changing anything.
//!
//! Deliberately absent: memory. A retransmission, a response, and a client that comes back after
//! a redirect are taken for what they would be to a host that has just started.

use super::{
    Packet,
    decide::{Decision, decide, read_routes},
    may_answer,
    settings::Settings,
    table::Table,
};
use crate::sip::{
    fault::Silence,
    inspect::{Form, Inspection, inspect},
    message::Message,
    request::Request,
};

/// What would become of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What the datagram says.
    pub found: Inspection,
    /// `register`, `subscribe`, `publish`, `redirect`, `proxy`, `answer` or `drop`.
    pub decision: &'static str,
    /// The status of an answer.
    pub status: Option<u16>,
    /// The home that the request would be redirected or proxied to.
    pub home: Option<u16>,
    /// The name of the reason.
    pub reason: &'static str,
}

/// Explains a datagram. Never panics, whatever it holds.
pub fn explain(settings: &Settings, table: &Table, packet: &Packet<'_>) -> Explanation {
    let found = inspect(packet.payload);
    let (decision, status, home, reason) = match found.form {
        _ if !may_answer(packet.flow.peer, packet.flow.local) => {
            ("drop", None, None, Silence::Source.label())
        }
        Form::Silence(silence) => ("drop", None, None, silence.label()),
        Form::Response => ("drop", None, None, Silence::Response.label()),
        Form::Fault(_) if found.method.as_deref() == Some("ACK") => {
            ("drop", None, None, Silence::Ack.label())
        }
        Form::Fault(fault) => ("answer", Some(fault.status()), None, fault.label()),
        Form::Request => judge(settings, table, packet),
    };
    Explanation { found, decision, status, home, reason }
}

fn judge(
    settings: &Settings,
    table: &Table,
    packet: &Packet<'_>,
) -> (&'static str, Option<u16>, Option<u16>, &'static str) {
    let message = Message::parse(packet.payload).ok();
    let Some(Ok(request)) = message.as_ref().and_then(Request::read) else {
        return ("drop", None, None, Silence::NotSip.label());
    };
    let decision = match read_routes(settings, table, &request, &packet.flow) {
        Ok(routes) => decide(settings, table, &request, &routes, &packet.flow, |_, _| false),
        Err(refusal) => refusal,
    };
    let reason = decision.reason();
    match decision {
        Decision::Register { .. } => ("register", None, None, reason),
        Decision::Subscribe { .. } => ("subscribe", None, None, reason),
        Decision::Publish { .. } => ("publish", None, None, reason),
        Decision::Redirect { server, .. } => ("redirect", Some(302), Some(server), reason),
        Decision::Proxy { server, .. } => ("proxy", None, Some(server), reason),
        Decision::Deliver { .. } | Decision::Follow | Decision::Flow { .. } => {
            ("proxy", None, None, reason)
        }
        Decision::Answer { answer, .. } => ("answer", Some(answer.status()), None, reason),
        Decision::Silent(_) => ("drop", None, None, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::tests::{EDGE, settings, table},
        sip::typed,
    };

    #[test]
    fn an_explanation_is_the_daemons_decision() {
        let client = "203.0.113.7:5060".parse().unwrap();
        let local = "192.0.2.1:5060".parse().unwrap();
        let good = typed::register("alice@example.com", client, 1, 300);
        let good = String::from_utf8(good).unwrap();
        let watch = |method: &str| {
            let text = good.replace("REGISTER", method);
            text.replacen("sip:example.com", "sip:alice@example.com", 1)
        };
        for (text, home, expected) in [
            (good.clone(), 1, ("redirect", Some(302), Some(1), "home_elsewhere")),
            (good.clone(), 0, ("register", None, None, "home_here")),
            (
                good.replace("Via:", "Via: SIP/2.0/UDP p\r\nVia:"),
                1,
                ("proxy", None, Some(1), "via_many"),
            ),
            (
                good.replace("CSeq: 1 ", "CSeq: -1 "),
                1,
                ("answer", Some(400), None, "header_malformed"),
            ),
            (
                good.replace("REGISTER", "INVITE"),
                1,
                ("answer", Some(405), None, "method_not_allowed"),
            ),
            (good.replace("REGISTER", "ACK"), 1, ("drop", None, None, "ack")),
            (watch("SUBSCRIBE"), 0, ("subscribe", None, None, "client_here")),
            (watch("PUBLISH"), 0, ("publish", None, None, "client_here")),
            (watch("MESSAGE"), 0, ("proxy", None, None, "client_here")),
            (watch("SUBSCRIBE"), 1, ("redirect", Some(302), Some(1), "home_elsewhere")),
            (
                good.replace("REGISTER", "SUBSCRIBE"),
                0,
                ("answer", Some(404), None, "not_this_host"),
            ),
            (
                watch("SUBSCRIBE")
                    .replace("sip:alice@example.com SIP", "sip:192.0.2.1 SIP")
                    .replace("To: <sip:alice@example.com>", "To: <sip:192.0.2.1>;tag=1"),
                0,
                ("subscribe", None, None, "subscription"),
            ),
            (good.replace("REGISTER", "ACK").replace("To:", "X:"), 1, ("drop", None, None, "ack")),
            ("SIP/2.0 200 OK\r\n\r\n".into(), 1, ("drop", None, None, "response")),
            ("\r\n\r\n".into(), 1, ("drop", None, None, "keep_alive")),
        ] {
            let packet = Packet::udp(client, local, text.as_bytes());
            let got = explain(&settings(EDGE), &table("edge", Some(home)), &packet);
            assert_eq!((got.decision, got.status, got.home, got.reason), expected, "{text}");
        }
        let echo = Packet::udp(local, local, good.as_bytes());
        let got = explain(&settings(EDGE), &table("edge", Some(1)), &echo);
        assert_eq!((got.decision, got.reason), ("drop", "source_invalid"));
    }
}
