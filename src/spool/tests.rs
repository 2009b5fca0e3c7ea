//! Tests of the public interface of spools.

use super::log::Store;
use super::*;
use futures_util::FutureExt;
use futures_util::future::join_all;
use std::path::Path;

fn config(memory: usize, directory: Option<&Path>) -> config::Spool {
    config::Spool { memory, total_memory: 16 << 20, limit: 2 << 20, directory: directory.map(Into::into) }
}

fn some_bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| ((n * 7 + seed) % 251) as u8).collect()
}

async fn write(writer: &mut Writer, bytes: &[u8]) {
    writer.block().extend_from_slice(bytes);
    if writer.is_full() {
        writer.flush().await.unwrap();
    }
}

async fn finish(writer: Writer) -> SpooledRows {
    writer.finish("n".into(), "t".into(), 1).await.unwrap()
}

async fn read_back(rows: &mut SpooledRows) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let part = rows.next_part().await.unwrap();
        if part.is_empty() {
            return all;
        }
        all.extend_from_slice(&part);
    }
}

async fn is_in_memory(spool: &Spool) -> bool {
    matches!(spool.shared.log.lock().await.store, Store::Empty | Store::Memory(_))
}

fn spool_of(config: &config::Spool) -> Spool {
    Spool::new(&Spools::new(config), config)
}

#[tokio::test]
async fn what_is_not_kept_takes_no_room_and_is_bounded_all_the_same() {
    let spool = Spool::discarding(&config(0, Some(Path::new("/nowhere"))));
    let mut writer = spool.writer();
    write(&mut writer, &some_bytes(1 << 20, 0)).await;
    let mut rows = finish(writer).await;
    assert_eq!((rows.rows(), rows.bytes()), (1, 1 << 20));
    assert!(read_back(&mut rows).await.is_empty());
    let mut writer = spool.writer();
    writer.block().resize(2 << 20, 0);
    assert!(writer.flush().await.is_err());
}

#[tokio::test]
async fn what_goes_in_comes_out_in_order_and_again() {
    for (bound, size) in [(1000, 0), (1000, 10), (0, 10), (100, 1000), (100, 300_000), (200_000, 300_000)] {
        for piece in [77, 40_000, 500_000] {
            let case = format!("bound {bound}, size {size}, piece {piece}");
            let bytes = some_bytes(size, 0);
            let spool = spool_of(&config(bound, None));
            let mut writer = spool.writer();
            for piece in bytes.chunks(piece) {
                write(&mut writer, piece).await;
            }
            let mut rows = finish(writer).await;
            assert_eq!(is_in_memory(&spool).await, size <= bound, "{case}");
            assert_eq!(rows.bytes(), size as u64, "{case}");
            assert!(rows.extents.len() <= 1, "who writes alone has it in one piece: {case}");
            rows.next_part().await.unwrap();
            rows.rewind();
            assert_eq!(read_back(&mut rows).await, bytes, "{case}");
            rows.rewind();
            assert_eq!(read_back(&mut rows).await, bytes, "again: {case}");
        }
    }
}

#[tokio::test]
async fn datasources_that_are_written_side_by_side_stay_apart() {
    for bound in [0, 500_000, 10_000_000] {
        let spool = spool_of(&config(bound, None));
        let contents: Vec<_> = (0..5).map(|n| some_bytes(200_000 + 10_000 * n, n)).collect();
        let mut writers: Vec<_> = contents.iter().map(|_| spool.writer()).collect();
        for turn in 0..300 {
            for (writer, content) in writers.iter_mut().zip(&contents) {
                if let Some(piece) = content.chunks(1000).nth(turn) {
                    write(writer, piece).await;
                }
            }
        }
        // A datasource that fails does not affect the others.
        drop(writers.remove(2));
        let mut rows = join_all(writers.into_iter().map(finish)).await;
        for (rows, content) in rows.iter_mut().zip([0, 1, 3, 4].map(|n| &contents[n])) {
            assert_eq!(&read_back(rows).await, content, "bound {bound}");
        }
    }
}

#[tokio::test]
async fn a_block_that_nobody_waits_for_any_more_spoils_nothing() {
    for bound in [0, 40_000] {
        let spool = spool_of(&config(bound, None));
        let mut early = spool.writer();
        write(&mut early, &some_bytes(BLOCK, 1)).await;
        // The first of them creates the file, unless it exists.
        for _ in 0..3 {
            let mut given_up = spool.writer();
            given_up.block().resize(BLOCK, 0);
            // Usually dropped before it is done, unless the writing thread is faster.
            drop(given_up.flush().now_or_never());
            write(&mut early, &some_bytes(BLOCK, 2)).await;
        }
        let expected = [some_bytes(BLOCK, 1), some_bytes(BLOCK, 2).repeat(3)].concat();
        assert_eq!(read_back(&mut finish(early).await).await, expected, "bound {bound}");
    }
}

