//! What a SUBSCRIBE or a PUBLISH is refused with.

use rsip::headers;

use super::{package::Package, presence::Unread};
use crate::{
    core::{Core, Counters, Now, Output, requests::Place},
    sip::{answer::Answer, fault::Fault, request::Request},
};

/// Why a SUBSCRIBE or a PUBLISH is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0}")]
    Fault(#[from] Fault),
    #[error("Bad Event")]
    Event,
    #[error("Not Acceptable")]
    Accept,
    #[error("Interval Too Brief")]
    TooBrief,
    #[error("Dialog Too Long")]
    TooLong,
    #[error("CSeq Out Of Order")]
    OutOfOrder,
    #[error("Subscription Does Not Exist")]
    NoDialog,
    #[error("May Not Watch")]
    Forbidden,
    #[error("Too Many Watchers")]
    Watchers,
    #[error("Too Many Subscriptions")]
    Subscriptions,
    #[error("Subscriptions Full")]
    Full,
    #[error("Unsupported Media Type")]
    MediaType,
    #[error("No Publication With This Tag")]
    Tag,
    #[error("Body Too Long")]
    BodyTooLong,
    #[error("{0}")]
    Body(#[from] Unread),
    #[error("Body Missing")]
    NoBody,
}

impl Core {
    /// Refuses a SUBSCRIBE or a PUBLISH.
    pub(super) fn refuse_event(
        &mut self,
        at: &Place,
        request: &Request<'_>,
        refused: Refused,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let counter = match refused {
            Refused::Watchers | Refused::Subscriptions | Refused::Full => {
                &mut self.counters.subscriptions_capped
            }
            _ => &mut self.counters.refused,
        };
        Counters::add(counter);
        let phrase = |status| Answer::new(status).phrase(refused);
        let answer = match refused {
            Refused::Fault(fault) => phrase(fault.status()),
            Refused::Event => {
                let names = Package::ALL.map(Package::name).join(", ");
                let mut answer = phrase(489);
                answer.push_line(&[b"Allow-Events: ", names.as_bytes()]);
                answer
            }
            Refused::Accept => phrase(406),
            Refused::TooBrief => {
                let min_s = self.settings.subscriptions.expires_min_s;
                phrase(423).with(headers::MinExpires::from(min_s))
            }
            Refused::OutOfOrder => phrase(500),
            Refused::NoDialog => phrase(481),
            Refused::TooLong | Refused::Forbidden | Refused::Watchers | Refused::Subscriptions => {
                phrase(403)
            }
            Refused::Full => phrase(503).with(headers::RetryAfter::from("60".to_owned())),
            Refused::MediaType => {
                phrase(415).with(headers::Accept::from(Package::Presence.content_type()))
            }
            Refused::Tag => phrase(412),
            Refused::BodyTooLong => phrase(413),
            Refused::Body(_) | Refused::NoBody => phrase(400),
        };
        let status = answer.status();
        let payload = self.signed(answer).compose(request.message, &at.path, at.tag);
        self.send_once(at, status, payload, now, out);
    }
}
