//! State of clients on its way to their home.

mod batch;

pub use batch::{Batch, Taken};
