//! Benchmarks of pure functions that run for every row, notification or wait.

mod copy_text;
mod protocol;
mod schedule;

criterion::criterion_main!(copy_text::benches, protocol::benches, schedule::benches);
