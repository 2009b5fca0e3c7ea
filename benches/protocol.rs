//! Benchmarks of parsing a request and writing an answer.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group};
use powa_collector::measured::{Request, ServerId, Status, status_objects};

criterion_group!(benches, bench);

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("protocol");
    let many = (1..=1_000).map(|id| id.to_string()).collect::<Vec<_>>().join(" ");
    let requests = [
        ("parse RELOAD", "RELOAD r1".to_owned()),
        ("parse WORKERS_STATUS of 1,000 servers", format!("WORKERS_STATUS r1 {many}")),
        ("parse REFRESH_DB_CAT of 3 databases", "REFRESH_DB_CAT r1 3 3 shop billing reports".to_owned()),
        ("parse what is no request", "\u{1F600}".repeat(1_999)),
    ];
    for (name, payload) in requests {
        group.bench_function(name, |bencher| bencher.iter(|| Request::parse(black_box(&payload))));
    }
    let request = Request::parse("WORKERS_STATUS r1");
    let ids = (1..=1_000).filter_map(ServerId::new);
    let statuses: BTreeMap<_, _> = ids.map(|id| (id, Status::Running)).collect();
    group.bench_function("print the status of 1,000 servers", |bencher| {
        bencher.iter(|| {
            let objects = status_objects(&request, black_box(&statuses));
            objects.into_iter().map(|object| request.answer(&Ok(object)).len()).sum::<usize>()
        });
    });
    group.finish();
}
