//! What crosses to the screen: one snapshot of everything it shows, and the words it may say back.
//!
//! The screen gets a whole [`Screen`] whenever something in it changes, at most four times a second and at once after
//! a command. TypeScript types are generated from these (`ts-rs`), never written twice.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::settings::Settings;

/// Everything the window shows.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Screen {
    /// Whether the first start's questions are still to be answered; nothing is on the network before.
    pub first_start: bool,
    /// What the user has set.
    pub settings: Settings,
    /// What this machine is.
    pub machine: Machine,
    /// A question that waits for an answer, over everything else.
    pub question: Option<Question>,
    /// The film in the player, if one is open.
    pub film: Option<Film>,
    /// Recent films, the last one watched first.
    pub recent: Vec<Recent>,
    /// What is kept on disk.
    pub storage: Storage,
    /// What is shared on.
    pub sharing: Sharing,
    /// Videos of this computer that its owner shares, the last one first.
    pub shares: Vec<Share>,
    /// What went wrong and hasn't been dismissed, newest last; at most five.
    pub notices: Vec<Notice>,
}

/// What this machine is.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Machine {
    /// The program's version.
    pub version: String,
    /// The folder proposed for films at the first start.
    pub default_folder: String,
    /// Whether the desktop shows tray icons.
    pub tray: bool,
    /// Languages the system asks for, best first, such as `zh-CN`.
    pub languages: Vec<String>,
}

/// A question that waits for an answer.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum Question {
    /// A link from outside the app asks to be played (DESIGN 5.1).
    Link {
        /// The film's name, or the address for a web request.
        title: String,
        /// Bytes, where the link says.
        #[ts(type = "number | null")]
        size: Option<u64>,
        /// Trackers it names; for a web address, its host.
        trackers: Vec<String>,
        /// Addresses in it that lie on this machine or in its private networks. Not empty: needs an explicit yes.
        private: Vec<String>,
        /// Whether "always for this tracker" can be offered.
        can_trust: bool,
    },
    /// The window was closed for the first time: keep sharing, or quit?
    Close {
        /// Whether a tray would show that the program lives on.
        tray: bool,
    },
}

/// The film in the player.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Film {
    /// The resource id, or a made-up one for a local or plain file.
    pub id: String,
    /// Its name without the ending.
    pub title: String,
    /// The link to it, where it has one, to be copied.
    pub link: Option<String>,
    /// What it does.
    pub state: Playing,
    /// ms into the film; during a seek, where it goes to.
    #[ts(type = "number")]
    pub position_ms: u64,
    /// Its length in ms, once known.
    #[ts(type = "number | null")]
    pub duration_ms: Option<u64>,
    /// Speed; 1 is as filmed.
    pub rate: f64,
    /// Sound tracks.
    pub audio: Vec<TrackChoice>,
    /// Subtitle tracks; with none chosen, none is shown.
    pub subtitles: Vec<TrackChoice>,
    /// Parts held, from start to end as fractions of the film, in order; at most 200.
    pub held: Vec<(f64, f64)>,
    /// Why the picture waits, when it does.
    pub wait: Option<Wait>,
    /// Why it can't be played, with [`Playing::Failed`].
    pub error: Option<Message>,
    /// Where its bytes come from; none for a file of this machine.
    pub sources: Option<Sources>,
    /// Where it was taken up again, until the viewer moves on: for "Resumed at 41:02".
    #[ts(type = "number | null")]
    pub resumed_at_ms: Option<u64>,
    /// What a viewer would notice, measured.
    pub figures: Figures,
}

/// What a film does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Playing {
    /// No picture yet.
    Opening,
    /// It runs.
    Playing,
    /// The viewer paused it.
    Paused,
    /// It would run, but its data or a seek isn't through.
    Waiting,
    /// It is over.
    Ended,
    /// It can't be played.
    Failed,
}

/// One track to choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct TrackChoice {
    /// Names it in commands.
    pub id: String,
    /// ISO 639 language, where known.
    pub language: Option<String>,
    /// Its title or codec.
    pub label: Option<String>,
    /// Whether it is the one that plays.
    pub chosen: bool,
}

