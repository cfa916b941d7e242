//! Long runs under load, in which everything is ended at random moments and nothing may be lost.

mod accounts;
mod operator;
mod registrant;
pub mod restart;
