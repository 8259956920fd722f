//! Looking into films, in a process of its own: a decoder may crash or hang over a bad film, and the publisher
//! must not. `nearcast-posters` finds out all and makes pictures; where only `nearcast-player` is installed, it
//! says what the film is.

use std::{
    collections::HashSet,
    ffi::OsString,
    future::Future,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nearcast_protocol::ResourceId;
use tokio::process::Command;

use super::{
    Settings,
    title::{Facts, Storyboard},
};

pub(super) use super::index::Known;

/// The longest a look at one film may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest that pictures of one film may take, at low priority.
const PATIENCE_FOR_PICTURES: Duration = Duration::from_secs(15 * 60);
/// The most that is read of what the other process says.
const MAX_ANSWER: usize = 1 << 20;
/// Names of the pictures, in a folder called by the film's id.
const POSTER: &str = "poster.jpg";
const SHEET: &str = "storyboard.jpg";
const INDEX: &str = "storyboard.vtt";

/// Has films looked into, one at a time.
pub(super) struct Looker {
    posters: Option<OsString>,
    player: OsString,
    folder: PathBuf,
    pictures: bool,
    under_way: HashSet<ResourceId>,
    /// What was tried since the start, so that what fails isn't tried over and over.
    looked: HashSet<ResourceId>,
    pictured: HashSet<ResourceId>,
    /// Whether nothing can look into films here.
    blind: bool,
}

impl Looker {
    pub fn new(settings: &Settings) -> Self {
        let posters = installed("nearcast-posters");
        let player = installed("nearcast-player");
        let blind = posters.is_none() && player.is_none();
        if blind {
            tracing::info!("neither nearcast-posters nor nearcast-player is installed: lengths aren't known");
        }
        Self {
            posters,
            player: player.unwrap_or_else(|| "nearcast-player".into()),
            folder: settings.state.join("pictures"),
            pictures: settings.pictures,
            under_way: HashSet::new(),
            looked: HashSet::new(),
            pictured: HashSet::new(),
            blind,
        }
    }

    /// Whether as much is under way as may be: one film at a time, and none where nothing can look into any.
    pub fn busy(&self) -> bool {
        self.blind || !self.under_way.is_empty()
    }

    pub fn finished(&mut self, id: &ResourceId) {
        self.under_way.remove(id);
    }

    pub fn wants_facts(&self, id: &ResourceId, known: Option<&Known>) -> bool {
        // What failed may have failed because the machine was busy: it is tried once at every start.
        let missing = known.is_none_or(|known| known.trouble.is_some());
        missing && !self.looked.contains(id)
    }

    pub fn wants_pictures(&self, id: &ResourceId, known: &Known) -> bool {
        let worthwhile = known.trouble.is_none() && !known.facts.video.is_empty();
        let missing = !known.pictures || !self.folder.join(id.to_string()).is_dir();
        self.pictures && self.posters.is_some() && worthwhile && missing && !self.pictured.contains(id)
    }

    /// Finds out what a film is.
    pub fn facts(&mut self, id: ResourceId, film: PathBuf) -> impl Future<Output = Known> + Send + 'static {
        self.under_way.insert(id);
        self.looked.insert(id);
        let program = self.posters.clone().unwrap_or_else(|| self.player.clone());
        async move {
            let mut look = Command::new(program);
            look.arg("probe").arg("--").arg(&film);
            let said = match run(look, PATIENCE).await {
                Ok(said) => said,
                Err(why) => {
                    return Known {
                        trouble: Some(format!("can't be looked into: {why}")),
                        ..Known::default()
                    };
                }
            };
            match serde_json::from_slice::<Facts>(&said) {
                Ok(facts) => Known { facts, ..Known::default() },
                Err(error) => Known {
                    trouble: Some(format!("can't be looked into: the answer makes no sense: {error}")),
                    ..Known::default()
                },
            }
        }
    }

    /// Makes a poster and a storyboard.
    pub fn pictures(
        &mut self,
        id: ResourceId,
        film: PathBuf,
        facts: &Facts,
    ) -> impl Future<Output = ()> + Send + 'static {
        self.under_way.insert(id);
        self.pictured.insert(id);
        let program = self.posters.clone().unwrap_or_default();
        let (folder, beside) = (self.folder.join(id.to_string()), self.folder.join(format!("{id}.new")));
        let length = facts.duration_ms.to_string();
        async move {
            let made = async {
                // What a crash left behind.
                remove_folder(&beside).await.map_err(|error| error.to_string())?;
                tokio::fs::create_dir_all(&beside).await.map_err(|error| error.to_string())?;
                let mut make = Command::new(program);
                make.arg("pictures").arg("--length-ms").arg(length).arg("--into").arg(&beside);
                make.arg("--").arg(&film);
                let made = run(make, PATIENCE_FOR_PICTURES).await;
                // A film without pictures has an empty folder, so that it isn't tried at every start.
                remove_folder(&folder).await.map_err(|error| error.to_string())?;
                tokio::fs::rename(&beside, &folder).await.map_err(|error| error.to_string())?;
                made.map(|_| ())
            };
            if let Err(why) = made.await {
                tracing::info!(film = %film.display(), why, "no pictures");
            }
        }
    }

    /// Where a film's pictures are.
    pub fn pictures_of(&self, id: &ResourceId) -> (Option<PathBuf>, Option<Storyboard>) {
        let folder = self.folder.join(id.to_string());
        let there = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        let storyboard = there(SHEET).zip(there(INDEX)).map(|(sheet, index)| Storyboard { sheet, index });
        (there(POSTER), storyboard)
    }

    /// Throws away what is of no film that is known: a crash may leave it.
    pub fn tidy(&self, known: impl Fn(&ResourceId) -> bool) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(id) = name.parse().ok().filter(|id| !known(id)) {
                self.forget(&id);
            }
        }
    }

    /// Throws a film's pictures away.
    pub fn forget(&self, id: &ResourceId) {
        let folder = self.folder.join(id.to_string());
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, folder = %folder.display(), "can't tidy up");
            }
            _ => {}
        }
    }
}

