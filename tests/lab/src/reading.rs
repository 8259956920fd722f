//! A viewer who doesn't decode: reads the film at its own rate, as a player does, and keeps time.

use std::{
    io::Read,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::net::Host;

/// A player's own buffer, of film.
const QUEUE: f64 = 2.0;
/// What is put by before the clock runs, of film.
const ENOUGH: f64 = 0.5;

/// What it came to. Times are from the click.
#[derive(Debug, Clone, Default)]
pub struct Viewing {
    pub runs: Option<Duration>,
    pub stalls: u32,
    pub stalled: Duration,
    pub bytes: u64,
    pub whole: bool,
}

/// What is read, and how.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The film's bytes/s.
    pub rate: f64,
    /// The film's size in bytes.
    pub size: u64,
    /// How long to watch; to the end if none.
    pub watch: Option<Duration>,
    /// When the viewer clicked.
    pub clicked: Instant,
}

/// Reads `target` from within the host's space at `pace`; tells `done` when that is over. Killing the child
/// that is returned ends it sooner.
///
/// # Errors
/// When curl can't be started.
pub fn start(
    host: &Host,
    target: &str,
    pace: Pace,
    done: impl FnOnce(Viewing) + Send + 'static,
) -> Result<Child> {
    let mut command = host.space.command("curl");
    command.args(["--silent", "--no-buffer", "--location", "--retry", "3", "--retry-connrefused", target]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().context("curl is missing")?;
    let stream = child.stdout.take().context("curl has no output")?;
    std::thread::Builder::new().name("reading".into()).spawn(move || {
        done(follow(stream, pace));
    })?;
    Ok(child)
}

fn follow(mut stream: impl Read, pace: Pace) -> Viewing {
    let Pace { rate, size, watch, clicked } = pace;
    let mut read = Viewing::default();
    let mut buffer = vec![0; 64 * 1024];
    // The clock stands at `from` seconds of film, or has run from there since a moment.
    let (mut from, mut running) = (0.0, None::<Instant>);
    let mut stood_since = clicked;
    loop {
        let media = read.bytes as f64 / rate;
        if let Some(since) = running {
            let shown = from + since.elapsed().as_secs_f64();
            if watch.is_some_and(|watch| shown >= watch.as_secs_f64()) {
                read.whole = true;
                return read;
            }
            if media - shown > QUEUE {
                // A player doesn't read farther ahead than its own buffer.
                std::thread::sleep(Duration::from_secs_f64(media - shown - QUEUE));
            }
        }
        let taken = match stream.read(&mut buffer) {
            Ok(0) | Err(_) => 0,
            Ok(taken) => taken,
        };
        let shown = running.map(|since| from + since.elapsed().as_secs_f64());
        if let Some(shown) = shown
            && shown > media
        {
            // It ran dry when the film it had was shown.
            let dry = Duration::from_secs_f64(shown - media);
            stood_since = Instant::now().checked_sub(dry).unwrap_or(clicked);
            (from, running) = (media, None);
            read.stalls += 1;
        }
        read.bytes += taken as u64;
        let ended = taken == 0;
        if running.is_none() && (read.bytes as f64 / rate - from >= ENOUGH || ended && read.bytes >= size) {
            let stood = stood_since.elapsed();
            match read.runs {
                None => read.runs = Some(stood),
                Some(_) => read.stalled += stood,
            }
            running = Some(Instant::now());
        }
        if ended {
            read.whole = read.bytes >= size;
            if running.is_none() && read.runs.is_some() {
                read.stalled += stood_since.elapsed();
            }
            return read;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Gives so much, then nothing for a time, then the rest.
    struct Pausing {
        before: usize,
        pause: Option<Duration>,
        after: usize,
    }

    impl Read for Pausing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.before == 0 {
                if let Some(pause) = self.pause.take() {
                    std::thread::sleep(pause);
                }
                (self.before, self.after) = (self.after, 0);
            }
            let taken = buffer.len().min(self.before);
            self.before -= taken;
            Ok(taken)
        }
    }

    fn pace() -> Pace {
        Pace { rate: 1e6, size: 1_300_000, watch: None, clicked: Instant::now() }
    }

    #[test]
    fn a_pause_longer_than_what_was_put_by_is_one_stall() {
        // A second of film is 1 MB; 0.6 s come at once.
        let stream = Pausing { before: 600_000, pause: Some(Duration::from_millis(1500)), after: 700_000 };
        let read = follow(stream, pace());
        assert_eq!((read.stalls, read.whole, read.bytes), (1, true, 1_300_000));
        assert!(read.runs.is_some() && read.stalled >= Duration::from_millis(300), "{read:?}");
    }

    #[test]
    fn a_film_that_breaks_off_is_not_whole() {
        let stream = Pausing { before: 600_000, pause: None, after: 0 };
        let read = follow(stream, pace());
        assert!(!read.whole && read.bytes == 600_000);
    }
}
