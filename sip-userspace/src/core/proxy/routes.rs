//! The route set of a request, as far as it concerns this host (RFC 3261 sections 16.4 and 16.12).
//!
//! Values that name this host are taken off. A token in them (see [`crate::core::token`]) says
//! that this host wrote them: only then does a request go where it says, to whomever that is, for
//! otherwise anybody could have requests relayed. Where a strict router put our own value into the
//! Request-URI, the last Route value is the Request-URI again.

use crate::{
    core::{
        io::Flow,
        settings::Settings,
        token::{Token, Tokens},
    },
    sip::{
        address::Address,
        fault::Fault,
        header::Name,
        lex::Hides,
        request::Request,
        uri::{SipUri, Uri},
    },
};

/// What the route set says.
#[derive(Clone, Debug)]
pub struct Routes<'m> {
    /// The Request-URI as it stands, restored if a strict router had changed it.
    pub uri_text: &'m [u8],
    /// The same, read.
    pub uri: Uri<'m>,
    /// The Route values that are left, the next hop's first.
    pub left: Vec<&'m [u8]>,
    /// Whether anything was taken off or restored.
    pub changed: bool,
    /// Whether this host wrote one of the values that were taken off, for this dialog or client.
    pub authorised: bool,
    /// The flow to send the request over.
    pub flow: Option<Flow>,
    /// A value named a flow that is not known any more (RFC 5626 section 5.3.1: 430).
    pub flow_failed: bool,
}

/// A Route value's URI.
pub fn route_uri(value: &[u8]) -> Option<SipUri<'_>> {
    Uri::parse(Address::parse(value).ok()?.uri).ok()?.sip()
}