async fn remove_folder(folder: &Path) -> io::Result<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What a program says on its standard output, or why it says nothing.
async fn run(mut command: Command, patience: Duration) -> Result<Vec<u8>, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = match tokio::time::timeout(patience, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("the program that does it can't be started: {error}")),
        Err(_) => return Err(format!("it took longer than {} s", patience.as_secs())),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let last: String = last.chars().filter(|c| !c.is_control()).take(300).collect();
        return Err(if last.is_empty() { output.status.to_string() } else { last });
    }
    if output.stdout.len() > MAX_ANSWER {
        return Err("it says too much".into());
    }
    Ok(output.stdout)
}

/// A program beside this one, or on the path.
fn installed(name: &str) -> Option<OsString> {
    let exe = std::env::current_exe().ok();
    let beside = exe.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file()).map(Into::into)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command
    }

    #[tokio::test]
    async fn a_decoder_that_hangs_crashes_or_chatters_is_one_sentence() {
        let hangs = run(shell("exec sleep 1000"), Duration::from_millis(50)).await.unwrap_err();
        assert!(hangs.contains("longer than"), "{hangs}");
        let crashes = run(shell("kill -SEGV $$"), PATIENCE).await.unwrap_err();
        assert!(crashes.contains("signal: 11"), "{crashes}");
        let says =
            run(shell("echo one >&2; printf 'bad \\033film\n' >&2; exit 1"), PATIENCE).await.unwrap_err();
        assert_eq!(says, "bad film");
        let missing = run(Command::new("/no/such/program"), PATIENCE).await.unwrap_err();
        assert!(missing.contains("can't be started"), "{missing}");
        // It gets nothing to read, so nothing waits for it.
        assert_eq!(run(shell("cat; echo done"), PATIENCE).await.unwrap(), b"done\n");
    }
}