#[tokio::test]
async fn all_datasources_together_stay_within_the_bound_and_share_one_file() {
    let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let spool = spool_of(&config(10_000, None));
    let mut kept = Vec::new();
    for n in 0..100 {
        let mut writer = spool.writer();
        write(&mut writer, &some_bytes(100, n)).await;
        kept.push(finish(writer).await);
    }
    assert!(is_in_memory(&spool).await);
    let before = open_files();
    for n in 100..1000 {
        let mut writer = spool.writer();
        write(&mut writer, &some_bytes(100, n)).await;
        kept.push(finish(writer).await);
    }
    assert!(!is_in_memory(&spool).await);
    // Other tests in this process open files too, but not hundreds.
    assert!(open_files() < before + 100);
    for (n, rows) in kept.iter_mut().enumerate() {
        assert_eq!(read_back(rows).await, some_bytes(100, n));
    }
}

#[tokio::test]
async fn spools_share_the_memory_and_what_does_not_fit_is_in_a_file() {
    let config = config::Spool { total_memory: 300_000, ..config(200_000, None) };
    let spools = Spools::new(&config);
    let mut all = Vec::new();
    for number in 0..10 {
        let spool = Spool::new(&spools, &config);
        let mut writer = spool.writer();
        for piece in some_bytes(100_000, number).chunks(1000) {
            write(&mut writer, piece).await;
        }
        all.push((finish(writer).await, spool));
        assert!(spools.budget.used() <= config.total_memory, "{}", spools.budget.used());
    }
    let mut in_memory = 0;
    for (_, spool) in &all {
        in_memory += usize::from(is_in_memory(spool).await);
    }
    assert!((1..=3).contains(&in_memory), "{in_memory}");
    for (number, (rows, _)) in all.iter_mut().enumerate() {
        assert_eq!(read_back(rows).await, some_bytes(100_000, number));
    }
    // Once memory is freed, the next spool is in memory again.
    drop(all);
    assert_eq!(spools.budget.used(), 0);
    let spool = Spool::new(&spools, &config);
    let mut writer = spool.writer();
    write(&mut writer, &some_bytes(100_000, 0)).await;
    assert!(is_in_memory(&spool).await);
}

#[tokio::test]
async fn all_memory_is_given_back_whatever_becomes_of_a_spool() {
    let config = config(1 << 20, Some(Path::new("/nowhere/at/all")));
    let spools = Spools::new(&config);
    let spool = Spool::new(&spools, &config);
    let (mut done, mut given_up) = (spool.writer(), spool.writer());
    write(&mut done, &some_bytes(20_000, 1)).await;
    write(&mut given_up, b"half").await;
    assert!(spools.budget.used() >= 20_000 + BLOCK);
    drop(given_up);
    let rows = finish(done).await;
    let loading = spool.shared.log.lock().await.read(0..10).await.unwrap();
    drop((rows, spool));
    assert!(spools.budget.used() > 0, "a part that is being loaded keeps it");
    drop(loading);
    assert_eq!(spools.budget.used(), 0);
    // A broken spool frees its memory, even while its rows exist.
    let spool = Spool::new(&spools, &config);
    let mut early = spool.writer();
    write(&mut early, &some_bytes(20_000, 1)).await;
    let early = finish(early).await;
    let mut late = spool.writer();
    late.block().resize(2 << 20, 0);
    late.flush().await.unwrap_err();
    drop(late);
    assert_eq!(spools.budget.used(), 0);
    drop(early);
}

#[tokio::test]
async fn no_more_is_kept_than_the_limit_in_memory_or_in_the_file() {
    for bound in [0, 4 << 20] {
        let spool = spool_of(&config(bound, None));
        let (mut one, mut other) = (spool.writer(), spool.writer());
        for _ in 0..1024 {
            write(&mut one, &[1; 1024]).await;
            write(&mut other, &[2; 1024]).await;
        }
        finish(one).await;
        other.block().push(3);
        let error = spool.unless_broken(other.finish("n".into(), "t".into(), 1)).await.err().unwrap().to_string();
        assert!(error.contains("larger than spool.limit (2 MB)"), "{error}");
    }
}

#[tokio::test]
async fn a_spool_that_is_broken_says_why_and_ends_the_work() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for directory in [Path::new("/nowhere/at/all"), file.path()] {
        let spool = spool_of(&config(10, Some(directory)));
        let mut early = spool.writer();
        write(&mut early, b"within").await;
        let mut early = finish(early).await;
        let mut late = spool.writer();
        let never_ending = async {
            late.block().resize(BLOCK, 0);
            late.flush().await.unwrap_err();
            std::future::pending::<()>().await;
        };
        let error = spool.unless_broken(never_ending).await.unwrap_err().to_string();
        assert!(error.contains(directory.to_str().unwrap()) && error.contains("os error"), "{error}");
        // It reports the same error from then on, and keeps nothing.
        let at_the_end = async { finish(spool.writer()).await };
        assert_eq!(spool.unless_broken(at_the_end).await.err().unwrap().to_string(), error);
        assert_eq!(early.next_part().await.unwrap_err().to_string(), error);
    }
}
