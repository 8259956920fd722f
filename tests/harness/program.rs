//! One running program.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a run is given up: far longer than it ever takes, even on a busy
/// machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long a whole run of a program may take.
const WHOLE: Duration = Duration::from_secs(300);
/// How much of a program's words is kept for a failure's report.
const KEPT: usize = 200;

/// A program of this project that runs; dropping it kills it.
pub struct Program {
    name: String,
    child: Child,
    said: Receiver<String>,
    kept: Arc<Mutex<VecDeque<String>>>,
}

/// Where a program of this project was built.
///
/// # Errors
/// When it wasn't.
pub fn binary(name: &str) -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let folders = exe.ancestors().skip(1).take(3);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} isn't built; run `cargo build` first"))
}

/// Runs a program of this project to its end.
///
/// # Errors
/// When it can't be started, or doesn't end within five minutes.
pub fn run<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Result<Output> {
    let mut command = Command::new(binary(name)?);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().with_context(|| format!("{name} can't be started"))?;
    let pid = child.id();
    let (ended, end) = channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    let Ok(output) = end.recv_timeout(WHOLE) else {
        signal(pid, Signal::KILL)?;
        let said = end.recv()??;
        let words = [said.stdout, said.stderr].concat();
        bail!("{name} didn't end; it said:\n{}", String::from_utf8_lossy(&words));
    };
    Ok(output?)
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    Ok(kill_process(pid.context("no process id")?, signal)?)
}

impl Program {
    /// Starts a program.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Result<Self> {
        let mut command = Command::new(binary(name)?);
        command.args(arguments);
        Self::spawn(name, command)
    }

    /// Starts a command that ends up being the program `name`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn spawn(name: &str, mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null());
        Self::spawned(name, command)
    }

    /// As [`Program::spawn`], with what it is told on its standard input.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn spawn_told(name: &str, mut command: Command) -> Result<(Self, ChildStdin)> {
        command.stdin(Stdio::piped());
        let mut program = Self::spawned(name, command)?;
        let told = program.child.stdin.take().context("no standard input")?;
        Ok((program, told))
    }

    fn spawned(name: &str, mut command: Command) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{name} can't be started"))?;
        let (sender, said) = channel();
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|out| Box::new(out) as _),
            child.stderr.take().map(|out| Box::new(out) as _),
        ];
        for stream in streams.into_iter().flatten() {
            let (sender, kept) = (sender.clone(), Arc::clone(&kept));
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() == KEPT {
                        kept.pop_front();
                    }
                    kept.push_back(line.clone());
                    drop(kept);
                    // Nobody may be listening any more.
                    sender.send(line).ok();
                }
            });
        }
        Ok(Self { name: name.to_owned(), child, said, kept })
    }

    /// Waits for a line, on either stream, that `pick` makes something of.
    ///
    /// # Errors
    /// When the program ends or [`PATIENCE`] does; with what it has said.
    pub fn wait_for<T>(&mut self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> Result<T> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.said.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(picked) = pick(&line) {
                        return Ok(picked);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} didn't say {what}; it said:\n{}", self.name, self.words());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("{} ended without saying {what}; it said:\n{}", self.name, self.words());
                }
            }
        }
    }

    /// Waits for the program's own end.
    ///
    /// # Errors
    /// When it doesn't end within `patience`.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            // Both streams end with the program: their end is the event waited for.
            match self.said.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(self.child.wait()?),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} doesn't end; it said:\n{}", self.name, self.words())
                }
            }
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(PATIENCE)
    }

    /// Ends it at once (SIGKILL), as a crash would.
    ///
    /// # Errors
    /// When it can't be waited for.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self::signal(self.child.id(), signal)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said lately, on both streams.
    pub fn words(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|line| format!("  {line}\n")).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
