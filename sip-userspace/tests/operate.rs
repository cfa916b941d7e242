//! An operator's day with the whole program: a daemon without XDP, its command line, its API.
#![allow(missing_docs)] // a test target

#[cfg(test)]
#[path = "operate/day.rs"]
mod day;
