//! What hosts say to each other, in frames that begin with their length: a greeting in JSON, which
//! any version can read, then questions and answers in postcard.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::core::{
    handover::{Batch, Taken},
    load::figures::Figures,
    returning::Seen,
};

/// The version of what follows.
pub(super) const PROTOCOL: u32 = 1;
/// Longest frame.
const FRAME_MAX: usize = 1 << 20;

/// The first that each side says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The cluster's id.
    pub cluster: String,
    /// The host's name.
    pub node: String,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// When did this client last register at yours by itself (invariant I7)?
    Seen {
        /// The client's key.
        key: [u64; 2],
    },
    /// Will you keep this: the clients' state is yours by the table, or is to become so?
    Take(Batch),
    /// What is your load?
    Load {
        /// Who is asked, for who asks.
        server: u16,
    },
}

/// An answer; they come in the order of the questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Question::Seen`].
    Seen(Seen),
    /// To [`Question::Take`].
    Taken(Taken),
    /// To [`Question::Load`]; none before the first window has ended.
    Load(Option<Box<Figures>>),
}

/// Why a conversation ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The connection.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The other side has gone.
    #[error("the connection was closed")]
    Closed,
    /// It says what is not understood.
    #[error("it speaks another language ({0}); run the same version on all hosts")]
    Strange(String),
    /// It is somebody else.
    #[error("it is of cluster {cluster}, protocol {protocol}; correct server set --peer")]
    Other {
        /// Its cluster.
        cluster: String,
        /// Its protocol.
        protocol: u32,
    },
    /// It does not answer.
    #[error("no answer in time")]
    Late,
}

impl Hello {
    /// Whether the other side is of the same cluster and language.
    pub(super) fn fits(&self, other: &Self) -> Result<(), Broken> {
        if self.cluster == other.cluster && self.protocol == other.protocol {
            return Ok(());
        }
        Err(Broken::Other { cluster: other.cluster.clone(), protocol: other.protocol })
    }
}

/// A connection that carries frames.
pub(super) struct Line<S>(Framed<S, LengthDelimitedCodec>);

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    pub(super) fn new(stream: S) -> Self {
        let codec = LengthDelimitedCodec::builder().max_frame_length(FRAME_MAX).new_codec();
        Self(Framed::new(stream, codec))
    }

    /// Says something of the conversation.
    pub(super) async fn say<T: Serialize>(&mut self, said: &T) -> Result<(), Broken> {
        self.send(postcard::to_stdvec(said).map_err(strange)?).await
    }

    /// Hears something of the conversation.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> Result<T, Broken> {
        postcard::from_bytes(&self.receive().await?).map_err(strange)
    }

    /// Says who this host is.
    pub(super) async fn greet(&mut self, own: &Hello) -> Result<(), Broken> {
        self.send(serde_json::to_vec(own).map_err(strange)?).await
    }

    /// Hears who the other host is.
    pub(super) async fn greeted(&mut self) -> Result<Hello, Broken> {
        serde_json::from_slice(&self.receive().await?).map_err(strange)
    }

    async fn send(&mut self, frame: Vec<u8>) -> Result<(), Broken> {
        Ok(futures_util::SinkExt::send(&mut self.0, bytes::Bytes::from(frame)).await?)
    }

    async fn receive(&mut self) -> Result<bytes::BytesMut, Broken> {
        Ok(futures_util::StreamExt::next(&mut self.0).await.ok_or(Broken::Closed)??)
    }
}

fn strange(error: impl std::fmt::Display) -> Broken {
    Broken::Strange(error.to_string())
}