/// Why the picture waits: a code with its own words in each language, and figures to fill in.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "code", rename_all = "snake_case")]
#[ts(export)]
pub enum Wait {
    /// The tracker is being asked, peers are being dialled.
    FindingPeers,
    /// Nobody who is online holds this.
    NobodyHolds,
    /// Peers hold it, but none can be reached.
    NobodyReached {
        /// How many are listed.
        listed: usize,
    },
    /// No tracker answers.
    TrackerSilent {
        /// Which.
        tracker: String,
    },
    /// The link names no tracker and none is set.
    NoTracker,
    /// The film is protected, and the link has no token.
    LinkNeeded,
    /// The link's token, or the key that signed it, is out of date.
    LinkExpired,
    /// The link's token is good later.
    LinkEarly,
    /// The link's token is damaged, or for something else.
    LinkWrong,
    /// Connected peers don't hold this part.
    PartMissing {
        /// How many are connected.
        peers: usize,
    },
    /// It comes too slowly.
    Slow {
        /// bytes/s that arrive.
        #[ts(type = "number")]
        rate: u64,
        /// bytes/s the film takes, where known.
        #[ts(type = "number | null")]
        needed: Option<u64>,
    },
    /// A little is put by before the clock runs.
    Buffering,
}

/// Where the bytes of a film come from, this time it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Sources {
    /// Viewers in the own network.
    pub own_group: Source,
    /// Viewers in other networks.
    pub other_groups: Source,
    /// Publishers.
    pub publisher: Source,
    /// The link's web sources.
    pub web: Source,
    /// Given on, in this time.
    pub sent: Source,
    /// Bytes of the whole film.
    #[ts(type = "number")]
    pub size: u64,
    /// Verified bytes held.
    #[ts(type = "number")]
    pub held: u64,
}

/// One kind of source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Source {
    /// Connected now.
    pub peers: usize,
    /// bytes/s now.
    #[ts(type = "number")]
    pub rate: u64,
    /// Bytes in all.
    #[ts(type = "number")]
    pub bytes: u64,
}

/// What a viewer would notice, measured; ms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Figures {
    /// From the opening to the first picture.
    #[ts(type = "number | null")]
    pub first_picture_ms: Option<u64>,
    /// From the last seek to its picture.
    #[ts(type = "number | null")]
    pub seek_picture_ms: Option<u64>,
    /// How often it stood still for want of data.
    pub stalls: u32,
    /// For how long in all.
    #[ts(type = "number")]
    pub stalled_ms: u64,
}

/// A film that was watched.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Recent {
    /// Names it in commands.
    pub id: String,
    /// Its name.
    pub title: String,
    /// A picture of it, as a `data:` URL.
    pub poster: Option<String>,
    /// Where one stopped; 0 for one watched to its end.
    #[ts(type = "number")]
    pub position_ms: u64,
    /// Its length, where known.
    #[ts(type = "number | null")]
    pub duration_ms: Option<u64>,
    /// Bytes of the whole.
    #[ts(type = "number | null")]
    pub size: Option<u64>,
    /// Verified bytes on disk; 0 for a file that isn't ours to keep.
    #[ts(type = "number")]
    pub held: u64,
    /// Bytes shared on, ever.
    #[ts(type = "number")]
    pub shared: u64,
    /// When it was last watched, Unix ms.
    #[ts(type = "number")]
    pub watched_at_ms: u64,
    /// Whether it is a file of this machine that Nearcast only plays.
    pub local: bool,
}

/// What is kept on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Storage {
    /// Bytes that films take.
    #[ts(type = "number")]
    pub used: u64,
    /// Bytes free on that disk.
    #[ts(type = "number | null")]
    pub free: Option<u64>,
}

/// What is shared on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Sharing {
    /// Whether anything is on the network at all.
    pub online: bool,
    /// Until when sharing is paused, Unix ms.
    #[ts(type = "number | null")]
    pub paused_until_ms: Option<u64>,
    /// Bytes sent since midnight.
    #[ts(type = "number")]
    pub today: u64,
    /// bytes/s now.
    #[ts(type = "number")]
    pub rate: u64,
    /// Films that are shared.
    pub films: usize,
    /// How viewers elsewhere get to this computer.
    pub reached: Reached,
}

/// How viewers elsewhere get to this computer, as far as its trackers know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Reached {
    /// No tracker has tried yet.
    #[default]
    Unknown,
    /// They dial it.
    Directly,
    /// A tracker introduces them.
    ByIntroduction,
    /// They don't; those behind the same address do.
    FromWithin,
}

impl From<nearcast_transfer::Reached> for Reached {
    fn from(reached: nearcast_transfer::Reached) -> Self {
        match reached {
            nearcast_transfer::Reached::Unknown => Self::Unknown,
            nearcast_transfer::Reached::Directly => Self::Directly,
            nearcast_transfer::Reached::ByIntroduction => Self::ByIntroduction,
            nearcast_transfer::Reached::FromWithin => Self::FromWithin,
        }
    }
}

