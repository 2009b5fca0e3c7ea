//! Benchmarks of computing the next snapshot.

use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

use criterion::{Criterion, criterion_group};
use powa_collector::measured::{Schedule, ServerId};

criterion_group!(benches, bench);

fn bench(criterion: &mut Criterion) {
    let id = ServerId::new(4_711).expect("it is above zero");
    let schedule = Schedule::new(id, Duration::from_secs(300));
    let due = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (started, ended) = (due + Duration::from_millis(3), due + Duration::from_millis(250));
    let mut group = criterion.benchmark_group("schedule");
    group.bench_function("a snapshot is taken, and the next one is due", |bencher| {
        bencher.iter(|| {
            let (last, skipped) = black_box(schedule).after_snapshot(black_box(due), started, ended);
            (schedule.due(last, ended), skipped)
        });
    });
    group.finish();
}
