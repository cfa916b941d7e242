//! An answer as a phone sees it, read no further than a phone has to.

use std::net::SocketAddr;

/// An answer that a phone got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Who sent it.
    pub from: SocketAddr,
}

impl Answer {
    /// The status code; 0 if it is no answer.
    pub fn status(&self) -> u16 {
        let text = self.text();
        let code = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
        code.and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// The method, if it is a request.
    pub fn method(&self) -> Option<String> {
        let text = self.text();
        let word = text.split(' ').next().unwrap_or_default();
        (word != "SIP/2.0").then(|| word.to_owned())
    }

    /// The answer as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The values of the headers `name` or `short` (a compact form), one a line.
    pub fn headers(&self, name: &str, short: &str) -> Vec<String> {
        let text = self.text();
        let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines
            .filter(|(found, _)| {
                let found = found.trim_end();
                found.eq_ignore_ascii_case(name) || found.eq_ignore_ascii_case(short)
            })
            .map(|(_, value)| value.trim().to_owned())
            .collect()
    }

    /// The first Contact's URI: where a redirect points to.
    pub fn contact(&self) -> Option<String> {
        let contact = self.headers("Contact", "m").into_iter().next()?;
        let (_, rest) = contact.split_once('<')?;
        Some(rest.split_once('>')?.0.to_owned())
    }

    /// Where a client that follows the redirect sends its next request.
    pub fn target(&self) -> Option<SocketAddr> {
        let uri = self.contact()?;
        let place = uri.strip_prefix("sip:")?.split(';').next()?;
        // Behind the user, if there is one.
        place.rsplit('@').next()?.parse().ok()
    }

    /// Its start line and whence, for messages to people.
    pub fn told(&self) -> String {
        let text = self.text();
        let line = text.lines().next().unwrap_or_default().to_owned();
        format!("`{line}` from {}", self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_says_where_to_go() {
        let answer = |text: &str| Answer {
            bytes: text.as_bytes().to_vec(),
            from: "198.18.0.1:5060".parse().unwrap(),
        };
        let moved = answer(
            "SIP/2.0 302 Moved Temporarily\r\nv: SIP/2.0/UDP h;branch=1\r\nVia: SIP/2.0/UDP i\r\n\
             Contact: <sip:198.18.0.2:5060;transport=udp>;expires=120\r\nContent-Length: 0\r\n\r\n",
        );
        let user = answer("SIP/2.0 302 x\r\nContact: <sip:u@198.18.0.2:5060>\r\n\r\n");
        assert_eq!(user.target(), Some("198.18.0.2:5060".parse().unwrap()));
        assert_eq!(moved.status(), 302);
        assert_eq!(moved.target(), Some("198.18.0.2:5060".parse().unwrap()));
        assert_eq!(moved.headers("Via", "v").len(), 2);
        assert_eq!(answer("REGISTER sip:x SIP/2.0\r\n\r\n").status(), 0);
        assert_eq!(answer("SIP/2.0 200 OK\r\n\r\nContact: <sip:x>").contact(), None);
    }
}
