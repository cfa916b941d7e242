//! Which of this host's lessons the other hosts are told (invariant I7).
//!
//! That a client does not follow redirects is learned from packets, and packets can be forged; so it
//! goes into the shared table only if the client proves by digest credentials who it is. It is not
//! asked for them here: what it gives its home, with a nonce of the cluster's, passes by. Invariants:
//! nothing is shared with authentication off, nothing of a source that merely is not asked, and
//! nothing that the table says already. Deliberately absent: when it is written.

use sip_common::abi::ClientKey;

use super::{
    Core, Counters, Now, Output,
    auth::Asked,
    decide::{Cause, Decision},
    requests::Place,
    table::{Lesson, overrides::AOR_MAX},
};
use crate::sip::{aor::Aor, request::Request};

impl Core {
    /// Looks at a REGISTER that is about to be proxied because its client was seen not to follow.
    pub(super) fn share_lesson(
        &mut self,
        at: &Place,
        request: &Request<'_>,
        decision: &Decision,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Decision::Proxy { key, cause: Cause::NoRedirect | Cause::Returned, .. } = decision
        else {
            return;
        };
        if request.method != b"REGISTER" || !self.is_lesson_of_ours(key) {
            return;
        }
        let client = self.client_address(request, at.source());
        let (Some(rules), Some(auth)) = (&self.settings.auth, &mut self.auth) else { return };
        let Some(aor) = request.to_uri.sip().and_then(|to| Aor::of(&to)) else { return };
        let salt = at.tag as u32;
        let asked = Asked { request, aor: &aor, client, salt };
        let text = std::str::from_utf8(aor.bytes()).ok().filter(|text| text.len() <= AOR_MAX);
        if let Some(text) = text
            && auth.proves(rules, &asked, now)
        {
            Counters::add(&mut self.counters.lessons_proven);
            out.push(Output::Share { aor: text.to_owned() });
        }
    }

    /// Whether this host has learned that a client does not follow, and the table does not say so.
    fn is_lesson_of_ours(&self, key: &ClientKey) -> bool {
        let stated = self.table.overrides().get(key);
        self.table.learned().get(key) == Some(Lesson::NoRedirect)
            && !stated.is_some_and(|stated| stated.assignment.no_redirect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        Packet,
        auth::{
            Rules,
            tests::{at, core, credentials, prompts, register},
        },
        table::{Assignment, Change},
        tests::{EDGE, HOME, addr, apply},
    };

    const CLIENT: &str = "203.0.113.7:40000";

    fn take(core: &mut Core, s: u64, local: &str, text: &str) -> Vec<Output> {
        let mut out = Vec::new();
        core.handle_packet(
            at(s),
            &Packet::udp(addr(CLIENT), addr(local), text.as_bytes()),
            &mut out,
        );
        out
    }

    fn shared(out: &[Output]) -> Vec<&str> {
        fn aor(output: &Output) -> Option<&str> {
            match output {
                Output::Share { aor } => Some(aor),
                _ => None,
            }
        }
        out.iter().filter_map(aor).collect()
    }

    /// A REGISTER with credentials for a nonce that the home gave.
    fn proven(serial: u32, name: &str, password: &str) -> String {
        let mut home = core("home", HOME, Rules::default());
        let out = take(&mut home, 60, HOME, &register(900 + serial, ""));
        let [Output::Send { payload, .. }] = out.as_slice() else { panic!("{out:?}") };
        let mut prompts = prompts(&String::from_utf8_lossy(payload));
        register(serial, &credentials(&mut prompts[0], name, password))
    }

    /// An edge that has seen alice come back after a redirect.
    fn edge(rules: Rules) -> Core {
        let mut edge = core("edge", EDGE, rules);
        assert_eq!(shared(&take(&mut edge, 0, EDGE, &register(1, ""))), [""; 0]);
        let out = take(&mut edge, 60, EDGE, &register(2, ""));
        let key = edge.table().key("alice@example.com");
        assert_eq!(edge.table().learned().get(&key), Some(Lesson::NoRedirect), "{out:?}");
        assert!(shared(&out).is_empty(), "without credentials");
        edge
    }

    #[test]
    fn a_lesson_is_shared_when_its_client_proves_who_it_is_and_not_when_the_table_has_it() {
        let mut edge = edge(Rules::default());
        for (serial, name, password) in [(3, "alice", "wrong"), (4, "bob", "secret")] {
            let out = take(&mut edge, 61, EDGE, &proven(serial, name, password));
            assert!(shared(&out).is_empty(), "{name} {out:?}");
            assert!(!out.iter().any(|it| matches!(it, Output::Charge { .. })), "the home judges");
        }
        let good = proven(5, "alice", "secret");
        let out = take(&mut edge, 61, EDGE, &good);
        assert_eq!(shared(&out), ["alice@example.com"]);
        let sent = |output: &Output| matches!(output, Output::Send { flow, .. } if flow.peer == addr(HOME));
        assert!(out.iter().any(sent), "it is proxied as ever");
        // The same credentials again prove nothing.
        let again = good.replace("z9hG4bK", "z9hG4bKagain");
        assert!(shared(&take(&mut edge, 62, EDGE, &again)).is_empty());
        assert_eq!(edge.counters().lessons_proven, 1);

        let assignment = Assignment { server: Some(1), no_redirect: true, ..Assignment::default() };
        let aor = "alice@example.com".to_owned();
        apply(edge.table_mut(), vec![Change::Assign { aor, assignment }]);
        assert!(shared(&take(&mut edge, 63, EDGE, &proven(6, "alice", "secret"))).is_empty());
    }

    #[test]
    fn the_request_that_teaches_the_lesson_may_prove_it() {
        let mut edge = core("edge", EDGE, Rules::default());
        take(&mut edge, 0, EDGE, &register(1, ""));
        let out = take(&mut edge, 60, EDGE, &proven(2, "alice", "secret"));
        assert_eq!(shared(&out), ["alice@example.com"]);
    }

    #[test]
    fn neither_a_source_that_is_not_asked_nor_a_host_that_asks_nobody_proves_a_lesson() {
        let mut trusting = edge(Rules { trusted: Box::new(|_| true), ..Rules::default() });
        assert!(shared(&take(&mut trusting, 61, EDGE, &register(3, ""))).is_empty());
        let mut off = edge(Rules::default());
        (off.auth, off.settings.auth) = (None, None);
        assert!(shared(&take(&mut off, 61, EDGE, &proven(3, "alice", "secret"))).is_empty());
    }
}