/// Whether a URI has a parameter of this name.
pub fn has_param(uri: &SipUri<'_>, name: &str) -> bool {
    uri.params().any(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
}

impl<'m> Routes<'m> {
    /// No route set.
    pub const fn none(request: &Request<'m>) -> Self {
        Self {
            uri_text: request.uri_text,
            uri: request.uri,
            left: Vec::new(),
            changed: false,
            authorised: false,
            flow: None,
            flow_failed: false,
        }
    }

    /// Reads the route set of a request that came over `came`.
    ///
    /// # Errors
    /// If a Route value can't be read.
    pub fn of(
        request: &Request<'m>,
        settings: &Settings,
        tokens: impl FnOnce() -> Tokens,
        came: &Flow,
    ) -> Result<Self, Fault> {
        let left = request.message.list(Name::Route, Hides::Angles)?;
        let mut routes = Self { left, ..Self::none(request) };
        if routes.left.is_empty() {
            return Ok(routes);
        }
        let tokens = tokens();
        let ours = |uri: &SipUri<'_>| settings.is_route(uri.host, uri.port);
        let token = |uri: &SipUri<'_>| tokens.read(uri.user?, request.call_id);
        let mut last = None;
        let mut taken = 0usize;
        if let Some(uri) = request.uri.sip().filter(ours)
            && let Some(own) = token(&uri)
            && let Some(target) = routes.left.pop()
        {
            let address = Address::parse(target).map_err(|_| Fault::Malformed(Name::Route))?;
            routes.uri_text = address.uri;
            routes.uri = Uri::parse(address.uri).map_err(|_| Fault::Malformed(Name::Route))?;
            (routes.changed, routes.authorised) = (true, true);
            (last, taken) = (Some(own), 1);
        }
        while let Some(value) = routes.left.first().copied() {
            let uri = route_uri(value).ok_or(Fault::Malformed(Name::Route))?;
            if !ours(&uri) {
                break;
            }
            routes.left.remove(0);
            routes.changed = true;
            taken = taken.saturating_add(1);
            last = token(&uri);
            routes.authorised |= last.is_some();
            routes.flow_failed = last.is_none() && has_param(&uri, "ob");
        }
        // Of two values of ours the first is the side that the request came from (RFC 5658).
        let flow = match last {
            Some(Token::Path(flow)) => Some(flow),
            Some(Token::Route(flow)) => flow,
            None => None,
        };
        let back = taken < 2 && flow.is_some_and(|flow| flow == *came);
        routes.flow = flow.filter(|_| !back);
        let foreign = |flow: &Flow| !settings.is_served(flow.local);
        routes.flow_failed |= routes.flow.as_ref().is_some_and(foreign);
        Ok(routes)
    }

    /// Whether the next hop is a strict router, which wants itself in the Request-URI (16.6 step 6).
    pub fn next_is_strict(&self) -> bool {
        let next = self.left.first().and_then(|value| route_uri(value));
        next.is_some_and(|uri| !has_param(&uri, "lr"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::tests::{EDGE, addr, settings, table},
        sip::message::Message,
    };

    const CLIENT: &str = "203.0.113.7:4000";

    /// Request-URI, Routes; what became of them.
    fn routes(uri: &str, values: &str) -> (String, Vec<String>, bool, Option<Flow>, bool) {
        let lines = if values.is_empty() { String::new() } else { format!("Route: {values}\r\n") };
        let text = format!(
            "BYE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nTo: <sip:a@b>;tag=1\r\n\
             From: <sip:c@d>;tag=2\r\nCall-ID: call\r\nCSeq: 1 BYE\r\n{lines}\r\n"
        );
        let message = Message::parse(text.as_bytes()).unwrap();
        let request = Request::read(&message).unwrap().unwrap();
        let (settings, table) = (settings(EDGE), table("edge", Some(1)));
        let came = Flow::udp(addr(EDGE), addr(CLIENT));
        let tokens = || Tokens::new(&settings, &table);
        let routes = Routes::of(&request, &settings, tokens, &came).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let left = routes.left.iter().map(|value| text(value)).collect();
        (text(routes.uri_text), left, routes.authorised, routes.flow, routes.flow_failed)
    }

    #[test]
    fn own_values_are_taken_off_and_tokens_say_where_to() {
        let (settings, table) = (settings(EDGE), table("edge", Some(1)));
        let tokens = Tokens::new(&settings, &table);
        let near = Flow::udp(addr(EDGE), addr(CLIENT));
        let far = Flow::udp(addr(EDGE), addr("203.0.113.8:4000"));
        let gone = Flow::udp(addr("192.0.2.77:5060"), addr(CLIENT));
        let own = |token: String| format!("<sip:{token}@192.0.2.1:5060;lr>");
        let (r_near, r_far) =
            (own(tokens.route(Some(&near), b"call")), own(tokens.route(Some(&far), b"call")));
        let r_none = own(tokens.route(None, b"call"));
        let other_call = own(tokens.route(Some(&far), b"other"));
        let path = own(tokens.path(&far)).replace(";lr", ";lr;ob");
        let path_gone = own(tokens.path(&gone));
        let target = "sip:bob@203.0.113.8";
        let strict = r_near.replace(['<', '>'], "");
        for (what, uri, values, left, authorised, flow, failed) in [
            ("none", target, String::new(), &[][..], false, None, false),
            ("another's", target, "<sip:far;lr>".into(), &["<sip:far;lr>"][..], false, None, false),
            (
                "a name of ours",
                target,
                "<sip:edge.example.com;lr>, <sip:far>".into(),
                &["<sip:far>"],
                false,
                None,
                false,
            ),
            (
                "the served domain",
                target,
                "<sip:EXAMPLE.com;lr>, <sip:far;lr>".into(),
                &["<sip:far;lr>"],
                false,
                None,
                false,
            ),
            (
                "the domain elsewhere",
                target,
                "<sip:example.com:99;lr>".into(),
                &["<sip:example.com:99;lr>"],
                false,
                None,
                false,
            ),
            ("both sides", target, format!("{r_near}, {r_far}"), &[], true, Some(far), false),
            (
                "both sides on one flow",
                target,
                format!("{r_far}, {r_near}"),
                &[],
                true,
                Some(near),
                false,
            ),
            (
                "the far side without a flow",
                target,
                format!("{r_near}, {r_none}, <sip:far;lr>"),
                &["<sip:far;lr>"],
                true,
                None,
                false,
            ),
            ("one, of who sent it", target, r_near.clone(), &[], true, None, false),
            ("one, of the other", target, r_far.clone(), &[], true, Some(far), false),
            ("another dialog's", target, other_call, &[], false, None, false),
            ("a Path", target, path.clone(), &[], true, Some(far), false),
            ("a Path of nobody", target, path.replace("<sip:A", "<sip:B"), &[], false, None, true),
            ("a Path of another host", target, path_gone, &[], true, Some(gone), true),
            (
                "a strict router's",
                strict.as_str(),
                format!("{r_far}, <{target}>"),
                &[],
                true,
                Some(far),
                false,
            ),
        ] {
            let got = routes(uri, &values);
            let left: Vec<String> = left.iter().map(|value| (*value).to_owned()).collect();
            assert_eq!(got, (target.to_owned(), left, authorised, flow, failed), "{what}");
        }
    }

    #[test]
    fn a_router_without_lr_is_strict() {
        let message = |route: &str| {
            format!(
                "BYE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nTo: <sip:a@b>\r\nFrom: <sip:c@d>\r\n\
                 Call-ID: call\r\nCSeq: 1 BYE\r\nRoute: {route}\r\n\r\n"
            )
        };
        for (route, strict) in
            [("<sip:far;lr>", false), ("<sip:far>", true), ("<sip:far;LR=on>", false)]
        {
            let text = message(route);
            let message = Message::parse(text.as_bytes()).unwrap();
            let request = Request::read(&message).unwrap().unwrap();
            let (settings, table) = (settings(EDGE), table("edge", Some(1)));
            let came = Flow::udp(addr(EDGE), addr(CLIENT));
            let tokens = || Tokens::new(&settings, &table);
            let routes = Routes::of(&request, &settings, tokens, &came).unwrap();
            assert_eq!(routes.next_is_strict(), strict, "{route}");
        }
    }
}
