//! What a client's own trace says: baresip's `-s` and Linphone's `-d 6`.
//!
//! Both write a line with transport and far end before each message that they send.

use std::net::IpAddr;

/// Whether it was redirected, and if so, whether it then sent something to `home`.
pub(crate) fn followed(trace: &str, home: IpAddr) -> Option<bool> {
    let mut lines = trace.lines().skip_while(|line| !line.starts_with("SIP/2.0 302"));
    lines.next()?;
    Some(lines.any(|line| is_sent_to(line, home)))
}

/// The algorithm of the credentials that it sent, if it sent any.
pub(crate) fn algorithm(trace: &str) -> Option<&'static str> {
    let sent = trace.lines().find(|line| line.starts_with("Authorization:"))?;
    let named = |name: &str| {
        sent.split(',').any(|part| {
            let part = part.trim().trim_start_matches("Authorization:").trim();
            part.split_once('=').is_some_and(|(key, value)| {
                key.ends_with("algorithm") && value.trim_matches('"').eq_ignore_ascii_case(name)
            })
        })
    };
    Some(if named("SHA-256") { "SHA-256" } else { "MD5" })
}

/// How many messages it sent or got that begin so.
pub(crate) fn count(trace: &str, start: &str) -> usize {
    trace.lines().filter(|line| line.starts_with(start)).count()
}

/// Whether a 200 for a request of `method` is in it.
pub(crate) fn is_answered(trace: &str, method: &str) -> bool {
    let messages = trace.split("SIP/2.0 200").skip(1);
    let of = format!(" {method}");
    messages.into_iter().any(|rest| {
        let mut head = rest.lines().take_while(|line| !line.trim().is_empty());
        head.any(|line| line.starts_with("CSeq:") && line.trim_end().ends_with(&of))
    })
}

/// Whether its first message that begins with `start` went to `host`.
pub(crate) fn went_to(trace: &str, start: &str, host: IpAddr) -> bool {
    let mut before = "";
    for line in trace.lines() {
        if line.starts_with(start) {
            return is_sent_to(before, host);
        }
        before = line;
    }
    false
}

/// `UDP 198.18.0.10:6010 -> 198.18.0.2:5060`, or `... message sent to [UDP://198.18.0.2:5060]...`.
fn is_sent_to(line: &str, host: IpAddr) -> bool {
    line.contains(&format!("-> {host}:"))
        || line.contains("message sent to") && line.contains(&format!("://{host}:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARESIP: &str = "UDP 198.18.0.10:6010 -> 198.18.0.1:5060\nREGISTER sip:x SIP/2.0\n\
        UDP 198.18.0.1:5060 -> 198.18.0.10:6010\nSIP/2.0 302 Moved Temporarily\n\
        UDP 198.18.0.10:6010 -> 198.18.0.1:5060\nREGISTER sip:x SIP/2.0\n\
        Authorization: Digest username=\"u\", algorithm=MD5\n";

    #[test]
    fn who_sends_to_the_home_after_a_302_has_followed_it() {
        let (a, b) = ("198.18.0.1".parse().unwrap(), "198.18.0.2".parse().unwrap());
        assert_eq!(followed(BARESIP, b), Some(false));
        assert_eq!(followed("REGISTER sip:x SIP/2.0\n", b), None);
        let linphone = "SIP/2.0 302 Moved\nbelle-sip-message-channel [0x1]: message sent to \
            [TLS://198.18.0.2:5061], size: [5] bytes\n";
        assert_eq!(followed(linphone, b), Some(true));
        assert!(went_to(BARESIP, "REGISTER", a) && !went_to(BARESIP, "REGISTER", b));
        assert_eq!(count(BARESIP, "REGISTER "), 2);
    }

    #[test]
    fn an_answer_belongs_to_the_method_of_its_cseq() {
        let text =
            "SIP/2.0 200 OK\r\nCSeq: 5 INVITE\r\n\r\nBYE sip:x SIP/2.0\r\nCSeq: 6 BYE\r\n\r\n";
        assert!(is_answered(text, "INVITE") && !is_answered(text, "BYE"));
    }

    #[test]
    fn credentials_tell_their_algorithm() {
        assert_eq!(algorithm(BARESIP), Some("MD5"));
        let linphone = "Authorization:  Digest realm=\"x\", algorithm=SHA-256, username=\"u\"\n";
        assert_eq!(algorithm(linphone), Some("SHA-256"));
        assert_eq!(algorithm("Via: x\n"), None);
    }
}
