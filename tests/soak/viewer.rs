//! One viewer: reads, jumps, is frozen, and if it isn't a steady one, dies and comes back.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nearcast_tests::{PATIENCE, Program};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rustix::process::Signal;

use crate::Done;

/// What a viewer may watch.
pub struct Film {
    pub link: String,
    pub bytes: Vec<u8>,
}

pub struct Viewer {
    /// Lives from beginning to end.
    pub steady: bool,
    name: String,
    ip: String,
    folder: PathBuf,
    films: Arc<Vec<Film>>,
    film: usize,
    program: Program,
    /// Where it serves the film to players.
    address: String,
    dice: StdRng,
}

impl Viewer {
    pub fn start(at: &Path, number: u8, seed: u64, films: &Arc<Vec<Film>>) -> Result<Self> {
        let network = 1 + number % 2;
        let ip = format!("127.{network}.90.{}", number + 1);
        let folder = at.join(format!("viewer-{number}"));
        let film = usize::from(number / 2) % films.len();
        let (program, address) = open(&ip, &folder, &films[film].link)?;
        Ok(Self {
            steady: number.is_multiple_of(3),
            name: format!("viewer {number}"),
            ip,
            folder,
            films: Arc::clone(films),
            film,
            program,
            address,
            dice: StdRng::seed_from_u64((seed << 8) | (u64::from(number) + 1)),
        })
    }

    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Goes on until all is over.
    pub fn live(&mut self, done: &Done) -> Result<()> {
        while !done.over.load(Ordering::Relaxed) {
            match self.dice.random_range(0..40) {
                0 => self.freeze(),
                1 if !self.steady => self.die(false),
                2 if !self.steady => self.die(true),
                _ => {
                    let read = self.read(done).with_context(|| self.words());
                    thread::sleep(Duration::from_millis(self.dice.random_range(0..400)));
                    read?;
                    continue;
                }
            }
            .with_context(|| self.words())?;
            done.faults.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Reads all of the film, and ends as its user would end it.
    pub fn end(&mut self) -> Result<()> {
        let got = self.get(0, usize::MAX).with_context(|| self.words())?;
        let whole = &self.films[self.film].bytes;
        ensure!(got == *whole, "{}: the film isn't what it was", self.name);
        let status = self.program.stop()?;
        ensure!(status.success(), "{} ended with {status}:\n{}", self.name, self.program.words());
        Ok(())
    }

    /// What it said, and how it stands with its film at this moment.
    fn words(&self) -> String {
        let (resource, _) = self.address.rsplit_once('/').unwrap_or_default();
        let report = ureq::get(resource).call().map(|answer| answer.into_body().read_to_string());
        format!("{}, which says {report:?} and said:\n{}", self.name, self.program.words())
    }

    /// Reads on from a random place, and goes elsewhere after a while, as who looks for something does.
    fn read(&mut self, done: &Done) -> Result<()> {
        let size = self.films[self.film].bytes.len();
        let (from, many) = (self.dice.random_range(0..size), self.dice.random_range(1..1 << 20));
        let got = self.get(from, many)?;
        let right = &self.films[self.film].bytes[from..size.min(from + many)];
        ensure!(got == right, "{} bytes from {from} on are wrong", got.len());
        done.reads.fetch_add(1, Ordering::Relaxed);
        done.bytes.fetch_add(got.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn get(&self, from: usize, many: usize) -> Result<Vec<u8>> {
        let request = ureq::get(&self.address).config().timeout_global(Some(PATIENCE)).build();
        let answer = request.header("Range", format!("bytes={from}-")).call().context("no answer")?;
        let mut got = Vec::new();
        let body = answer.into_body().into_reader();
        body.take(many as u64).read_to_end(&mut got).with_context(|| format!("after {} bytes", got.len()))?;
        Ok(got)
    }

    fn freeze(&mut self) -> Result<()> {
        self.program.signal(Signal::STOP)?;
        thread::sleep(Duration::from_millis(self.dice.random_range(200..4000)));
        self.program.signal(Signal::CONT)
    }

    /// Is killed, and comes back with what it had or with nothing and another film.
    fn die(&mut self, wiped: bool) -> Result<()> {
        self.program.kill()?;
        if wiped {
            fs::remove_dir_all(&self.folder)?;
            self.film = self.dice.random_range(0..self.films.len());
        }
        (self.program, self.address) = open(&self.ip, &self.folder, &self.films[self.film].link)?;
        Ok(())
    }
}

fn open(ip: &str, folder: &Path, link: &str) -> Result<(Program, String)> {
    let listen = format!("/ip4/{ip}/tcp/0");
    let folder = folder.to_str().context("a folder has a strange name")?;
    let arguments =
        ["play", link, "--folder", folder, "--no-neighbours", "--upload", "8Mbit", "--listen", &listen];
    let mut program = Program::start("nearcast", &arguments)?;
    let here = |line: &str| line.starts_with("http://127.0.0.1:").then(|| line.trim().to_owned());
    match program.wait_for("its address", here) {
        Ok(address) => Ok((program, address)),
        Err(error) => bail!("{ip}: {error:#}"),
    }
}
