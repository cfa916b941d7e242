//! What other hosts ask, and what they answer.

use sip_common::abi::ClientKey;

use super::Host;
use crate::{
    core::returning::Seen,
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
    pub(super) fn ask_peer(&mut self, server: u16, question: Question) {
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
                match question {
                    Question::Seen { key } => {
                        let seen = self.core.seen(&ClientKey(key), clock::now());
                        // Who has hung up needs no answer.
                        let _ = reply.send(Answer::Seen(seen));
                    }
                    Question::Take(batch) => self.take(&batch, reply),
                    Question::Load { .. } => {
                        let figures = self.core.load().figures().cloned();
                        let _ = reply.send(Answer::Load(figures.map(Box::new)));
                    }
                }
            }
            Event::Answered { question, answer } => self.answered(question, answer),
        }
    }

    fn answered(&mut self, question: Question, answer: Option<Answer>) {
        self.with_core(|core, now, out| match (question, answer) {
            (Question::Seen { key }, Some(Answer::Seen(seen))) => {
                core.handle_seen(ClientKey(key), seen, now, out);
            }
            (Question::Seen { key }, _) => {
                core.handle_seen(ClientKey(key), Seen::Unknown, now, out);
            }
            (Question::Take(batch), Some(Answer::Taken(taken))) => {
                core.handle_taken(batch.id, Some(taken), now, out);
            }
            (Question::Load { server }, Some(Answer::Load(Some(figures)))) => {
                core.hear_load(server, *figures, now);
            }
            (Question::Load { .. }, _) => {}
            (Question::Take(batch), _) => core.handle_taken(batch.id, None, now, out),
        });
    }
}
