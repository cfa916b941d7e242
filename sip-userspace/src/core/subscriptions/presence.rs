//! The package `presence` (RFC 3856): PIDF documents (RFC 3863), as published or made from bindings.
//!
//! Composition is the least that RFC 3903 allows: the latest publication is the state, as it was
//! published, extensions and all. A client that publishes nothing is open while it has a binding,
//! else closed. A document is taken only if it is well-formed, bounded in depth, without a document
//! type (so without entities of its own), and about the client that publishes it.

use std::sync::Arc;

use quick_xml::{
    XmlVersion,
    events::{BytesStart, Event},
    name::{Namespace, ResolveResult},
    reader::NsReader,
};

use super::{package::View, xml};
use crate::sip::{aor::Aor, uri::Uri};

/// The namespace of PIDF.
const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
/// Elements inside each other at most.
const DEPTH_MAX: usize = 32;

/// The state of a client.
pub(super) fn document(view: &View<'_>) -> Arc<[u8]> {
    let now_s = view.now.mono_s();
    let live = view.client.publications.iter().filter(|it| it.expires_s > now_s);
    if let Some(latest) = live.max_by_key(|it| it.number) {
        return Arc::clone(&latest.body);
    }
    let there = view.bindings.iter().any(|binding| binding.expires_s > now_s);
    let basic = if there { "open" } else { "closed" };
    let entity = xml::uri(&view.client.aor);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<presence \
         xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{entity}\"><tuple id=\"registration\">\
         <status><basic>{basic}</basic></status></tuple></presence>\r\n"
    )
    .into_bytes()
    .into()
}

/// Why a document is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unread {
    #[error("Body Is Not Well-Formed")]
    Form,
    #[error("Body Is No Presence Document")]
    Root,
    #[error("Entity Is Not The Publisher")]
    Entity,
}

/// Whether a document may be published for this client.
pub(super) fn check(body: &[u8], aor: &Aor) -> Result<(), Unread> {
    let text = std::str::from_utf8(body).map_err(|_| Unread::Form)?;
    let mut reader = NsReader::from_str(text);
    let (mut depth, mut seen) = (0usize, false);
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(|_| Unread::Form)?;
        let (element, opens) = match &event {
            Event::Start(element) => (Some(element), 1),
            Event::Empty(element) => (Some(element), 0),
            _ => (None, 0),
        };
        if let Some(element) = element {
            if depth == 0 {
                let pidf = namespace == ResolveResult::Bound(Namespace(PIDF));
                if seen || !pidf || element.local_name().as_ref() != "presence" {
                    return Err(Unread::Root);
                }
                entity(element, aor)?;
                seen = true;
            }
            if depth >= DEPTH_MAX || element.attributes().any(|it| it.is_err()) {
                return Err(Unread::Form);
            }
            depth = depth.saturating_add(opens);
            continue;
        }
        match event {
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Eof if seen && depth == 0 => return Ok(()),
            Event::Eof | Event::DocType(_) | Event::PI(_) => return Err(Unread::Form),
            Event::Text(text) if depth == 0 && !text.trim_ascii().is_empty() => {
                return Err(Unread::Form);
            }
            Event::CData(_) | Event::GeneralRef(_) if depth == 0 => return Err(Unread::Form),
            _ => {}
        }
    }
}

/// Whether the root's entity, a `sip` or `pres` URI, is this AoR.
fn entity(root: &BytesStart<'_>, aor: &Aor) -> Result<(), Unread> {
    let entity =
        root.try_get_attribute("entity").map_err(|_| Unread::Form)?.ok_or(Unread::Entity)?;
    let value = entity.normalized_value(XmlVersion::Implicit1_0).map_err(|_| Unread::Form)?;
    let sip = match value.strip_prefix("pres:") {
        Some(rest) => format!("sip:{rest}"),
        None => value.into_owned(),
    };
    let named = Uri::parse(sip.as_bytes()).ok().and_then(Uri::sip).and_then(|uri| Aor::of(&uri));
    if named.as_ref() == Some(aor) { Ok(()) } else { Err(Unread::Entity) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aor() -> Aor {
        Uri::parse(b"sip:alice@example.com")
            .ok()
            .and_then(Uri::sip)
            .and_then(|uri| Aor::of(&uri))
            .unwrap()
    }

    fn root(rest: &str) -> String {
        format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"pres:alice@example.com\">{rest}</presence>"
        )
    }

    #[test]
    fn documents_are_taken_as_they_are_or_not_at_all() {
        let good = root("<tuple id=\"a\"><status><basic>open</basic></status></tuple>");
        let prefixed = good
            .replace("<presence xmlns=", "<p:presence xmlns:p=")
            .replace("</presence", "</p:presence");
        let deep = |depth: usize| root(&("<a>".repeat(depth) + &"</a>".repeat(depth)));
        for (text, expected) in [
            (good.clone(), Ok(())),
            (format!("<?xml version=\"1.0\"?>\n{good}\n<!-- x -->"), Ok(())),
            (prefixed, Ok(())),
            (deep(DEPTH_MAX - 1), Ok(())),
            (root("<note>&lt;&#65;</note>"), Ok(())),
            (good.replace("pres:", "sip:").replace("example.com", "EXAMPLE.com"), Ok(())),
            (deep(DEPTH_MAX), Err(Unread::Form)),
            (good.replace("</status>", ""), Err(Unread::Form)),
            (good.replace("</presence>", ""), Err(Unread::Form)),
            (format!("{good}x"), Err(Unread::Form)),
            (format!("{good}{good}"), Err(Unread::Root)),
            (format!("<!DOCTYPE presence [<!ENTITY a \"b\">]>{good}"), Err(Unread::Form)),
            (good.replace("id=\"a\"", "id=\"a\" id=\"a\""), Err(Unread::Form)),
            (good.replace("id=\"a\"", "id"), Err(Unread::Form)),
            (good.replace("ns:pidf", "ns:other"), Err(Unread::Root)),
            (good.replace("presence", "absence"), Err(Unread::Root)),
            (good.replace("alice", "bob"), Err(Unread::Entity)),
            (good.replace("entity", "x"), Err(Unread::Entity)),
            (String::new(), Err(Unread::Form)),
            ("{}".into(), Err(Unread::Form)),
        ] {
            assert_eq!(check(text.as_bytes(), &aor()), expected, "{text}");
        }
        assert_eq!(check(b"\xff\xfe", &aor()), Err(Unread::Form));
    }

    #[test]
    fn no_cut_of_a_document_is_one() {
        let good = root("<tuple id=\"a\"><note>x &amp; y</note></tuple>");
        for cut in 0..good.len() {
            assert!(check(&good.as_bytes()[..cut], &aor()).is_err(), "{cut}");
        }
    }
}
