//! A server on a thread of its own, and how long it had a processor.

use std::{future::Future, path::PathBuf, sync::mpsc, time::Duration};

use tokio_util::sync::CancellationToken;

/// A thread that serves until dropped.
pub struct Served<T> {
    /// What the server said when it was ready.
    pub ready: T,
    task: PathBuf,
    end: CancellationToken,
}

impl<T: Send + 'static> Served<T> {
    /// Starts a server; `serve` gets a place to say that it is ready.
    pub fn start<F>(serve: impl FnOnce(mpsc::Sender<T>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()>,
    {
        let (ready, was_ready) = mpsc::channel();
        let (task, was_task) = mpsc::channel();
        let end = CancellationToken::new();
        let ends = end.clone();
        // Named, so that a profile can tell it from the load.
        let served = std::thread::Builder::new().name("served".into()).spawn(move || {
            let link = std::fs::read_link("/proc/thread-self").expect("this takes Linux");
            task.send(PathBuf::from("/proc").join(link)).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(ends.run_until_cancelled(serve(ready)));
        });
        served.unwrap();
        Self { task: was_task.recv().unwrap(), ready: was_ready.recv().unwrap(), end }
    }

    /// How long it has had a processor.
    pub fn busy(&self) -> Duration {
        let text = std::fs::read_to_string(self.task.join("schedstat")).unwrap();
        Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
    }
}

impl<T> Drop for Served<T> {
    fn drop(&mut self) {
        self.end.cancel();
    }
}
