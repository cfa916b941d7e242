//! Crashes at every byte, rewrites, damage, two processes, and how fast it is.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::*;

type Records = Vec<(Vec<u8>, bool)>;

fn records(directory: &Path) -> (Records, Found) {
    let mut records = Vec::new();
    let found = read::all(directory, &segment::boot_id(), &mut |record, same_boot| {
        records.push((record.to_vec(), same_boot));
    });
    (records, found.unwrap())
}

fn batch(ticket: u64, records: &[&[u8]]) -> Batch {
    let mut bytes = Vec::new();
    records.iter().for_each(|record| push_record(&mut bytes, record));
    Batch { bytes, ticket }
}

fn open(directory: &Path) -> (BindingLog, channel::Receiver<Confirmed>) {
    let (confirmed, receiver) = channel::unbounded();
    let confirm = move |it| confirmed.send(it).unwrap();
    (BindingLog::open(directory, &mut |_, _| {}, confirm).unwrap().0, receiver)
}

fn wait(confirmed: &channel::Receiver<Confirmed>, ticket: u64) {
    while confirmed.recv_timeout(Duration::from_secs(10)).unwrap()
        != (Confirmed { ticket, written: true })
    {}
}

#[test]
fn what_was_confirmed_is_read_again_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    for round in 0..3u64 {
        let (log, confirmed) = open(directory);
        for number in 1..=10u64 {
            log.append(batch(number, &[&[round as u8, number as u8]])).unwrap();
        }
        wait(&confirmed, 10);
        assert!(!log.failed());
    }
    let (records, found) = records(directory);
    let expected = (0..3u8).flat_map(|round| (1..=10).map(move |n| (vec![round, n], true)));
    let expected: Vec<_> = expected.collect();
    assert_eq!((records, found.torn.len(), found.files.len()), (expected, 0, 3));
}

/// A process that dies leaves some first part of what it wrote, and no less than it confirmed.
#[test]
fn cut_at_any_byte_every_confirmed_record_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let file = directory.path().join("000000000001.log");
    let (kept, its_file) = (sizes.clone(), file.clone());
    let (done, receiver) = channel::unbounded();
    let confirm = move |confirmed: Confirmed| {
        let len = std::fs::metadata(&its_file).unwrap().len();
        kept.lock().unwrap().push((len as usize, confirmed.ticket));
        done.send(confirmed.ticket).unwrap();
    };
    let (log, _) = BindingLog::open(directory.path(), &mut |_, _| {}, confirm).unwrap();
    for ticket in 1..=60u64 {
        let record = vec![ticket as u8; 1 + ticket as usize * 7 % 90];
        log.append(batch(ticket, &[&record])).unwrap();
        if ticket % 7 == 0 {
            while receiver.recv().unwrap() < ticket {}
        }
    }
    drop(log);
    let whole = std::fs::read(&file).unwrap();
    let sizes = sizes.lock().unwrap();
    assert_eq!(sizes.last().unwrap().1, 60);
    let cut = tempfile::tempdir().unwrap();
    for len in 0..=whole.len() {
        std::fs::write(cut.path().join("000000000001.log"), &whole[..len]).unwrap();
        let (records, found) = records(cut.path());
        assert!(found.damaged.is_empty(), "{len}: {found:?}");
        let confirmed =
            sizes.iter().filter(|(size, _)| *size <= len).map(|(_, ticket)| *ticket).max();
        let read: Vec<u8> = records.iter().map(|(record, _)| record[0]).collect();
        assert!(read.len() as u64 >= confirmed.unwrap_or(0), "{len}: {read:?} {confirmed:?}");
        assert!(read.iter().copied().eq(1..=read.len() as u8), "{len}: {read:?}");
    }
}

