// SPDX-License-Identifier: GPL-2.0
//! Many random histories on every kind of device, and power cuts in every write of some: `make soak`.

mod job;
mod options;
mod progress;

use clap::Parser;
use job::Job;
use options::Options;
use progress::Progress;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Mutex;

fn main() -> ExitCode {
    let jobs: VecDeque<Job> = Options::parse().jobs().into();
    let progress = Progress::new(&jobs);
    // Before the workers, which would wait for each other.
    jobs.iter().for_each(|job| drop(job.image()));
    let queue = Mutex::new(jobs);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        scope.spawn(|| progress.report());
        let workers: Vec<_> = (0..workers)
            .map(|_| scope.spawn(|| work(&queue, &progress)))
            .collect();
        for worker in workers {
            let _ = worker.join();
        }
        progress.finish();
    });
    println!("{}", progress.sum());
    match progress.failed() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn work(queue: &Mutex<VecDeque<Job>>, progress: &Progress) {
    loop {
        let Some(job) = queue.lock().unwrap().pop_front() else {
            return;
        };
        progress.begin(job);
        let result = job.run(&mut || progress.cut(job));
        progress.end(job, result);
    }
}
