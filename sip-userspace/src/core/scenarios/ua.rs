//! What phones write.

use super::{Arrived, Flow, World, addr};
use crate::core::Transport;

/// A phone: its way to the host that it talks to, and how it names itself.
#[derive(Clone)]
pub(super) struct Ua {
    pub flow: Flow,
    pub sent_by: String,
    pub user: &'static str,
    pub serial: u32,
}

impl Ua {
    /// A phone that talks datagrams and knows its address.
    pub(super) fn udp(user: &'static str, address: &str, host: &str) -> Self {
        let flow = Flow::udp(addr(address), addr(host));
        Self { flow, sent_by: address.to_owned(), user, serial: 0 }
    }

    /// A phone on a connection.
    pub(super) fn tcp(user: &'static str, address: &str, host: &str, world: &mut World) -> Self {
        let flow = world.connect(address, host);
        Self { flow, sent_by: address.to_owned(), user, serial: 0 }
    }

    pub(super) fn contact(&self) -> String {
        let transport = match self.flow.transport {
            Transport::Udp => "",
            _ => ";transport=tcp",
        };
        format!("<sip:{}@{}{transport}>", self.user, self.sent_by)
    }

    /// A request of a new transaction.
    pub(super) fn request(&mut self, method: &str, uri: &str, to: &str, more: &str) -> String {
        self.serial += 1;
        let (user, serial, sent_by) = (self.user, self.serial, &self.sent_by);
        let transport = if self.flow.transport == Transport::Udp { "UDP" } else { "TCP" };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {sent_by};branch=z9hG4bK{user}{serial};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag={user}\r\nTo: {to}\r\n\
             Call-ID: call-{user}\r\nCSeq: {serial} {method}\r\nContact: {}\r\n{more}Content-Length: 0\r\n\r\n",
            self.contact()
        )
    }

    pub(super) fn register(&mut self, more: &str) -> String {
        let to = format!("<sip:{}@example.com>", self.user);
        self.request("REGISTER", "sip:example.com", &to, more)
    }

    pub(super) fn invite(&mut self, to: &str) -> String {
        self.request("INVITE", &format!("sip:{to}"), &format!("<sip:{to}>"), "")
    }

    /// The CANCEL of an INVITE.
    pub(super) fn cancel(&self, invite: &str) -> String {
        invite.replace("INVITE", "CANCEL")
    }

    /// A response to a request.
    pub(super) fn respond(&self, request: &Arrived, status: &str) -> String {
        let mut out = format!("SIP/2.0 {status}\r\n");
        for line in request.text.split("\r\n") {
            let (name, _) = line.split_once(':').unwrap_or_default();
            match name {
                "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => {
                    out.push_str(&format!("{line}\r\n"));
                }
                "To" if line.contains(";tag=") => out.push_str(&format!("{line}\r\n")),
                "To" => out.push_str(&format!("{line};tag=to{}\r\n", self.user)),
                _ => {}
            }
        }
        out.push_str(&format!("Contact: {}\r\nContent-Length: 0\r\n\r\n", self.contact()));
        out
    }

    /// A request in the dialog that this 2xx made, by its caller (12.1.2): along the Record-Routes
    /// in reverse order.
    pub(super) fn in_dialog(&mut self, method: &str, ok: &Arrived) -> String {
        let mut routes = ok.all("Record-Route");
        routes.reverse();
        let cseq = ok.first("CSeq");
        let text = self.along(method, &ok.first("Contact"), &ok.first("To"), &routes);
        // 13.2.2.4: an ACK has the number of its INVITE.
        let invite = cseq.split(' ').next().unwrap_or_default();
        let own = format!("CSeq: {} ACK", self.serial);
        text.replace(&own, &format!("CSeq: {invite} ACK"))
    }

    /// A request in the dialog that this INVITE made, by its callee (12.1.1).
    pub(super) fn back(&mut self, method: &str, invite: &Arrived) -> String {
        let routes = invite.all("Record-Route");
        self.along(method, &invite.first("Contact"), &invite.first("From"), &routes).replace(
            &format!("Call-ID: call-{}", self.user),
            &format!("Call-ID: {}", invite.first("Call-ID")),
        )
    }

    fn along(&mut self, method: &str, contact: &str, to: &str, routes: &[String]) -> String {
        let uri = contact.trim_start_matches('<').split('>').next().unwrap_or_default();
        let lines: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        self.request(method, uri, to, &lines)
    }
}

/// A name's registration at its home, over datagrams.
pub(super) fn register(world: &mut World, ua: &mut Ua, more: &str) -> Arrived {
    let text = ua.register(more);
    world.say(ua.flow, &text);
    let arrived = world.run(100);
    World::find(&arrived, &ua.flow.local.to_string(), "200")
}
