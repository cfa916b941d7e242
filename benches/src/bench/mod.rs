//! The benches, one a file.

pub mod program;
pub mod redirect;
pub mod scan;
pub mod table;
pub mod tune;
