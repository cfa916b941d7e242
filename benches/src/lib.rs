//! Load generator, searches, reports and plots behind the binary `homeward-bench`.
//!
//! A bench makes network namespaces of its own ([`lab`]), puts a system under test on the far end
//! of a pair of interfaces ([`system`]), drives it with live frames ([`generator`]), searches for
//! the highest rate without loss ([`search`]) in interleaved rounds ([`rounds`]), and leaves a
//! report, histograms and plots ([`report`], [`hlog`], [`plot`]).
//!
//! Invariants: traffic never leaves the namespaces of the run; everything that is made is taken
//! down when it goes out of scope, on a signal too, and the next run clears what a crash has left;
//! every loop is bounded in count or time. Deliberately absent: absolute targets (a figure is a
//! ratio of two systems that ran side by side), and any setting of the host that is not put back.

pub mod answer;
pub mod backbone;
pub mod bench;
pub mod contest;
pub mod credentials;
pub mod etcd;
pub mod filling;
pub mod generator;
pub mod hlog;
pub mod host;
pub mod interrupt;
pub mod kamailio;
pub mod kernel;
pub mod lab;
#[path = "../ebpf/src/layout.rs"]
pub mod layout;
pub mod load;
pub mod message;
pub mod options;
pub mod parse;
pub mod pins;
pub mod plot;
mod pod;
pub mod report;
pub mod rounds;
pub mod search;
pub mod show;
pub mod sim;
pub mod soak;
pub mod system;
pub mod table;
