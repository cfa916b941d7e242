//! The benches, one a file.

pub mod moves;
pub mod plan;
pub mod program;
pub mod proxy;
pub mod redirect;
pub mod register;
pub mod scan;
pub mod table;
pub mod tune;
