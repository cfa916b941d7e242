//! What hosts say to each other: JSON in frames that begin with their length.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::core::returning::Seen;

/// The version of what follows.
pub(super) const PROTOCOL: u32 = 1;
/// Longest frame.
const FRAME_MAX: usize = 64 << 10;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// When did this client last register at yours by itself?
    Seen {
        /// The client's key.
        key: [u64; 2],
    },
}

/// An answer; they come in the order of the questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// To [`Ask::Seen`].
    Seen {
        /// The client's key.
        key: [u64; 2],
        /// What is known of it.
        seen: Seen,
    },
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
    Strange(#[from] serde_json::Error),
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

    pub(super) async fn say<T: Serialize>(&mut self, said: &T) -> Result<(), Broken> {
        let frame = bytes::Bytes::from(serde_json::to_vec(said)?);
        Ok(futures_util::SinkExt::send(&mut self.0, frame).await?)
    }

    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> Result<T, Broken> {
        let frame = futures_util::StreamExt::next(&mut self.0).await.ok_or(Broken::Closed)??;
        Ok(serde_json::from_slice(&frame)?)
    }
}