#[test]
fn a_torn_end_is_passed_over_and_a_damaged_middle_named() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (log, confirmed) = open(directory);
    log.append(batch(3, &[b"one", b"two", b"three"])).unwrap();
    wait(&confirmed, 3);
    drop(log);
    let file = directory.join("000000000001.log");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[segment::HEAD + 15 + 13] ^= 1;
    bytes.extend_from_slice(&[0; 100]);
    std::fs::write(&file, &bytes).unwrap();
    let (log, confirmed) = open(directory);
    log.append(batch(1, &[b"four"])).unwrap();
    wait(&confirmed, 1);
    drop(log);
    let (read, found) = records(directory);
    let read: Vec<_> = read.iter().map(|(record, _)| record.as_slice()).collect();
    assert_eq!(read, [&b"one"[..], b"three", b"four"]);
    assert_eq!(found.damaged, [(file.clone(), segment::HEAD + 15, 15)]);
    assert_eq!(found.torn, [(file, 100)]);
}

#[test]
fn a_file_of_another_boot_or_without_a_head_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = b"HWbind1\n".to_vec();
    bytes.resize(segment::HEAD, b'x');
    push_record(&mut bytes, b"old");
    std::fs::write(directory.path().join("000000000001.log"), &bytes).unwrap();
    bytes[0] = 0;
    std::fs::write(directory.path().join("000000000002.log"), &bytes).unwrap();
    let (records, found) = records(directory.path());
    assert_eq!(records, [(b"old".to_vec(), false), (b"old".to_vec(), false)]);
    assert_eq!(found.damaged.len(), 1);
}

#[test]
fn a_rewrite_makes_the_older_files_superfluous() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (log, confirmed) = open(directory);
    log.append(batch(1, &[b"old"])).unwrap();
    assert!(log.rewrite_begin());
    log.append(batch(0, &[b"old, again"])).unwrap();
    log.append(batch(2, &[b"new"])).unwrap();
    wait(&confirmed, 2);
    assert_eq!(records(directory).0.len(), 3, "nothing goes before the end");
    assert!(log.rewrite_end());
    log.append(batch(3, &[b"newer"])).unwrap();
    wait(&confirmed, 3);
    assert_eq!(log.size().1, 1);
    drop(log);
    let read: Vec<_> = records(directory).0.into_iter().map(|(record, _)| record).collect();
    assert_eq!(read, [&b"old, again"[..], b"new", b"newer"]);
}

#[test]
fn two_processes_never_share_a_log() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _confirmed) = open(directory.path());
    let error = BindingLog::open(directory.path(), &mut |_, _| {}, |_| {}).unwrap_err();
    assert!(matches!(error, LogError::InUse { .. }), "{error}");
    drop(log);
    open(directory.path());
}

#[test]
fn a_failed_write_is_told_and_the_next_one_begins_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("log");
    let (log, confirmed) = open(&place);
    log.append(batch(1, &[b"one"])).unwrap();
    wait(&confirmed, 1);
    // A file that is too large is followed by another, which can't be made now.
    let big = vec![0; 1 << 20];
    for ticket in 2..=65 {
        log.append(batch(ticket, &[&big])).unwrap();
        wait(&confirmed, ticket);
    }
    std::fs::rename(&place, directory.path().join("away")).unwrap();
    log.append(batch(66, &[b"lost"])).unwrap();
    let told = confirmed.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!((told, log.failed()), (Confirmed { ticket: 66, written: false }, true));
    std::fs::rename(directory.path().join("away"), &place).unwrap();
    log.append(batch(67, &[b"kept"])).unwrap();
    wait(&confirmed, 67);
    assert!(!log.failed());
    drop(log);
    assert_eq!(records(&place).0.last().unwrap().0, b"kept");
}

/// Not a target by itself: prints what one writer takes, and fails only if it is hopeless.
#[test]
fn many_records_a_second_are_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (log, confirmed) = open(directory.path());
    let record = vec![7u8; 250];
    let (began, mut ticket) = (Instant::now(), 0u64);
    for _ in 0..2_000 {
        let mut next = Batch::default();
        for _ in 0..64 {
            push_record(&mut next.bytes, &record);
            ticket += 1;
        }
        next.ticket = ticket;
        while let Err(back) = log.append(next) {
            next = back;
            std::thread::yield_now();
        }
    }
    wait(&confirmed, ticket);
    let rate = ticket as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} records a second confirmed");
    assert!(rate > 20_000.0, "{rate}");
}