/// A video of this computer that its owner shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Share {
    /// Names it in commands.
    pub id: u32,
    /// Its name without the ending.
    pub title: String,
    /// Where it lies.
    pub path: String,
    /// Bytes of the file.
    #[ts(type = "number")]
    pub size: u64,
    /// How far it is.
    pub state: ShareState,
    /// Who is connected for it now.
    pub peers: usize,
    /// Bytes sent of it, ever.
    #[ts(type = "number")]
    pub sent: u64,
}

/// How far a shared video is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "is", rename_all = "snake_case")]
#[ts(export)]
pub enum ShareState {
    /// Others are read first.
    Waiting,
    /// It is read, so that each part of it can be proved.
    Reading {
        /// Bytes read.
        #[ts(type = "number")]
        done: u64,
        /// ms until it is through, as far as can be told.
        #[ts(type = "number | null")]
        left_ms: Option<u64>,
    },
    /// Whoever has the link can watch it.
    Shared {
        /// The link.
        link: String,
    },
    /// It can't be shared.
    Failed {
        /// Why.
        message: Message,
    },
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Notice {
    /// Names it when it is dismissed.
    pub id: u32,
    /// What.
    pub message: Message,
}

/// A message with a code that the screen has words for, and the detail in English.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Message {
    /// Which words to use.
    pub code: Code,
    /// What was wrong, in the words of whoever found it.
    pub detail: String,
}

/// What can go wrong, as far as the screen has words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Code {
    /// The text is neither a link nor an address nor a file.
    BadLink,
    /// A web address can't be fetched or leads to no film.
    BadAddress,
    /// A file can't be read.
    BadFile,
    /// The file is no film, or its format isn't known.
    NotAFilm,
    /// A codec is missing on this machine.
    MissingCodec,
    /// The link is wrong: its size can't be proved.
    WrongLink,
    /// The disk is full or can't be written.
    Disk,
    /// The limit on disk is reached and nothing can make room.
    Limit,
    /// The network can't be started.
    Network,
    /// Settings or history can't be kept.
    Settings,
    /// Anything else.
    Other,
}

/// What the viewer does, as the screen says it.
#[derive(Debug, Clone, PartialEq, Deserialize, TS)]
#[serde(tag = "do", rename_all = "snake_case")]
#[ts(export)]
pub enum Command {
    /// Answers the first start.
    Begin {
        /// The answers.
        settings: Settings,
    },
    /// Opens a pasted or typed link, URL or path.
    Open {
        /// The text.
        text: String,
    },
    /// Opens one of the recent films.
    OpenRecent {
        /// Its id.
        id: String,
    },
    /// Answers [`Question::Link`].
    AnswerLink {
        /// What.
        answer: LinkAnswer,
    },
    /// Answers [`Question::Close`].
    AnswerClose {
        /// Keep sharing in the background; else quit.
        keep: bool,
        /// Don't ask again.
        remember: bool,
    },
    /// Lets it run; at its end, from the start.
    Play,
    /// Lets it stand still.
    Pause,
    /// Goes elsewhere.
    Seek {
        /// ms into the film.
        #[ts(type = "number")]
        to_ms: u64,
        /// At that very picture, rather than the nearest quick one.
        exact: bool,
    },
    /// One picture on or back; pauses.
    Step {
        /// On; else back.
        forward: bool,
    },
    /// Sets the speed.
    SetRate {
        /// 0.1 to 8.
        rate: f64,
    },
    /// Sets the volume (kept in the settings).
    SetVolume {
        /// 0 to 1, as the ear hears it.
        volume: f64,
        /// No sound.
        muted: bool,
    },
    /// Chooses a sound track.
    ChooseAudio {
        /// Its id.
        id: String,
    },
    /// Chooses subtitles, or none.
    ChooseSubtitles {
        /// Their id.
        id: Option<String>,
    },
    /// Closes the film and goes home.
    CloseFilm,
    /// Removes a film from the list, with its data.
    Remove {
        /// Its id.
        id: String,
    },
    /// Applies and keeps changed settings.
    Set {
        /// All of them.
        settings: Settings,
    },
    /// Shares files of this computer; one that failed is tried again.
    Share {
        /// Whole paths.
        paths: Vec<String>,
    },
    /// Shares a file no longer. It stays where it is.
    StopSharing {
        /// Its id.
        id: u32,
    },
    /// Pauses sharing for some minutes; 0 goes on.
    PauseSharing {
        /// How many.
        minutes: u32,
    },
    /// Takes a notice off the screen.
    Dismiss {
        /// Its id.
        id: u32,
    },
}

/// What to do with a stranger's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum LinkAnswer {
    /// Play it.
    Play,
    /// Play it, and don't ask again for links of these trackers.
    Always,
    /// Don't.
    No,
}
