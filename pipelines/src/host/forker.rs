//! The thread that starts processes.
//!
//! A fork and its exec take milliseconds, in which a runtime's thread would serve no connection. And it has to be one thread that
//! stays: the kernel kills a worker when the thread that forked it ends (`PR_SET_PDEATHSIG`), so a pool's, which may retire, will not do.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs on its thread, one after the other; cloning shares the thread. It ends with the last clone.
#[derive(Clone)]
pub struct Forker {
    jobs: mpsc::Sender<Job>,
}

impl Forker {
    /// Starts the thread; it runs in the context of `runtime`, which reaps what it starts.
    pub fn new(runtime: Handle) -> Self {
        // One order a broadcast's driver, which waits for it: so no bound is needed.
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::spawn(move || {
            let _entered = runtime.enter();
            for job in queue {
                // A job's panic must not end this thread, and with it every worker; whoever waits for the job sees it gone.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        });
        Self { jobs }
    }

    /// What `job` returns. A job that is not waited for any more still runs, and its result is dropped.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody waits any more: dropping the result ends what was started.
            let _ = done.send(job());
        });
        self.jobs.send(job).map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that starts processes is gone")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The runtime has one thread: if the job held it, the message that the job waits for could never be sent.
    #[tokio::test]
    async fn the_runtime_goes_on_while_a_job_runs() {
        let forker = Forker::new(Handle::current());
        let (release, released) = mpsc::channel();
        let job = forker.run(move || released.recv_timeout(Duration::from_secs(5)).map_err(io::Error::other));
        let (result, ()) = tokio::join!(job, async move { release.send(7).unwrap() });
        assert_eq!(result.unwrap(), 7);
    }

    #[tokio::test]
    async fn all_jobs_run_on_one_thread_that_stays() {
        let forker = Forker::new(Handle::current());
        let first = forker.run(|| Ok(thread::current().id())).await.unwrap();
        let second = forker.clone().run(|| Ok(thread::current().id())).await.unwrap();
        assert_eq!(first, second);
        assert_ne!(first, thread::current().id());
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_job_only() {
        let forker = Forker::new(Handle::current());
        forker.run(|| -> io::Result<()> { panic!("in a job") }).await.unwrap_err();
        assert_eq!(forker.run(|| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_child_is_reaped_by_the_runtime() {
        let forker = Forker::new(Handle::current());
        let mut child = forker.run(|| tokio::process::Command::new("true").spawn()).await.unwrap();
        assert!(child.wait().await.unwrap().success());
    }
}
