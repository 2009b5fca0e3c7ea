//! Benchmarks of prepending the leading columns to rows.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group};
use powa_collector::measured::RowPrefixer;

criterion_group!(benches, bench);

/// As the driver gives them: each row is a piece of its own.
struct Rows {
    name: &'static str,
    row: Vec<u8>,
    count: usize,
}

fn row(length: usize, pattern: &[u8]) -> Vec<u8> {
    let mut row: Vec<u8> = pattern.iter().copied().cycle().take(length - 1).collect();
    row.push(b'\n');
    row
}

fn bench(criterion: &mut Criterion) {
    const NUMBERS: &[u8] = b"16384\t10\t-4711081511\t0.0815\t";
    let cases = [
        Rows { name: "rows of 200 bytes", row: row(200, NUMBERS), count: 2_000 },
        Rows { name: "rows of 2 kB", row: row(2_000, NUMBERS), count: 200 },
        Rows { name: "rows of 40 kB", row: row(40_000, NUMBERS), count: 10 },
        Rows { name: "rows of 200 bytes, beyond ASCII", row: row(200, "größe\t42\t".as_bytes()), count: 2_000 },
        Rows { name: "rows of 200 bytes, not UTF-8", row: row(200, b"select 'caf\xe9'\t42\t"), count: 2_000 },
        Rows { name: "rows of 200 bytes, carriage returns", row: row(200, b"select\r1\t42\t"), count: 2_000 },
    ];
    let mut group = criterion.benchmark_group("copy_text");
    for Rows { name, row, count } in cases {
        group.throughput(Throughput::Bytes((row.len() * count) as u64));
        let mut out = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut prefixer = RowPrefixer::new(["3", "2026-01-01 00:00:00.123456+00", "16384"]);
                for _ in 0..count {
                    prefixer.push(black_box(&row), &mut out);
                    if out.len() > 8 * 1024 {
                        black_box(&out);
                        out.clear();
                    }
                }
                prefixer.finish(&mut out);
                prefixer.rows()
            });
        });
    }
    group.finish();
}
