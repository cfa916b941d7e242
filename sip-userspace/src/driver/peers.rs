//! What other hosts ask, and what they answer.

use sip_common::abi::ClientKey;

use super::Host;
use crate::{
    core::{handover::Taken, returning::Seen},
    net::{
        clock,
        peers::{Answer, Event, Question},
    },
};

impl Host {
    /// Asks a home when a client was last there.
    pub(super) fn ask_home(&mut self, key: ClientKey, server: u16) {
        let ClientKey(key) = key;
        self.ask_peer(server, Question::Seen { key });
    }

    /// Asks the host that a server is; one that can't be asked has answered nothing.
    fn ask_peer(&mut self, server: u16, question: Question) {
        let home = self.core.table().server(server);
        let unasked = match home.and_then(|home| Some((home.peer?, home))) {
            Some((address, home)) => self.peers.ask(address, &home.contact.host, question),
            None => Some(question),
        };
        if let Some(question) = unasked {
            self.answered(question, None);
        }
    }

    pub(super) fn peer_event(&mut self, event: Event) {
        match event {
            Event::Asked { question, reply } => {
                let answer = match question {
                    Question::Seen { key } => {
                        Answer::Seen(self.core.seen(&ClientKey(key), clock::now()))
                    }
                    Question::Take(_) => Answer::Taken(Taken::Failed),
                };
                // Who has hung up needs no answer.
                let _ = reply.send(answer);
            }
            Event::Answered { question, answer } => self.answered(question, answer),
        }
    }

    fn answered(&mut self, question: Question, answer: Option<Answer>) {
        let mut out = std::mem::take(&mut self.out);
        match question {
            Question::Seen { key } => {
                let seen = match answer {
                    Some(Answer::Seen(seen)) => seen,
                    _ => Seen::Unknown,
                };
                self.core.handle_seen(ClientKey(key), seen, clock::now(), &mut out);
            }
            Question::Take(_) => {}
        }
        self.carry_out(out);
    }
}
